"""What delivering takes with each rival: CPU of all threads and wall clock until its flush has returned."""

from __future__ import annotations

import statistics
from typing import Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.progress import Step
from benchmarks.rivals.fleet import Fleet, Standing, Taken, rows_of

__all__ = ["run"]

METHOD: Final = (
    "Requests of one root and four nested calls, 50 at once, as fast as they can be answered, and then a flush: µs of"
    " CPU of all threads of the process per span that arrived, less the same requests without tracing; spans that"
    " arrived per second of wall clock until the last of them had (of what is stored: until the flush returned), not"
    " until a flush that looks only now and then has seen it. A client that pauses between batches has its pace as its"
    " rate. Queues are long enough for all of a round. The collector, in a process of its own, takes no request apart"
    " before the round is over."
)
_ROUNDS: Final = 3
_REQUESTS: Final = 2_000
_AT_ONCE: Final = 50
_WITHIN_S: Final = 120.0
_LONG_S: Final = 0.2
"""From here on it is said how long a flush waits for nothing."""


def run(settings: Settings, step: Step) -> Table:
    """Have every rival answer requests, in turn."""
    requests = settings.size_of(_REQUESTS)
    with Fleet(settings, step) as fleet:
        standings = fleet.rounds(settings.rounds_of(_ROUNDS), _WITHIN_S, do="load", requests=requests, at_once=_AT_ONCE)
    rows = rows_of(
        standings, "rivals.load.cpu", "µs", lambda standing: standing.figures(_cpu_us), what=": CPU per span",
        note=_note,
    )  # fmt: skip
    rows += rows_of(
        standings, "rivals.load.rate", "spans/s", lambda standing: standing.figures(_rate), what=": rate",
        note=_rate_note,
    )  # fmt: skip
    return Table(suite="rivals/load", title="Load, delivered", method=METHOD, rows=rows + _lossy(standings))


def _cpu_us(taken: Taken) -> float:
    return float(taken.answer["cpu"] - taken.answer["bare_cpu"]) / taken.counts.spans * 1e6


def _rate(taken: Taken) -> float:
    return taken.counts.spans / _until_the_last(taken)


def _until_the_last(taken: Taken) -> float:
    """Return the seconds until the last span was there; of what is not sent only its flush says so."""
    return taken.counts.last - taken.answer["began"] if taken.counts.last else float(taken.answer["wall"])


def _rate_note(standing: Standing) -> str:
    """Say how long the flush took to return when everything was there, because that is not in the rate."""
    waits = statistics.median(taken.answer["wall"] - _until_the_last(taken) for taken in standing.taken)
    return ", ".join(
        filter(None, (standing.note, f"its flush returns {waits:.1f} s later" if waits >= _LONG_S else ""))
    )


def _note(standing: Standing) -> str:
    """Say what the figure does not hold: the CPU of processes that the rival has started."""
    processes = max(taken.answer["processes"] for taken in standing.taken)
    beside = f"without the CPU of {processes} processes of its own" if processes else ""
    return ", ".join(filter(None, (standing.note, beside)))


def _lossy(standings: list[Standing]) -> list[Row]:
    """Return a row for each rival some of whose spans never arrived."""
    return [
        Row(
            key=f"rivals.load.delivered.{standing.name}", label=f"{standing.rival.title}: spans that arrived", unit="%",
            value=standing.share * 100,
        )
        for standing in standings
        if not standing.reason and standing.delivered < standing.made
    ]  # fmt: skip
