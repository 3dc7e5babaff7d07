"""Delivery settles every record in order and at once: whole, halved, probed, in part, or not in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import anyio
import pytest
from msgspec import Raw

from tests.fakes import EVENT_LOOPS, FakeBackend, ManualClock, filled_ring, hanging, names, run_to_the_end, span_record
from tracecore.backend import Capabilities, Receipt
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.pump import Pump, PumpSettings
from tracecore.records import LedgerEntry, Record
from tracecore.ring import Ring
from tracecore.sealing import Emitted


def no_jitter(_: float, __: float) -> float:
    """Wait no longer than one must."""
    return 0.0


def pump_of(ring: Ring[Any], sink: Any, clock: ManualClock | None = None, **settings: Any) -> Pump:
    """Return a pump whose back-off takes no time."""
    return Pump(ring, sink, set(), PumpSettings(**settings), clock=clock or ManualClock(), jitter=no_jitter)


class Keeping(FakeBackend):
    """Keep a ledger too."""

    capabilities = Capabilities(ledger=True)

    @property
    def entries(self) -> list[LedgerEntry]:
        """Return the ledger entries, one per batch."""
        return [entry for batch in self.batches for entry in batch if isinstance(entry, LedgerEntry)]


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_a_few_records_come_first_after_an_outage(event_loop: str) -> None:
    """A sink that has failed five times is tried with 64 records, and given the rest once it has taken those."""

    async def six_times_away(_: list[Record]) -> None:
        if len(sink.attempts) <= 6:
            raise BackendUnavailable("away")

    sink = FakeBackend(on_write=six_times_away)
    pump = pump_of(filled_ring(*(f"s{n}" for n in range(300))), sink)
    run_to_the_end(pump, event_loop)
    assert [len(batch) for batch in sink.attempts] == [300] * 5 + [64, 64, 236]
    assert names(sink.records) == [f"s{n}" for n in range(300)]
    assert pump.accounts.own.counts.delivered == 300
    assert pump.breaker.state == "closed"


def test_a_probe_that_is_refused_is_an_answer() -> None:
    """A sink that refuses the probe is there again: the poison in it is isolated, and the rest goes at once."""

    async def away_then_choosy(batch: list[Record]) -> None:
        if len(sink.attempts) <= 5:
            raise BackendUnavailable("away")
        if "s3" in names(batch):
            raise BackendRejected("bad")

    sink = FakeBackend(on_write=away_then_choosy)
    pump = pump_of(filled_ring(*(f"s{n}" for n in range(200))), sink)
    run_to_the_end(pump, "asyncio")
    assert names(sink.records) == [f"s{n}" for n in range(200) if n != 3]
    assert pump.accounts.own.counts.losses.counts()["rejected"] == 1


def test_a_backend_says_when_to_come_again() -> None:
    """Whoever says how long to wait is asked again no earlier, and with whatever garbage at the usual time."""
    waits: list[float] = []

    async def busy(_: list[Record]) -> None:
        waits.append(pump.breaker.wait())
        if len(sink.attempts) == 1:
            raise BackendUnavailable("busy", retry_after=7.0)
        if len(sink.attempts) == 2:
            raise BackendUnavailable("busy", retry_after=math.nan)

    async def sleep_through(seconds: float, *, at_least: float) -> None:
        slept.append((seconds, at_least))
        clock.advance(seconds)

    slept: list[tuple[float, float]] = []
    clock = ManualClock()
    sink = FakeBackend(on_write=busy)
    pump = pump_of(filled_ring("a"), sink, clock)
    pump.alarm.sleep_through = sleep_through  # type: ignore[method-assign]  # time passes at once
    run_to_the_end(pump, "asyncio")
    assert slept == [(7.0, 7.0), (0.0, 1.0)]
    assert names(sink.records) == ["a"]


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
@pytest.mark.parametrize("stage", ["on_open", "on_write"])
def test_no_answer_in_time(event_loop: str, stage: str) -> None:
    """A write or an opening that does not answer in time is cancelled and tried again."""
    calls = 0

    async def hang_once(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await hanging()

    sink = FakeBackend(**{stage: hang_once})
    pump = pump_of(filled_ring("a"), sink, write_timeout=0.02)
    run_to_the_end(pump, event_loop)
    assert names(sink.records) == ["a"]
    assert calls == 2
    assert "did not answer within 0.02 s" in (pump.accounts.last_error or "")


def test_for_ever_is_a_time_too() -> None:
    """With a time of 0 a write may take as long as it likes."""

    async def slow(_: list[Record]) -> None:
        await anyio.sleep(0.05)

    sink = FakeBackend(on_write=slow)
    pump = pump_of(filled_ring("a"), sink, write_timeout=0)
    run_to_the_end(pump, "asyncio")
    assert pump.accounts.last_error is None
    assert len(sink.attempts) == 1


class Partial(FakeBackend):
    """Keep a batch in part, as a server may that takes records one by one."""

    def __init__(self, receipt: Any) -> None:
        super().__init__()
        self._receipt = receipt

    async def write(self, batch: Sequence[Record]) -> Any:
        """Keep what is kept."""
        await super().write(batch)
        return self._receipt


@pytest.mark.parametrize(
    ("receipt", "rejected"),
    [(Receipt(rejected=2, reason="too old"), 2), (Receipt(), 0), (None, 0), (Receipt(rejected=99), 5), (7, 0)],
)
def test_what_was_kept_in_part_is_counted_in_part(receipt: Any, rejected: int) -> None:
    """Of a batch that a backend took in part what it rejected is lost, and never more than was sent."""
    ring = filled_ring(*"abcde")
    pump = pump_of(ring, Partial(receipt))
    run_to_the_end(pump, "asyncio")
    counts = pump.accounts.own.counts
    assert (counts.delivered, counts.losses.counts()["rejected"]) == (5 - rejected, rejected)
    assert ring.totals()["settled"] == 5
    lost = any(pump.accounts.lost_traces.of(span_record(name).trace_id) for name in "abcde")
    assert lost is (rejected > 0), "of which trace is not known, so no one's is called delivered"


class Unprintable:
    """What nobody can look at."""

    def __repr__(self) -> str:
        """Fail."""
        raise ValueError

    __str__ = __repr__


@pytest.mark.parametrize(
    "answer",
    [
        7, True, "ok", {"rejected": 2}, Unprintable(), Receipt(rejected=-1), Receipt(rejected=-(10**5_000)),
        *(Receipt(rejected=wrong) for wrong in cast("list[int]", ["3", None, 1.5, math.nan, True, Unprintable()])),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_understood_rejects_nothing(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A sink that breaks its contract has taken its batches: all counts are whole numbers, and the log says it once."""
    pump = pump_of(filled_ring(*"abcde"), Partial(answer), batch_items=2)
    run_to_the_end(pump, "asyncio")
    counts = pump.accounts.own.counts
    assert (counts.delivered, counts.losses.total(), pump.death) == (5, 0, None)
    assert type(counts.delivered) is int
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "can be understood" in caplog.messages[0]


