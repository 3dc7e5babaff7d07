"""What a call costs the caller with each rival: nested, awaited, arguments and result captured where it can."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Settings, Table
from benchmarks.progress import Step
from benchmarks.rivals.fleet import Fleet, Standing, Taken, rows_of

__all__ = ["CAPTURES_NOTHING", "run"]

CAPTURES_NOTHING: Final = "captures nothing"
"""In the note of a rival that does not."""
METHOD: Final = (
    "ns of CPU time of the calling thread per nested call, less the bare call before and after it; every rival in a"
    " process and an environment of its own, set up as its manual says, sending to a collector on the loopback"
    " interface; rounds interleaved in shuffled order, flushed outside the timer. 127 B of arguments and 84 B of result"
    " as JSON; the collector counts spans, arguments and results. tracecore stores in an SQLite file, which is read"
    " back."
)
_ROUNDS: Final = 10
_CALLS: Final = 1_000
_WITHIN_S: Final = 60.0


def run(settings: Settings, step: Step) -> Table:
    """Have every rival make calls, in turn."""
    with Fleet(settings, step) as fleet:
        standings = fleet.rounds(settings.rounds_of(_ROUNDS), _WITHIN_S, do="call", calls=settings.size_of(_CALLS))
    rows = rows_of(standings, "rivals.call", "ns", lambda standing: standing.figures(_over_bare), note=_note)
    return Table(suite="rivals/call", title="One nested call", method=METHOD, rows=rows)


def _over_bare(taken: Taken) -> float:
    return float(taken.answer["traced"] - taken.answer["bare"])


def _note(standing: Standing) -> str:
    """Return what there is to know of a rival, in full: this is the table that speaks of each."""
    captures = "" if standing.rival.captures else CAPTURES_NOTHING
    return ". ".join(part.rstrip(".") for part in (standing.note, captures, standing.rival.remark) if part)
