"""An outage: the store refuses everything for a while, the program goes on, and then the store comes back.

A program that traces must not notice: emitting costs what it did, and the memory of the process stays within the
buffer's bound. Phases with the store at work and with the store away take turns in one process and one recorder. At
the end everything is delivered or counted as lost, and what is stored is read back.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from msgspec import Struct

from benchmarks.account import EXACT, Account
from benchmarks.apart import apart
from benchmarks.figures import Row, Settings, Table
from benchmarks.machine import anonymous_memory, peak_memory, resident_memory
from benchmarks.measure import ratio, row_of
from benchmarks.numbered_spans import Trace, check_numbered, question_of, tracing
from benchmarks.progress import Step
from benchmarks.stored import Stored

__all__ = ["Order", "Outage", "outage", "run"]

METHOD: Final = (
    "Spans (1.1 KB of payload, 10 to a trace) at a pace of 1,000 a second, and as fast as one thread can make them, by"
    " turns with the store (SQLite) at work and away: then it refuses every write at once. A turn ends when everything"
    " is delivered, or the store comes back. A cost is CPU of the caller per span, the median over a turn's traces; its"
    " ratio is to the turn before, with the store at work. Memory is the most that the process had during an outage,"
    " less what it had after the first turn; with the delivery afterwards, the peak of the process takes its place. In"
    " memory 64 MiB may wait, and `on_full` is `drop`; the journal may take 512 MiB. Memory of a file, as the journal"
    " is, can be taken back by the system; the rest cannot. Each buffer and pace has a process of its own. At the end"
    " everything is accounted for, read back and compared."
)
_PER_TRACE: Final = 10
_QUESTION: Final = 1_000
"""Characters."""
_PER_SECOND: Final = 1_000
_ROUNDS: Final = 5
_AT_WORK_S: Final = 3.0
_AWAY_S: Final = 6.0
_FAST_ROUNDS: Final = 3
_FAST_AT_WORK: Final = 20_000
_FAST_AWAY: Final = 80_000
"""Spans in an outage: twice what may wait in memory."""
_LOOK_EVERY: Final = 20
"""Traces between two looks at the memory of the process."""
_FLUSH_WITHIN_S: Final = 120.0
_MB: Final = 1 << 20


class Order(Struct, frozen=True, kw_only=True):
    """Say where spans wait, how many each turn makes, and how many a second; 0 is as fast as possible."""

    buffer: Literal["memory", "journal"]
    per_second: int
    at_work: int
    away: int
    rounds: int


class Outage(Account, kw_only=True):
    """Say what became of all spans, and what the outages took: a figure a round."""

    at_work_ns: list[float]
    away_ns: list[float]
    late_ns: list[float]
    """In the last quarter of each outage, when the buffer is as full as it gets."""
    longest_ms: float
    """The longest that one trace has kept the program, by the wall clock, while the store was away."""
    memory: list[int]
    """The most bytes during each outage, less those after the first turn."""
    anonymous: list[int]
    """The same of what was of no file."""
    peak: int
    """The most bytes over all, also while what had waited was delivered, less those after the first turn."""
    recovered_s: list[float]
    """Seconds from the return of the store until everything was delivered."""


class Turn(Struct):
    """Collect what the traces of one turn cost: ns of CPU per span, and the longest in ns of wall clock.

    ``memory`` and ``anonymous`` are the most bytes of the process meanwhile.
    """

    costs: list[float] = []
    longest: int = 0
    memory: int = 0
    anonymous: int = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one trace."""
        began, cpu = time.perf_counter_ns(), time.thread_time_ns()
        yield
        self.costs.append((time.thread_time_ns() - cpu) / _PER_TRACE)
        self.longest = max(self.longest, time.perf_counter_ns() - began)
        if len(self.costs) % _LOOK_EVERY == 0:
            self.memory, self.anonymous = max(self.memory, resident_memory()), max(self.anonymous, anonymous_memory())


def outage(order: Order) -> Outage:
    """Emit by turns with the store at work and away, and account for everything.

    Raises:
        RuntimeError: a span is neither in the file nor counted as lost, or is not what was emitted.
    """
    found = Outage(
        made=0, emitted=0, delivered=0, lost={}, stored=0, at_work_ns=[], away_ns=[], late_ns=[], longest_ms=0.0,
        memory=[], anonymous=[], peak=0, recovered_s=[],
    )  # fmt: skip
    question = question_of(_QUESTION)
    with Stored(buffer=order.buffer) as stored:
        stored.backend.wait_until_open()
        asyncio.run(_turns(stored, tracing(stored.recorder, _PER_TRACE, question), order, found))
        health = stored.recorder.health()
        stored.recorder.shutdown()
        stored.check_journal()
        found.emitted, found.delivered, found.lost = health.emitted, health.delivered, dict(health.lost)
        found.stored = asyncio.run(_read_back(stored, range(found.made), question))
    found.check()
    return found


