"""The pump moves batches of the right size in order, is fair to every thread, and wakes when it must."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.fakes import EVENT_LOOPS, FakeBackend, ManualClock, filled_ring, names, run_to_the_end, span_record
from tracecore.pump import Pump, PumpSettings
from tracecore.ring import Ring
from tracecore.sealing import Emitted

pytestmark = pytest.mark.parametrize("event_loop", EVENT_LOOPS)


def new_pump(ring: Ring[Any], sink: FakeBackend, **settings: Any) -> Pump:
    """Return a pump whose clock stands still and whose back-off takes no time."""
    return Pump(ring, sink, set(), PumpSettings(**settings), clock=ManualClock(), jitter=lambda _, __: 0.0)


def test_delivers_in_order_in_batches_of_items(event_loop: str) -> None:
    """Batches hold at most ``batch_items`` records, in the order of emission."""
    sink = FakeBackend()
    spans = [f"s{n}" for n in range(10)]
    pump = new_pump(filled_ring(*spans), sink, batch_items=4)
    run_to_the_end(pump, event_loop)
    assert [len(batch) for batch in sink.batches] == [4, 4, 2]
    assert names(sink.records) == spans
    assert pump.accounts.own.counts.delivered == 10


def test_batches_are_bounded_in_bytes(event_loop: str) -> None:
    """A batch ends with the record that brings it to ``batch_bytes``; a record larger than that goes alone."""
    sink = FakeBackend()
    pump = new_pump(filled_ring(*"abcde", size=400), sink, batch_bytes=1_000)
    run_to_the_end(pump, event_loop)
    assert [names(batch) for batch in sink.batches] == [["a", "b", "c"], ["d", "e"]]
    huge = FakeBackend()
    run_to_the_end(new_pump(filled_ring(*"ab", size=5_000), huge, batch_bytes=1_000), event_loop)
    assert [names(batch) for batch in huge.batches] == [["a"], ["b"]]


def test_settles_everything_it_took(event_loop: str) -> None:
    """After the end every record that was taken from the buffer is settled."""
    ring = filled_ring(*"abc")
    run_to_the_end(new_pump(ring, FakeBackend()), event_loop)
    totals = ring.totals()
    assert totals["accepted"] == totals["taken"] == totals["settled"] == 3


def test_a_busy_lane_starves_no_other(event_loop: str) -> None:
    """A thread that fills its lane faster than the sink writes does not keep another thread's records waiting."""
    ring = filled_ring(*"abcd")
    busy = ring._local
    ring._local = type(busy)()  # another thread's slot
    ring.push(Emitted(span_record("patient")))
    ring._local = busy

    async def refill(batch: list[Any]) -> None:
        if "patient" not in names(batch) and ring.totals()["accepted"] < 400:
            for name in names(batch):
                ring.push(Emitted(span_record(name)))

    sink = FakeBackend(on_write=refill)
    run_to_the_end(new_pump(ring, sink, batch_items=4), event_loop)
    assert "patient" in names([record for batch in sink.batches[:3] for record in batch])


def test_a_sink_that_never_waits_lets_the_loop_go_on(event_loop: str) -> None:
    """As a task of the program's loop the pump lets other tasks run between batches, whatever the sink does."""
    ring = filled_ring("first")
    ticks: list[int] = []

    class Hasty(FakeBackend):
        async def write(self, batch: Any) -> None:
            self.batches.append(list(batch))
            if len(self.batches) < 50:
                ring.push(Emitted(span_record("next")))

    sink = Hasty()
    pump = new_pump(ring, sink)

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            while not pump.finished:
                ticks.append(len(sink.batches))
                if len(sink.batches) >= 50:
                    pump.stop(5)
                await anyio.lowlevel.checkpoint()

    anyio.run(host, backend=event_loop)
    assert max(later - earlier for earlier, later in pairwise(ticks)) <= 2


def test_wakes_when_told(event_loop: str) -> None:
    """A record that comes while the pump sleeps is written as soon as somebody wakes it, not at the next interval."""
    ring = filled_ring()
    sink = FakeBackend()
    settled: list[int] = []
    told = lambda: settled.append(ring.totals()["settled"])  # noqa: E731 - one word about it
    settings = PumpSettings(flush_interval=3_600.0)
    pump = Pump(ring, sink, set(), settings, on_settled=told, clock=ManualClock())

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            while "maintain" not in sink.calls:
                await anyio.lowlevel.checkpoint()
            ring.push(Emitted(span_record("a")))
            pump.alarm.ring()
            with anyio.fail_after(10):
                while not settled:
                    await anyio.lowlevel.checkpoint()
            pump.stop(10)

    anyio.run(host, backend=event_loop)
    assert names(sink.records) == ["a"]
    assert settled == [1, 1], "once it is settled, and at the end"


def test_many_wakes_are_one(event_loop: str) -> None:
    """Waking a pump whose loop is busy ten thousand times leaves at most a few calls behind in that loop."""

    class Deaf(FakeBackend):
        async def write(self, batch: Any) -> None:
            for _ in range(10_000):  # as full lanes do while a sink keeps the loop to itself
                pump.alarm.ring()
            self.batches.append(list(batch))

    pump = new_pump(filled_ring("a"), Deaf())
    run_to_the_end(pump, event_loop)
    assert pump.alarm.signs < 10
