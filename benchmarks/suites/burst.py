"""A burst: spans made as fast as one thread can make them, far more than the buffer holds, and then a flush.

The point is the account, not the speed: what the buffer has no room for is dropped and counted, and what was delivered
is in the file. The memory of the process must stay within the buffer's bound and what the pump has in hand. The same
burst meets a store at work and one that refuses everything until the last span is made, and waits in memory or in the
journal, which has room for all of it. Each is made by a process of its own.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Literal

from msgspec import Struct

from benchmarks.account import EXACT, Account
from benchmarks.apart import apart
from benchmarks.figures import Row, Settings, Table
from benchmarks.machine import anonymous_memory, peak_memory, resident_memory
from benchmarks.numbered_spans import Trace, check_numbered, tracing
from benchmarks.progress import Step
from benchmarks.stored import Stored

__all__ = ["Burst", "Order", "burst", "run"]

METHOD: Final = (
    "One thread makes spans (200 B of payload, 100 to a trace) without a pause; the pump stores them in an SQLite file"
    " beside it, or tries to: where the store is away, it refuses every write until the last span is made. Then a"
    " flush. In memory 65,536 records or 64 MiB may wait (in a quick run a tenth of the records), and `on_full` is"
    " `drop`; the journal may take 512 MiB. Memory is the peak of the process less what it had after a first trace."
    " Memory of a file, as the journal is, can be taken back by the system; the rest cannot. Every burst has a process"
    " and a file of its own, and is made once: its account must be exact every time. What is stored is read back and"
    " compared."
)
_SPANS: Final = 200_000
_PER_TRACE: Final = 100
_BUFFER_ITEMS: Final = 65_536
_FLUSH_WITHIN_S: Final = 120.0
_MB: Final = 1 << 20


class Order(Struct, frozen=True, kw_only=True):
    """Say how many spans to make, where they wait, and whether the store is away meanwhile."""

    spans: int
    buffer: Literal["memory", "journal"] = "memory"
    buffer_items: int = _BUFFER_ITEMS
    away: bool = False


class Burst(Account, kw_only=True):
    """Say what became of the spans of a burst, and what it took: seconds of wall clock, and bytes."""

    make_s: float
    flush_s: float
    asked_after_s: float
    """Of the flush, how long it took until a store that had been away was asked again."""
    memory: int
    anonymous: int
    """Bytes that were of no file when the last span was made, less those before."""


def burst(order: Order) -> Burst:
    """Make spans, flush, and account for all of them; read back what is stored.

    Raises:
        RuntimeError: one is neither in the file nor counted as lost, or is not what was emitted.
    """
    with Stored(buffer=order.buffer, buffer_items=order.buffer_items) as stored:
        trace = tracing(stored.recorder, _PER_TRACE)
        asyncio.run(trace(0))
        stored.recorder.flush(_FLUSH_WITHIN_S)
        stored.backend.away = order.away
        before, anonymous, began = resident_memory(), anonymous_memory(), time.perf_counter()
        numbers = asyncio.run(_make(trace, order.spans))
        made_at, anonymous = time.perf_counter(), anonymous_memory() - anonymous
        stored.backend.come_back()
        result = stored.recorder.flush(_FLUSH_WITHIN_S)
        flushed_at, memory = time.perf_counter(), peak_memory() - before
        if result.pending:
            raise RuntimeError(f"{result.pending} records are pending after {_FLUSH_WITHIN_S} s")
        health = stored.recorder.health()
        stored.recorder.shutdown()
        stored.check_journal()
        found = Burst(
            made=len(numbers), emitted=health.emitted, delivered=health.delivered, lost=dict(health.lost),
            stored=asyncio.run(_read_back(stored, numbers)), make_s=made_at - began, flush_s=flushed_at - made_at,
            asked_after_s=(stored.backend.asked_again_at or made_at) - made_at, memory=memory, anonymous=anonymous,
        )  # fmt: skip
    found.check()
    return found


async def _make(trace: Trace, spans: int) -> range:
    """Make traces without giving way to anything and return the numbers of all spans, the first trace's too."""
    numbers = range(_PER_TRACE + spans)
    for first in numbers[_PER_TRACE::_PER_TRACE]:
        await trace(first)
    return numbers


async def _read_back(stored: Stored, numbers: range) -> int:
    async with stored.reading() as reader:
        return await check_numbered(reader, numbers, _PER_TRACE)


class _Kind(Struct, frozen=True):
    """Say what a burst meets."""

    key: str
    label: str
    buffer: Literal["memory", "journal"]
    away: bool


_KINDS: Final = (
    _Kind("", "", "memory", away=False),
    _Kind("journal.", "journal: ", "journal", away=False),
    _Kind("away.", "store away: ", "memory", away=True),
    _Kind("away.journal.", "store away, journal: ", "journal", away=True),
)


def run(settings: Settings, step: Step) -> Table:
    """Make each kind of burst once and say what became of it."""
    rows: list[Row] = []
    less = 10 if settings.quick else 1
    for number, kind in enumerate(_KINDS):
        step(f"{kind.label or 'memory: '}making spans", number / len(_KINDS))
        order = Order(
            spans=_SPANS // less, buffer=kind.buffer, buffer_items=_BUFFER_ITEMS // less, away=kind.away
        )  # fmt: skip
        rows += _rows(kind, apart(burst, order))
    return Table(suite="burst", title="A burst", method=METHOD, rows=rows)


def _rows(kind: _Kind, found: Burst) -> list[Row]:
    burst_of, lost = found.made - _PER_TRACE, sum(found.lost.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in found.lost.items() if count)
    asked = f"{found.asked_after_s:.2f} s of it until the store was asked again" if kind.away else ""

    def row(key: str, label: str, unit: str, value: float, note: str = "") -> Row:
        return Row(key=f"burst.{kind.key}{key}", label=f"{kind.label}{label}", unit=unit, value=value, note=note)

    return [
        row("made", "made", "spans", found.made),
        row("rate", "made per second", "spans/s", burst_of / found.make_s),
        row("emit", "time to make one", "ns", found.make_s / burst_of * 1e9),
        row("stored", "delivered, read back and compared", "spans", found.stored),
        row("lost", "dropped and counted", "spans", lost, reasons),
        row("missing", "neither stored nor counted", "spans", found.missing, EXACT),
        row("flush", "flush after the last one", "s", found.flush_s, asked),
        row("memory", "memory over what it was before", "MB", found.memory / _MB),
        row("anonymous", "memory of no file, after the last one", "MB", found.anonymous / _MB),
    ]
