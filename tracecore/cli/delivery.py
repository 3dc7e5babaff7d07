"""What became of everything that was recorded, as the ledger of a backend says it: sums, and processes that stand out.

Invariants: what the ledger does not know is not guessed; few entries are read, however many processes there were.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from tracecore.backend import LARGEST_PAGE, Backend, LedgerQuery, LedgerStore, LedgerTotals
from tracecore.cli.escaping import visible
from tracecore.cli.figures import count, moment
from tracecore.cli.output import Column, print_lines, print_table
from tracecore.records import LedgerEntry

__all__ = [
    "REASONS",
    "UNKNOWN",
    "Delivery",
    "as_json",
    "delivery_of",
    "in_words",
    "last_entries",
    "named",
    "print_delivery",
    "unbalanced",
]

_MOST_PAGES: Final = 10
_SHOWN: Final = 5
_COLUMNS: Final = tuple(
    Column(heading, "right")
    for heading in ("emitted", "delivered", "waiting", "lost", "sampled out", "recovered", "processes", "restarts")
)

REASONS: Final = {
    "ring_full": (
        "the buffer was full",
        "raise buffer_items or buffer_bytes, let emitting wait with on_full=wait, or lower sample_rate",
    ),
    "unencodable": ("they could not be made or masked", "mend the mask: health().last_error says how it fails"),
    "rejected": (
        "the backend refused them, also without their payloads",
        "look for what it said in the log of the program, or in health().last_error",
    ),
    "unavailable": (
        "the backend could not be reached until the program ended",
        "see that it answers (tracecore doctor --write); buffer=journal keeps records for the next start",
    ),
    "disk_full": (
        "the disk was full until the program ended",
        "free some space; buffer=journal, on another disk, keeps records for the next start",
    ),
    "closing": (
        "they were emitted after shutdown(), or still waiting when its time was up",
        "shut down last, and give it more time with shutdown_timeout_ms",
    ),
    "died": (
        "a process was killed that had them in its memory, not in its journal; some may be stored all the same",
        "raise journal_bytes, or see to the disk that journal_dir is on",
    ),
    "damaged": (
        "what a killed process had left in its journal could not be read; each is a record or more",
        "look after the disk; the segments are kept in the folder 'damaged' of the journal",
    ),
}
"""For each reason of a loss why it happens, and what to do about it."""
UNKNOWN: Final = ("for a reason that this version does not know", "ask the version of tracecore that recorded")


class Delivery(Struct, frozen=True):
    """Say what became of what a project recorded, and which processes, at most a few, do not add up."""

    totals: LedgerTotals
    unbalanced: list[LedgerEntry]


async def delivery_of(backend: Backend, project: str, since_ns: int | None) -> Delivery | None:
    """Return what became of what was recorded since some time or ever; None where no ledger is kept."""
    if backend.ledger is None:
        return None
    totals = await backend.ledger.totals(project, since_ns)
    wanted = min(totals.unbalanced, _SHOWN)
    found = await last_entries(backend.ledger, project, unbalanced, since_ns=since_ns, most=wanted)
    return Delivery(totals, found)


async def last_entries(
    ledger: LedgerStore, project: str, wanted: Callable[[LedgerEntry], bool], *, since_ns: int | None, most: int
) -> list[LedgerEntry]:
    """Return the last entries of at most so many processes that are ``wanted``, among the latest ten thousand."""
    found: list[LedgerEntry] = []
    query: LedgerQuery | None = LedgerQuery(limit=LARGEST_PAGE, since_ns=since_ns, last=True)
    for _ in range(_MOST_PAGES):
        if query is None or len(found) >= most:
            break
        page = await ledger.find(project, query)
        found += islice(filter(wanted, page.items), most - len(found))
        cursor = page.next_cursor
        query = None if cursor is None else LedgerQuery(limit=LARGEST_PAGE, since_ns=since_ns, last=True, cursor=cursor)
    return found


def unbalanced(entry: LedgerEntry) -> bool:
    """Return whether an entry does not prove itself."""
    return entry.unaccounted != 0


def named(entry: LedgerEntry) -> str:
    """Return the process of an entry, by all that is known of it."""
    known = (entry.service_name, None if entry.pid is None else f"pid {entry.pid}", entry.host and f"on {entry.host}")
    about = " ".join(part for part in known if part)
    return f"process {entry.process}" + (f" ({about})" if about else "") + f", last seen {moment(entry.seen_ns)}"


def in_words(entry: LedgerEntry) -> str:
    """Return how the account of a process does not add up."""
    lost = sum((entry.lost or {}).values())
    missing = entry.unaccounted
    return (
        f"{named(entry)}: of {entry.emitted:,} emitted, {entry.delivered:,} were delivered, {entry.waiting:,} wait and "
        f"{lost:,} were lost: {count(abs(missing), 'record')} too {'few' if missing > 0 else 'many'}"
    )


def as_json(delivery: Delivery | None) -> dict[str, Any] | None:
    """Return what a program reads."""
    return None if delivery is None else {**asdict(delivery.totals), "unbalanced_processes": delivery.unbalanced}


def print_delivery(delivery: Delivery | None) -> None:
    """Print the sums, what was lost and why, and what does not add up; nothing where no process left an account."""
    if delivery is None or not delivery.totals.processes:
        return
    totals = delivery.totals
    lost = sum(totals.lost.values())
    sums = (totals.emitted, totals.delivered, totals.waiting, lost, totals.sampled, totals.recovered)
    print_lines([""])
    print_table(_COLUMNS, [[f"{number:,}" for number in (*sums, totals.processes, totals.restarts)]])
    if lost:
        print_lines([""])
        most_first = sorted(totals.lost.items(), key=lambda loss: -loss[1])
        rows = [[f"{number:,}", reason, REASONS.get(reason, ("",))[0]] for reason, number in most_first]
        print_table((Column("lost", "right"), Column("reason"), Column("because", limit=80)), rows)
    if totals.unbalanced:
        print_lines(["", f"accounts that do not add up: {totals.unbalanced:,} of {totals.processes:,}"])
        print_lines([f"  {visible(in_words(entry))}" for entry in delivery.unbalanced])
