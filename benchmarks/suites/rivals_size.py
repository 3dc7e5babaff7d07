"""What each rival brings along: the time until it is ready, and what is installed for it."""

from __future__ import annotations

import random
from typing import Any, Final, TypeAlias

from benchmarks.figures import Row, Settings, Table
from benchmarks.progress import Step
from benchmarks.rivals.catalogue import is_ours
from benchmarks.rivals.fleet import Standing, enlisted, rows_of
from benchmarks.rivals.member import Failed, Member
from benchmarks.suites.importing import installation

__all__ = ["run"]

METHOD: Final = (
    "ms of wall clock until a rival is imported and set up, what it asks its server meanwhile included, in a fresh"
    " interpreter that has loaded asyncio, bytecode already compiled, rounds interleaved; modules are what that loads."
    " Distributions and their files, without bytecode, are what an environment holds in which nothing else was"
    " installed."
)
_ROUNDS: Final = 5
_BYTES_PER_MB: Final = 1e6
Started: TypeAlias = dict[str, list[dict[str, Any]]]
"""What each rival said when it had started, once a round."""


def run(settings: Settings, step: Step) -> Table:
    """Start every rival again and again, then look at what is installed for it."""
    standings = enlisted(settings)
    started: Started = {standing.name: [] for standing in standings}
    chance, turn, rounds = random.Random(settings.seed), list(standings), settings.rounds_of(_ROUNDS)
    for number in range(rounds + 1):
        chance.shuffle(turn)
        for standing in turn:
            what = f"round {number} of {rounds}" if number else "warm-up"
            step(f"{what}: {standing.name}", number / (rounds + 1))
            if not standing.reason:
                _start(standing, started[standing.name])
        if not number:
            started.update((name, []) for name in started)
    return Table(suite="rivals/size", title="Import and installation", method=METHOD, rows=_rows(standings, started))


def _start(standing: Standing, taken: list[dict[str, Any]]) -> None:
    """Start a rival once, note what it says, and end it at once: nothing that it has begun matters."""
    member = Member(standing.name, standing.rival, standing.environment)
    try:
        said = member.start()
    except Failed as failed:
        standing.reason = str(failed)
    else:
        standing.version = standing.version or said["version"]
        taken.append(said)
    finally:
        member.close(0.0)


def _rows(standings: list[Standing], started: Started) -> list[Row]:
    def note(standing: Standing) -> str:
        return f"{standing.version}, {started[standing.name][-1]['modules']} modules"

    rows = rows_of(
        standings, "rivals.size.import", "ms",
        lambda standing: [said["start_ms"] for said in started[standing.name]], what=": import and start", note=note,
    )  # fmt: skip
    for standing in standings:
        if not standing.reason:
            rows += _installed_rows(standing)
    return rows


def _installed_rows(standing: Standing) -> list[Row]:
    """Return what is installed for a rival: of ours, what ``pip install tracecore`` brings."""
    name, title = standing.name, standing.rival.title
    sizes = {other: found.bytes for other, found in standing.environment.distributions.items()}
    if is_ours(name):
        sizes = installation()
    elif not sizes:
        return []
    return [
        Row(
            key=f"rivals.size.disk.{name}", label=f"{title}: on disk", unit="MB",
            value=sum(sizes.values()) / _BYTES_PER_MB,
        ),
        Row(
            key=f"rivals.size.distributions.{name}", label=f"{title}: distributions", unit="", value=len(sizes),
            note="itself included",
        ),
    ]  # fmt: skip
