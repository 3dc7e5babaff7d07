"""What a longer promise costs: an emit into memory, and into the journal by when it is brought to the disk."""

from __future__ import annotations

import asyncio
import functools
import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.loops import own_code
from benchmarks.measure import interleaved, less, ratio, row_of
from benchmarks.progress import Step
from benchmarks.sinks import NullBackend
from benchmarks.workload import ARGUMENTS, answer
from tracecore import Config, Recorder, observe

__all__ = ["run"]

METHOD: Final = (
    "ns of wall clock per captured nested call (200 B of payload), the mean of a round less that of the bare call in"
    " the same round; rounds interleaved in shuffled order, buffers drained between them. `interval` brings what was"
    " written to the disk every 100 ms, ten times as often as by default. `always` takes what this disk takes: the"
    " journals are where the temporary files are. Every span is counted in its sink."
)
_ROUNDS: Final = 20
_CALLS: Final = 1_000
_SYNCED_CALLS: Final = 200
_INTERVAL_MS: Final = 100
_FLUSH_WITHIN_S: Final = 30.0
_MEMORY: Final = "this ÷ memory"


class _Promise(Struct, frozen=True):
    """Say how spans are kept, and what they then survive."""

    label: str
    survives: str
    settings: dict[str, Any] = {}
    calls: int = _CALLS


_PROMISES: Final = {
    "memory": _Promise("waiting in memory", "survives nothing"),
    "none": _Promise("in the journal", "survives the death of the process", {"sync": "none"}),
    "interval": _Promise(
        'in the journal, sync = "interval"', f"a loss of power too, but for the last {_INTERVAL_MS} ms",
        {"sync": "interval", "sync_interval_ms": _INTERVAL_MS},
    ),
    "always": _Promise(
        'in the journal, sync = "always"', "a loss of power too, if the disk keeps its word", {"sync": "always"},
        _SYNCED_CALLS,
    ),
}  # fmt: skip


class _Emitting:
    """Emit into one buffer, round by round."""

    def __init__(self, promise: _Promise, journal: Path) -> None:
        self.longest_ns = 0
        self._calls = promise.calls
        self._sink = NullBackend()
        kept: dict[str, Any] = {"buffer": "journal", "journal_dir": str(journal)} if promise.settings else {}
        config = Config(backend="memory:", flush_interval_ms=60_000, pending_after_ms=0, **kept, **promise.settings)
        self._recorder = Recorder(config, backend=self._sink).start()
        timed = functools.partial(own_code(_timed), observe(answer))
        self._timed = observe(name="outer", capture_input=False, capture_output=False, recorder=self._recorder)(timed)

    def round(self, runner: asyncio.Runner) -> float:
        """Emit, let the sink take it, and return the mean in ns."""
        mean, longest = runner.run(self._timed(self._calls))
        self.longest_ns = max(self.longest_ns, longest)
        if not self._recorder.flush(_FLUSH_WITHIN_S).delivered:
            raise RuntimeError(f"the sink did not take everything: {self._recorder.health()}")
        return mean

    def end(self, rounds: int) -> None:
        """End the recorder, and hold it to the number of spans."""
        self._recorder.shutdown()
        if self._sink.records != (expected := rounds * (self._calls + 1)):
            raise RuntimeError(f"expected {expected} spans, found {self._sink.records}")


async def _timed(function: Callable[..., Awaitable[Any]], calls: int) -> tuple[float, int]:
    """Time each call; return the mean and the longest in ns."""
    first, second, third = ARGUMENTS
    times: list[int] = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        await function(first, second, third)
        times.append(time.perf_counter_ns() - began)
    return statistics.fmean(times), max(times)


def run(settings: Settings, step: Step) -> Table:
    """Emit with each promise, in turn."""
    rounds = settings.rounds_of(_ROUNDS)
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="tracecore-benchmark-")))
        runner = exits.enter_context(asyncio.Runner())
        emitting = {name: _Emitting(promise, folder / name) for name, promise in _PROMISES.items()}
        bare = functools.partial(own_code(_timed), answer, _CALLS)
        candidates: dict[str, Callable[[], float]] = {"bare": lambda: runner.run(bare())[0]}
        candidates |= {name: functools.partial(one.round, runner) for name, one in emitting.items()}
        gc.collect()
        gc.freeze()
        taken = interleaved(candidates, rounds=rounds, seed=settings.seed, step=step)
        for one in emitting.values():
            one.end(rounds + 1)
    longest = {name: one.longest_ns / 1e6 for name, one in emitting.items()}
    over = {name: less(taken[name], taken["bare"]) for name in _PROMISES}
    rows = [_row(name, figures, longest[name], statistics.median(over["memory"])) for name, figures in over.items()]
    return Table(suite="sync", title="One emit, by what it promises", method=METHOD, rows=rows)


def _row(name: str, figures: list[float], longest_ms: float, memory: float) -> Row:
    promise = _PROMISES[name]
    return row_of(
        f"sync.{name}", promise.label, "ns", figures, ratios={_MEMORY: ratio(statistics.median(figures), memory)},
        note=f"{promise.survives}; longest {longest_ms:.1f} ms",
    )  # fmt: skip
