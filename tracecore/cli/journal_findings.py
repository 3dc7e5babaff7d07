"""What doctor finds in the journal's directory: what it is on, who has homes there, and what nobody cares for.

Invariants: those of a survey (:mod:`tracecore.cli.journal_survey`); where records wait in memory and nothing was left
behind, nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from tracecore.cli.figures import bytes_size, count, duration
from tracecore.cli.file_systems import file_system_of, free_bytes, is_doubtful, is_memory, nearest_directory
from tracecore.cli.findings import Finding
from tracecore.cli.journal_survey import CannotLook, SeenHome, State, Survey, readable, survey
from tracecore.config import Config
from tracecore.destinations import destination_of
from tracecore.errors import ConfigError
from tracecore.plugins import configured_urls, open_backend
from tracecore.segments import DAMAGED, SEGMENT

__all__ = ["Journal", "as_json", "journal_findings", "look_at_journal"]

_BEING_MADE_NS: Final = 60 * 10**9
"""How long a home may take to be made, at the very most."""
_SHOWN: Final = 3


class Journal(Struct, frozen=True):
    """Hold what was seen of a journal and its place; ``trouble`` stands for what could not be."""

    seen: Survey
    trouble: str | None = None
    file_system: str | None = None
    free: int | None = None
    """Bytes."""
    destinations: frozenset[str] | None = None
    """How homes name the configured backends; None where there is none."""


def look_at_journal(config: Config) -> Journal:
    """Look at the journal of a configuration and at what it is on; nothing is made."""
    directory = Path(config.journal_dir)
    try:
        seen = survey(directory)
    except CannotLook as error:
        return Journal(Survey(readable(directory.absolute())), str(error))
    nearest = nearest_directory(directory)
    return Journal(seen, None, file_system_of(nearest), free_bytes(nearest), _destinations(config))


def _destinations(config: Config) -> frozenset[str] | None:
    source = config.sources.get("backend", "code")
    try:
        backends = [open_backend(url, access="read", source=source) for url in configured_urls(config)]
    except ConfigError:  # another finding says so
        return None
    return frozenset(destination_of(backend.location) for backend in backends)


def as_json(journal: Journal) -> dict[str, Any]:
    """Return what a program reads: sums, because there may be thousands of homes."""
    seen = journal.seen
    states: tuple[State, ...] = ("in_use", "left", "half_made", "denied")
    return {
        "directory": seen.directory,
        "exists": seen.exists,
        "trouble": journal.trouble,
        "file_system": journal.file_system,
        "free_bytes": journal.free,
        **{state: {"homes": len(seen.of(state)), "bytes": _size(seen.of(state))} for state in states},
        "left_elsewhere": {location: len(homes) for location, homes in seen.elsewhere(journal.destinations).items()},
        "records_left": seen.waiting,
        "all_counted": seen.counted,
        "damaged": {"segments": len(seen.damaged), "bytes": sum(segment.bytes for segment in seen.damaged)},
        "foreign": seen.foreign,
    }


def journal_findings(config: Config, journal: Journal, now_ns: int) -> list[Finding]:
    """Return what there is to say about the journal at a time of the wall clock."""
    used = config.buffer == "journal"
    if journal.trouble is not None:
        remedy = "until this is mended, records wait in memory only, and a crash loses them"
        return [Finding(f"the journal: {journal.trouble}", ok=False, remedy=remedy)] if used else []
    return [
        *(_place(config, journal) if used else ()),
        *(_in_use(journal.seen) if used else ()),
        *_left(journal, now_ns, used=used),
        *_elsewhere(journal),
        *_half_made(journal.seen, now_ns),
        *_denied(journal.seen),
        *_damaged(journal.seen),
    ]


def _place(config: Config, journal: Journal) -> Iterator[Finding]:
    """Say whether the directory can be used, what it is on, and how much room there is."""
    where, nearest = journal.seen.directory, nearest_directory(Path(config.journal_dir))
    if not os.access(nearest, os.W_OK | os.X_OK):
        why = f"{readable(nearest)} cannot be written to, and the journal should be {where}"
        yield Finding(why, ok=False, remedy="give this user access, or name another directory with journal_dir")
        return
    kind = f", on {journal.file_system}" if journal.file_system else ""
    free = "" if journal.free is None else f", {bytes_size(journal.free)} free"
    made = "" if journal.seen.exists else ", made by the first span"
    yield Finding(f"the journal is in {where}{kind}{free}{made}", remedy=_to_mind(journal.file_system))
    if journal.free is not None and journal.free < config.journal_bytes:
        enough = journal.free >= SEGMENT
        yield Finding(
            f"{bytes_size(journal.free)} are free for a journal that may take {bytes_size(config.journal_bytes)}",
            ok=enough,
            remedy="free some space, or lower journal_bytes: what has no room waits in memory, and a crash loses it",
        )


def _to_mind(kind: str | None) -> str:
    if kind is not None and is_doubtful(kind):
        return "locks and maps are not to be relied upon there: name a directory on a local disk with journal_dir"
    if kind is not None and is_memory(kind):
        return "what is there survives the death of a process, but not a restart of the machine or the container"
    return ""


def _in_use(seen: Survey) -> Iterator[Finding]:
    if homes := seen.of("in_use"):
        yield Finding(f"processes at work with the journal: {len(homes):,}, with {bytes_size(_size(homes))}")


def _left(journal: Journal, now_ns: int, *, used: bool) -> Iterator[Finding]:
    """Say what dead processes left for the configured backend, and who will deliver it."""
    seen = journal.seen
    homes = seen.left_for(journal.destinations)
    full = [home for home in homes if seen.may_hold(home)]
    if empty := len(homes) - len(full):
        what = f"dead processes left {count(empty, 'home')} without a record in {seen.directory}"
        yield Finding(f"{what}; the next start with this journal removes them")
    if not full:
        return
    age = duration(max(0, now_ns - min(home.written_ns for home in full)))
    records = _records(seen, full)
    where = f"{count(len(full), 'home')} ({bytes_size(_size(full))}) in {seen.directory}"
    if not used:
        remedy = "buffer is memory, so nobody will deliver them: set buffer=journal, or run `tracecore recover`"
    elif seen.of("in_use"):
        remedy = "a living process delivers them, a few homes at a time; if they stay, run `tracecore recover`"
    else:
        remedy = "start the service, or run `tracecore recover`"
    left = f"dead processes left {records} in {where}, the first {age} ago"
    yield Finding(left, ok=used and bool(seen.of("in_use")), remedy=remedy)


def _elsewhere(journal: Journal) -> Iterator[Finding]:
    """Say what waits for other backends than the configured one, and for which."""
    seen = journal.seen
    configured = " and ".join(sorted(journal.destinations or ()))
    for location, homes in seen.elsewhere(journal.destinations).items():
        where = f"{count(len(homes), 'home')} ({bytes_size(_size(homes))}) in {seen.directory}"
        yield Finding(
            f"dead processes left {_records(seen, homes)} in {where} for {location}, not for {configured}",
            ok=bool(seen.of("in_use")),
            remedy="start what delivers there, or run `tracecore recover` with that place as --backend; with --all the "
            "configured backend gets them",
        )


def _records(seen: Survey, homes: list[SeenHome]) -> str:
    return ("" if seen.counted else "at least ") + count(sum(home.records for home in homes), "record")


def _half_made(seen: Survey, now_ns: int) -> Iterator[Finding]:
    stale = [home for home in seen.of("half_made") if now_ns - home.written_ns > _BEING_MADE_NS]
    if stale:
        what = f"processes died while they made {count(len(stale), 'home')} in {seen.directory}: nothing is in them"
        yield Finding(f"{what}; the next start with this journal removes them")


def _denied(seen: Survey) -> Iterator[Finding]:
    homes = seen.of("denied")
    for home in homes[:_SHOWN]:
        more = f" ({len(homes) - _SHOWN:,} more are like it)" if len(homes) > _SHOWN and home is homes[0] else ""
        what = f"what a process left in {seen.directory}/{home.name} cannot be taken: {home.why}{more}"
        yield Finding(what, ok=False, remedy="run `tracecore recover` as a user who may write there")


def _damaged(seen: Survey) -> Iterator[Finding]:
    if seen.damaged:
        size = bytes_size(sum(segment.bytes for segment in seen.damaged))
        folder = f"{seen.directory}/{DAMAGED}"
        yield Finding(
            f"{folder} keeps {count(len(seen.damaged), 'segment')} ({size}) in which something could not be read: of "
            "each a record or more is lost; what was whole has been delivered",
            ok=False,
            remedy=f"see whether the disk is sound, then remove {folder}",
        )


def _size(homes: list[SeenHome]) -> int:
    return sum(home.bytes for home in homes)