def test_a_reason_that_is_no_text_is_a_reason() -> None:
    """How many were rejected counts whatever the reason looks like."""
    pump = pump_of(filled_ring(*"abc"), Partial(Receipt(rejected=2, reason=cast("str", Unprintable()))))
    run_to_the_end(pump, "asyncio")
    assert (pump.accounts.own.counts.delivered, pump.death) == (1, None)
    assert "of the type Unprintable" in (pump.accounts.last_error or "")


def test_memory_that_runs_out_is_no_refusal() -> None:
    """A sink that finds no memory is asked again, with the same records: none of them is to blame."""

    async def once(_: list[Record]) -> None:
        if len(sink.attempts) == 1:
            raise MemoryError

    sink = FakeBackend(on_write=once)
    pump = pump_of(filled_ring(*"abc"), sink)
    run_to_the_end(pump, "asyncio")
    assert [len(batch) for batch in sink.attempts] == [3, 3]


def test_every_batch_is_counted_in_itself() -> None:
    """Each batch carries one entry, the last of it, that counts what is stored with it, halves and bare forms too."""

    async def choosy(batch: list[Record]) -> None:
        if any(b"poison" in bytes(getattr(record, "input", b"")) for record in batch):
            raise BackendRejected("bad")
        if len(sink.attempts) == 3:
            raise BackendUnavailable("away")

    ring = filled_ring(*"abc")
    push_poison(ring)
    for name in "def":
        ring.push(filled_ring(name).lanes()[0].items[0])
    sink = Keeping(on_write=choosy)
    pump = pump_of(ring, sink, batch_items=5)
    run_to_the_end(pump, "asyncio")
    stored = 0
    for batch in sink.batches:
        *records, entry = batch
        assert isinstance(entry, LedgerEntry)
        stored += len(records)
        assert (entry.delivered, entry.unaccounted, entry.emitted) == (stored, 0, 7)
    assert stored == 7
    last = sink.entries[-1]
    assert (last.ended, last.waiting, last.lost) == (True, 0, None)
    assert {entry.process for entry in sink.entries} == {pump.accounts.process}
    assert not any(entry.ended for entry in sink.entries[:-1])


def push_poison(ring: Ring[Any]) -> None:
    """Add a record that the sink refuses."""
    ring.push(Emitted(span_record("poison", input=Raw(b'"poison"')), 1))


def test_a_sink_without_a_ledger_is_sent_none() -> None:
    """Entries go only where they are kept."""
    sink = FakeBackend()
    run_to_the_end(pump_of(filled_ring("a"), sink), "asyncio")
    assert names(sink.records) == ["a"]
    assert len(sink.records) == 1


def test_the_ledger_says_that_the_process_lives() -> None:
    """Every half a minute an entry says so while a span is known to be running, or something new; otherwise none."""
    clock, sink = ManualClock(), Keeping()
    ring = filled_ring()
    pump = pump_of(ring, sink, clock)
    times: list[int] = []

    async def maintain() -> bool:
        times.append(len(sink.entries))
        clock.advance(16)
        if len(times) == 5:
            ring.count_sampled()
        if len(times) == 12:
            pump.stop(10)
        return True

    sink._on_maintain = maintain
    anyio.run(pump.run)
    assert times[:5] == [0] * 5, "there is nothing to say"
    assert sink.entries[0].sampled == 1
    assert len(sink.entries) == 2, "once, and at the end"
