"""A burst: spans made as fast as one thread can make them, far more than the buffer holds, and then a flush.

The point is the account, not the speed: what the buffer has no room for is dropped and counted, and what was delivered
is in the file. The memory of the process must stay within the buffer's bound and what the pump has in hand.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from benchmarks.account import EXACT, Account
from benchmarks.figures import Row, Settings, Table
from benchmarks.machine import peak_memory, resident_memory
from benchmarks.progress import Step
from benchmarks.stored import Stored
from benchmarks.workload import ARGUMENTS, answer
from tracecore import Recorder, observe

__all__ = ["burst", "run"]

METHOD: Final = (
    "One thread makes spans (200 B of payload, 100 to a trace) without a pause; the pump stores them in an SQLite file"
    " beside it; then a flush. The buffer holds 65,536 records or 64 MiB (in a quick run a quarter of the records), and"
    " `on_full` is `drop`. Memory is the peak of the process less what it had after a first trace. One burst: its"
    " account must be exact every time."
)
_SPANS: Final = 200_000
_PER_TRACE: Final = 100
_BUFFER_ITEMS: Final = 65_536
_FLUSH_WITHIN_S: Final = 120.0
_MB: Final = 1 << 20


class Burst(Account, kw_only=True):
    """Say what became of the spans of a burst, and what it took."""

    make_s: float
    flush_s: float
    memory: int


def burst(spans: int, buffer_items: int) -> Burst:
    """Make spans, flush, and account for all of them.

    Raises:
        RuntimeError: one is neither in the file nor counted as lost.
    """
    with Stored(buffer_items=buffer_items) as stored:
        asyncio.run(_make(stored.recorder, 1))
        stored.recorder.flush(_FLUSH_WITHIN_S)
        before, began = resident_memory(), time.perf_counter()
        made = _PER_TRACE + asyncio.run(_make(stored.recorder, spans // _PER_TRACE))
        made_at = time.perf_counter()
        result = stored.recorder.flush(_FLUSH_WITHIN_S)
        flushed_at, memory = time.perf_counter(), peak_memory() - before
        if result.pending:
            raise RuntimeError(f"{result.pending} records are pending after {_FLUSH_WITHIN_S} s")
        health = stored.recorder.health()
        stored.recorder.shutdown()
        there = asyncio.run(stored.count())
    found = Burst(
        made=made, emitted=health.emitted, delivered=health.delivered, lost=dict(health.lost), stored=there,
        make_s=made_at - began, flush_s=flushed_at - made_at, memory=memory,
    )  # fmt: skip
    found.check()
    return found


async def _make(recorder: Recorder, traces: int) -> int:
    """Make traces without giving way to anything and return the number of spans."""
    nested = observe(answer)

    @observe(recorder=recorder, capture_input=False)
    async def trace() -> None:
        for _ in range(_PER_TRACE - 1):
            await nested(*ARGUMENTS)

    for _ in range(traces):
        await trace()
    return traces * _PER_TRACE


def run(settings: Settings, step: Step) -> Table:
    """Make one burst and say what became of it."""
    step("making spans", 0.0)
    found = burst(settings.size_of(_SPANS), settings.size_of(_BUFFER_ITEMS))
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in found.lost.items() if count)
    return Table(suite="burst", title="A burst", method=METHOD, rows=_rows(found, reasons))


def _rows(found: Burst, reasons: str) -> list[Row]:
    lost = sum(found.lost.values())
    return [
        Row(key="burst.made", label="made", unit="spans", value=found.made),
        Row(key="burst.rate", label="made per second", unit="spans/s", value=(found.made - _PER_TRACE) / found.make_s),
        Row(key="burst.stored", label="delivered, and counted in the file", unit="spans", value=found.stored),
        Row(key="burst.lost", label="dropped and counted", unit="spans", value=lost, note=reasons),
        Row(key="burst.missing", label="neither stored nor counted", unit="spans", value=found.missing, note=EXACT),
        Row(key="burst.flush", label="flush after the last one", unit="s", value=found.flush_s),
        Row(key="burst.memory", label="memory over what it was before", unit="MB", value=found.memory / _MB),
    ]
