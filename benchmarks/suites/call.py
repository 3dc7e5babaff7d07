"""The call ladder: what one call costs the caller, rung by rung, from the bare function to a recorder at work.

The rungs are in :mod:`benchmarks.ladder`, and beside them the OpenTelemetry SDK does the same work. Figures are CPU
time of the calling thread over the bare call of the same round. Afterwards every span that was made must have arrived
in its sink: a rung that lost one fails the suite.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.figures import OTHER, OTHER_CAPTURED, Row, Settings, Table
from benchmarks.ladder import Ladder, Rung
from benchmarks.loops import Loop, awaited, over_calls, own_loop
from benchmarks.measure import Rounds, interleaved, less, ratio, row_of
from benchmarks.progress import Step
from benchmarks.stored import Stored
from benchmarks.workload import answer

__all__ = ["run"]

METHOD: Final = (
    "ns of CPU time of the calling thread per call, less the bare call of the same round; rounds interleaved in"
    " shuffled order; buffers drained between rounds, outside the timer. Meanwhile our pump sleeps, unless a row says"
    " otherwise; the SDK's thread is woken at every 512 spans, its default. tracecore captures the arguments (116 B"
    " of JSON) and the result (84 B). The OpenTelemetry SDK (batch processor, exporter that drops everything) captures"
    " neither; captured by hand it gets both as attributes of `json.dumps`, without bounds or masking. Every span is"
    " counted in its sink."
)
_ROUNDS: Final = 60
_CALLS: Final = 1_000
_FLOOR: Final = "this ÷ wrapper"
_IN_MEMORY: Final = {"journal": "nested", "journal_generation": "generation", "journal_sqlite": "sqlite"}
"""The same call whose span waits in memory, by the one whose span is in the journal."""


def run(settings: Settings, step: Step) -> Table:
    """Climb the ladder and return its figures."""
    files = {"sqlite": Stored(flush_interval_ms=1), "journal_sqlite": Stored(flush_interval_ms=1, buffer="journal")}
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as journal, ExitStack() as exits:
        ladder = Ladder(calls=_CALLS, files=files)
        ladder.keep_in(Path(journal))
        for file in files.values():
            exits.enter_context(file)
        return _climbed(ladder, settings, step)


def _climbed(ladder: Ladder, settings: Settings, step: Step) -> Table:
    rounds = settings.rounds_of(_ROUNDS)
    rungs, close_rival, missing = dict(ladder.rungs), None, ""
    try:
        rival_rungs, close_rival = _rival_rungs()
        rungs.update(rival_rungs)
    except ImportError:
        missing = "not installed: pip install 'tracecore[bench]'"
    gc.collect()
    gc.freeze()
    with asyncio.Runner() as runner:
        taken = interleaved(_candidates(runner, rungs), rounds=rounds, seed=settings.seed, step=step)
    ladder.check(rounds + 1)
    ladder.close()
    if close_rival is not None:
        close_rival((rounds + 1) * _CALLS, rounds + 1)
    return Table(suite="call", title="One call", method=METHOD, rows=_rows(rungs, taken, missing))


def _candidates(runner: asyncio.Runner, rungs: dict[str, Rung]) -> dict[str, Callable[[], float]]:
    """Return what runs one round of each rung."""

    def candidate(rung: Rung) -> float:
        figure = runner.run(awaited(rung.loop(_CALLS)))
        rung.settle()
        return figure

    return {name: functools.partial(candidate, rung) for name, rung in rungs.items()}


def _rival_rungs() -> tuple[dict[str, Rung], Callable[[int, int], None]]:
    """Return the rival's rungs, and what closes it given the calls per rung and the spans around them.

    Raises:
        ImportError: it is not installed.
    """
    from benchmarks.rivals.opentelemetry_sdk import OpenTelemetry  # noqa: PLC0415 - may be missing

    rival = OpenTelemetry()

    def below(loop: Loop) -> Loop:
        async def loop_below(calls: int) -> float:
            with rival.tracer.start_as_current_span("outer"):
                return await loop(calls)

        return loop_below

    def close(calls: int, outer: int) -> None:
        exported = rival.settle()
        rival.close()
        if exported != (2 * (calls + outer), calls):
            raise RuntimeError(f"OpenTelemetry: expected {2 * (calls + outer)} spans, {calls} captured, got {exported}")

    spanned, captured = rival.observed(answer), rival.captured(answer)
    return {
        "otel": Rung(
            "OpenTelemetry SDK, nested", below(own_loop(over_calls, spanned)), sink="rival", settle=rival.settle,
            note="captures nothing",
        ),
        "otel_captured": Rung(
            "OpenTelemetry SDK, nested, captured by hand", below(own_loop(over_calls, captured)), sink="rival",
            settle=rival.settle,
            note="json.dumps into two attributes",
        ),
    }, close  # fmt: skip


def _rows(rungs: dict[str, Rung], taken: Rounds, missing: str) -> list[Row]:
    over = {name: less(figures, taken[rungs[name].bare]) for name, figures in taken.items()}
    middle = {name: statistics.median(figures) for name, figures in over.items()}
    rows: list[Row] = []
    for name, rung in rungs.items():
        if rung.bare == name:
            rows.append(row_of(f"call.{name}", rung.label, "ns", taken[name], note="the whole call"))
            continue
        ratios = {_FLOOR: ratio(middle[name], middle["wrapper"])}
        if rung.records and "otel" in middle:
            ratios[OTHER] = ratio(middle["otel"], middle[name])
            ratios[OTHER_CAPTURED] = ratio(middle["otel_captured"], middle[name])
        rows.append(row_of(f"call.{name}", rung.label, "ns", over[name], ratios=ratios, note=rung.note))
        if name in _IN_MEMORY:
            memory = _IN_MEMORY[name]
            label = f"journal instead of memory: {rungs[memory].label}"
            rows.append(row_of(f"call.{name}.over", label, "ns", less(taken[name], taken[memory])))
    if missing:
        rows.append(Row(key="call.otel", label="OpenTelemetry SDK, nested", unit="ns", value=None, note=missing))
    return rows