async def _turns(stored: Stored, trace: Trace, order: Order, found: Outage) -> None:
    await _turn(trace, order, order.at_work, found)  # warms everything up
    await _delivered(stored)
    gc.collect()
    before = resident_memory(), anonymous_memory()
    for _ in range(order.rounds):
        at_work = await _turn(trace, order, order.at_work, found)
        await _delivered(stored)
        stored.backend.away = True
        away = await _turn(trace, order, order.away, found)
        found.memory.append(away.memory - before[0])
        found.anonymous.append(away.anonymous - before[1])
        stored.backend.come_back()
        began = time.perf_counter()
        await _delivered(stored)
        found.recovered_s.append(time.perf_counter() - began)
        found.at_work_ns.append(statistics.median(at_work.costs))
        found.away_ns.append(statistics.median(away.costs))
        found.late_ns.append(statistics.median(away.costs[-(len(away.costs) // 4) :]))
        found.longest_ms = max(found.longest_ms, away.longest / 1e6)
    found.peak = peak_memory() - before[0]


async def _turn(trace: Trace, order: Order, spans: int, found: Outage) -> Turn:
    """Make so many spans, at the pace that is set."""
    turn, began = Turn(), time.perf_counter()
    for number in range(0, spans, _PER_TRACE):
        if order.per_second:
            await asyncio.sleep(max(0.0, began + number / order.per_second - time.perf_counter()))
        with turn.timed():
            await trace(found.made)
        found.made += _PER_TRACE
    return turn


async def _delivered(stored: Stored) -> None:
    result = await stored.recorder.aflush(_FLUSH_WITHIN_S)
    if result.pending:
        raise RuntimeError(f"{result.pending} records are pending after {_FLUSH_WITHIN_S} s")


async def _read_back(stored: Stored, numbers: range, question: str) -> int:
    async with stored.reading() as reader:
        return await check_numbered(reader, numbers, _PER_TRACE, question)


def run(settings: Settings, step: Step) -> Table:
    """Have each buffer go through outages at each pace."""
    orders = _orders(settings)
    rows: list[Row] = []
    for number, (key, order) in enumerate(orders.items()):
        step(f"{order.buffer}, {'paced' if order.per_second else 'as fast as possible'}", number / len(orders))
        rows += _rows(key, order, apart(outage, order))
    return Table(suite="outage", title="An outage of the store", method=METHOD, rows=rows)


def _orders(settings: Settings) -> dict[str, Order]:
    """Return what is measured, by the first part of its keys; a quick run has outages of half a second."""
    less = 10 if settings.quick else 1
    paced = {
        "per_second": _PER_SECOND, "at_work": int(_PER_SECOND * _AT_WORK_S) // less,
        "away": int(_PER_SECOND * _AWAY_S) // less, "rounds": settings.rounds_of(_ROUNDS),
    }  # fmt: skip
    fast = {
        "per_second": 0, "at_work": _FAST_AT_WORK // less, "away": _FAST_AWAY // less,
        "rounds": settings.rounds_of(_FAST_ROUNDS),
    }  # fmt: skip
    return {
        "paced.memory": Order(buffer="memory", **paced), "paced.journal": Order(buffer="journal", **paced),
        "fast.memory": Order(buffer="memory", **fast), "fast.journal": Order(buffer="journal", **fast),
    }  # fmt: skip


def _rows(key: str, order: Order, found: Outage) -> list[Row]:
    pace = f"{order.per_second:,} spans/s" if order.per_second else "as fast as possible"
    label, lost = f"{order.buffer}, {pace}", sum(found.lost.values())
    times = [ratio(away, at_work) for away, at_work in zip(found.away_ns, found.at_work_ns, strict=True)]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in found.lost.items() if count)

    def row(name: str, what: str, unit: str, figures: list[float], note: str = "") -> Row:
        return row_of(f"outage.{key}.{name}", f"{label}: {what}", unit, figures, note=note)

    def once(name: str, what: str, unit: str, value: float, note: str = "") -> Row:
        return Row(key=f"outage.{key}.{name}", label=f"{label}: {what}", unit=unit, value=value, note=note)

    return [
        row("at_work", "emit, the store at work", "ns", found.at_work_ns),
        row("away", "emit, the store away", "ns", found.away_ns, f"longest trace: {found.longest_ms:.1f} ms"),
        row("late", "emit, in the last quarter of an outage", "ns", found.late_ns),
        row("times", "emit, away ÷ at work", "x", times),
        once("memory", "memory over what it was before", "MB", max(found.memory) / _MB),
        once("anonymous", "memory of no file", "MB", max(found.anonymous) / _MB),
        once("peak", "memory, the delivery afterwards too", "MB", found.peak / _MB),
        row("recovered", "from its return until all is delivered", "s", found.recovered_s),
        once("made", "made", "spans", found.made),
        once("stored", "delivered, read back and compared", "spans", found.stored),
        once("lost", "dropped and counted", "spans", lost, reasons),
        once("missing", "neither stored nor counted", "spans", found.missing, EXACT),
    ]
