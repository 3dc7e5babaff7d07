"""How late the event loop is while requests come at a set pace and are traced into SQLite.

A probe is due every ms and notes how late it is (:mod:`benchmarks.probe`). The same requests run without tracing in
turn; the difference of the two is ours. The loop waits with ``select``, because ``epoll`` in asyncio rounds
every wait up to a whole millisecond, which is what is to be measured.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import Rounds, interleaved, less, percentile, row_of
from benchmarks.probe import while_probed
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Handle, Texts, bare_service, traced_service
from benchmarks.stored import Stored

__all__ = ["Pace", "lags", "run"]

METHOD: Final = (
    "ms by which a probe that is due every ms is late, 99th percentile of a round; what is due during a stall counts"
    " too. Requests of 5 spans come at a set pace for two seconds, each round with a new SQLite file, the pump in a"
    " thread of its own; rounds interleaved with the same requests without tracing, which are subtracted round by"
    " round. Every span is read back and compared. The OpenTelemetry SDK gets the same payloads as attributes and"
    " stores nothing."
)
_ROUNDS: Final = 5
_SECONDS: Final = 2.0
_KEPT_IN_A_QUICK_RUN: Final = 0.05
"""Of the pace: what a quick run says of lag is rough anyhow, and the machine may be busy with something else."""
_FLUSH_WITHIN_S: Final = 60.0
_OURS: Final = {"memory": "traced", "journal": "journal"}
"""What is measured, by where spans wait."""

Measure: TypeAlias = Callable[[Texts, "Pace", range, list[float]], float]
"""Answer requests at a pace and return the p99; the worst lag is added to the list."""


class Pace(Struct, frozen=True):
    """Say how requests come: so many spans per second, from so many tasks in turn."""

    spans_per_second: int
    tasks: int
    kept: float = 0.95
    """The part of it that must be kept up: a round that fell further behind measured something else."""

    def requests(self, seconds: float) -> range:
        """Return the requests of a round."""
        each = max(1, round(self.spans_per_second / SPANS * seconds / self.tasks))
        return range(each * self.tasks)


PACES: Final = {
    "paced": Pace(2_000, 4),
    "crowd": Pace(10_000, 100),
}


async def lags(handle: Handle, pace: Pace, requests: range) -> list[float]:
    """Answer requests at a pace and return by how many ms each tick of the probe was late.

    Raises:
        RuntimeError: the pace was not kept.
    """
    per_second = pace.spans_per_second / SPANS
    began = time.perf_counter()

    async def client(first: int) -> None:
        for number in requests[first :: pace.tasks]:
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            await handle(number)

    async def serve() -> None:
        await asyncio.gather(*(client(number) for number in range(pace.tasks)))

    late, seconds = await while_probed(serve)
    kept = (len(requests) - 1) / per_second / seconds
    if kept < pace.kept:
        raise RuntimeError(
            f"{kept:.0%} of {pace.spans_per_second:,} spans/s were kept up: this machine is too slow now"
        )
    return late


def _in_a_precise_loop(handle: Handle, pace: Pace, requests: range) -> list[float]:
    gc.collect()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(lags(handle, pace, requests))


def _bare(texts: Texts, pace: Pace, requests: range, worst: list[float]) -> float:
    late = _in_a_precise_loop(bare_service(texts), pace, requests)
    worst.append(max(late))
    return percentile(late, 99)


def _traced(buffer: str, texts: Texts, pace: Pace, requests: range, worst: list[float]) -> float:
    with Stored(buffer=buffer) as stored:
        late = _in_a_precise_loop(traced_service(texts, stored.recorder), pace, requests)
        result = stored.recorder.shutdown(_FLUSH_WITHIN_S)
        if not result.delivered or result.lost:
            raise RuntimeError(f"{result.pending} records are pending, lost: {result.lost}")
        stored.check_journal()
        asyncio.run(stored.read_back(texts, requests))
    worst.append(max(late))
    return percentile(late, 99)


def _rival() -> dict[str, Measure]:
    """Return how the OpenTelemetry SDK is measured; nothing where it is not installed."""
    try:
        from benchmarks.rivals.opentelemetry_sdk import OpenTelemetry  # noqa: PLC0415 - may be missing
    except ImportError:
        return {}

    def otel(texts: Texts, pace: Pace, requests: range, worst: list[float]) -> float:
        rival = OpenTelemetry()
        try:
            late = _in_a_precise_loop(rival.service(texts), pace, requests)
            exported, _ = rival.settle()
        finally:
            rival.close()
        if exported != len(requests) * SPANS:
            raise RuntimeError(f"OpenTelemetry: expected {len(requests) * SPANS} spans, exported {exported}")
        worst.append(max(late))
        return percentile(late, 99)

    return {"otel": otel}


def run(settings: Settings, step: Step) -> Table:
    """Measure both paces, with and without tracing."""
    texts = Texts(settings.seed)
    seconds = _SECONDS / 8 if settings.quick else _SECONDS
    ours = {_OURS[buffer]: partial(_traced, buffer) for buffer in settings.buffers}
    kinds: dict[str, Measure] = {"bare": _bare, **ours, **_rival()}
    worst: dict[str, list[float]] = {}
    candidates: dict[str, Callable[[], float]] = {}
    for name, pace in PACES.items():
        pace = replace(pace, kept=_KEPT_IN_A_QUICK_RUN) if settings.quick else pace  # noqa: PLW2901 - that one is meant
        for kind, measure in kinds.items():
            seen = worst.setdefault(f"{name}.{kind}", [])
            candidates[f"{name}.{kind}"] = partial(measure, texts, pace, pace.requests(seconds), seen)
    taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    rows = [row for name in PACES for row in _rows(name, taken, worst)]
    return Table(suite="lag", title="Lag of the event loop", method=METHOD, rows=rows)


def _rows(name: str, taken: Rounds, worst: Rounds) -> list[Row]:
    pace, bare = PACES[name], taken[f"{name}.bare"]
    label = f"{pace.spans_per_second:,} spans/s from {pace.tasks} tasks"
    noted = {kind: f"worst of all rounds: {max(figures):.1f} ms" for kind, figures in worst.items()}
    rows = [row_of(f"lag.{name}.bare", f"{label}: without tracing, p99", "ms", bare, note=noted[f"{name}.bare"])]
    if (traced := f"{name}.traced") in taken:
        rows += [
            row_of(f"lag.{traced}", f"{label}: traced, p99", "ms", taken[traced], note=noted[traced]),
            row_of(f"lag.{name}", f"{label}: caused by tracing", "ms", less(taken[traced], bare)),
        ]
    for kind, what in (("journal", "tracing with the journal"), ("otel", "the OpenTelemetry SDK")):
        if (other := f"{name}.{kind}") in taken:
            caused = less(taken[other], bare)
            rows.append(row_of(f"lag.{other}", f"{label}: caused by {what}", "ms", caused, note=noted[other]))
    return rows
