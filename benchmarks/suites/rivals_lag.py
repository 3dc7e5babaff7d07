"""How late the event loop is while each rival records requests that come at a set pace."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Settings, Table
from benchmarks.measure import percentile
from benchmarks.progress import Step
from benchmarks.rivals.fleet import Fleet, Standing, Taken, rows_of

__all__ = ["run"]

METHOD: Final = (
    "ms by which a probe that is due every ms is late, 99th percentile of a round, less that of the same"
    " requests without tracing right before; requests of five spans from four tasks, 2,000 spans a second for two"
    " seconds, rounds interleaved in shuffled order. Exporters work meanwhile as their defaults have it."
)
_ROUNDS: Final = 3
_SECONDS: Final = 2.0
_SPANS_PER_SECOND: Final = 2_000
_TASKS: Final = 4
_PERCENT: Final = 99
_KEPT: Final = 0.95
"""Of the pace; who falls further behind has a note."""
_WITHIN_S: Final = 90.0


def run(settings: Settings, step: Step) -> Table:
    """Have every rival answer requests at a pace, in turn."""
    seconds = _SECONDS / 8 if settings.quick else _SECONDS
    with Fleet(settings, step) as fleet:
        standings = fleet.rounds(
            settings.rounds_of(_ROUNDS), _WITHIN_S, do="lag", spans_per_second=_SPANS_PER_SECOND, seconds=seconds,
            tasks=_TASKS,
        )  # fmt: skip
    # What ours causes is as small as the noise: a ratio to it would be of noise.
    rows = rows_of(
        standings, "rivals.lag", "ms", lambda standing: standing.figures(_caused), note=_note, compared=False
    )
    return Table(suite="rivals/lag", title="Lag of the event loop, p99 caused", method=METHOD, rows=rows)


def _caused(taken: Taken) -> float:
    return percentile(taken.answer["traced"], _PERCENT) - percentile(taken.answer["bare"], _PERCENT)


def _note(standing: Standing) -> str:
    worst = max(max(taken.answer["traced"]) for taken in standing.taken)
    kept = min(taken.answer["kept"] for taken in standing.taken)
    behind = f"kept {kept:.0%} of the pace" if kept < _KEPT else ""
    return ", ".join(filter(None, (standing.note, behind, f"worst of all rounds: {worst:.1f} ms")))
