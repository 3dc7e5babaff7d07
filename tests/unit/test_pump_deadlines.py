"""The pump asks an unavailable sink again for as long as it may, and ends by its deadline whatever the sink does."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.fakes import EVENT_LOOPS, FakeBackend, ManualClock, filled_ring, hanging, names, run_to_the_end, span_record
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.pump import Pump, PumpSettings
from tracecore.sealing import Emitted

pytestmark = pytest.mark.parametrize("event_loop", EVENT_LOOPS)


def test_back_off_doubles_with_full_jitter(event_loop: str) -> None:
    """An unavailable sink is asked again after up to 50 ms, 100 ms, … 5 s, and then every record is delivered once."""
    bounds: list[tuple[float, float]] = []

    async def nine_times_away(_: list[Any]) -> None:
        if len(sink.attempts) < 10:
            raise BackendUnavailable("away")

    def jitter(low: float, high: float) -> float:
        bounds.append((low, high))
        return 0.0

    sink = FakeBackend(on_write=nine_times_away)
    pump = Pump(filled_ring(*"ab"), sink, set(), PumpSettings(), clock=ManualClock(), jitter=jitter)
    run_to_the_end(pump, event_loop)
    assert bounds == [(0, wait) for wait in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)]
    assert names(sink.records) == ["a", "b"]
    assert sum(pump.accounts.own.counts.losses.counts().values()) == 0


def test_deadline_ends_the_attempts(event_loop: str) -> None:
    """When the time to stop is up an unavailable sink is asked no more: its batch and the rest stay accounted for."""
    clock = ManualClock()

    async def away(_: list[Any]) -> None:
        clock.advance(2)
        raise BackendUnavailable("away")

    sink = FakeBackend(on_write=away)
    ring = filled_ring(*"abc")
    pump = Pump(ring, sink, set(), PumpSettings(batch_items=2), clock=clock, jitter=lambda _, __: 0.0)
    run_to_the_end(pump, event_loop, timeout=5.0)
    assert len(sink.attempts) == 3
    assert pump.accounts.own.counts.losses.counts()["unavailable"] == 2
    assert ring.totals()["accepted"] - ring.totals()["taken"] == 1
    assert sink.calls[-1] == "close"


@pytest.mark.parametrize("stage", ["on_open", "on_write", "on_close"])
def test_a_hanging_sink_is_left_at_the_deadline(event_loop: str, stage: str) -> None:
    """A sink that never returns, whatever it was doing, is cancelled and closed when the time is up."""
    sink = FakeBackend(**{stage: hanging})
    pump = Pump(filled_ring("a"), sink, set(), PumpSettings())
    run_to_the_end(pump, event_loop, timeout=0.02)
    assert pump.finished
    assert sink.calls[-1] == "close"


def test_stopping_ends_a_hanging_maintenance(event_loop: str) -> None:
    """Deferred work that never returns does not keep the pump from ending."""

    async def forever() -> bool:
        pump.stop(0.02)
        await anyio.sleep_forever()
        return True

    sink = FakeBackend(on_maintain=forever)
    pump = Pump(filled_ring("a"), sink, set(), PumpSettings())
    anyio.run(pump.run, backend=event_loop)
    assert names(sink.records) == ["a"]
    assert sink.calls[-1] == "close"


def test_stopping_interrupts_the_back_off(event_loop: str) -> None:
    """A pump that sleeps an hour between attempts makes its next attempt as soon as it is told to stop."""

    async def once_away(_: list[Any]) -> None:
        if len(sink.attempts) == 1:
            raise BackendUnavailable("away")

    sink = FakeBackend(on_write=once_away)
    pump = Pump(filled_ring("a"), sink, set(), PumpSettings(), jitter=lambda _, __: 3_600.0)

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            while not sink.attempts:
                await anyio.lowlevel.checkpoint()
            with anyio.fail_after(10):
                pump.stop(30)
                while not pump.finished:
                    await anyio.lowlevel.checkpoint()

    anyio.run(host, backend=event_loop)
    assert names(sink.records) == ["a"]


def test_flushing_does_not_cut_the_back_off_short(event_loop: str) -> None:
    """Whoever waits for delivery wakes the pump, but does not make it storm a sink that is down."""
    waits: list[float] = []

    def jitter(_: float, high: float) -> float:
        waits.append(high)
        return 3_600.0

    async def away(_: list[Any]) -> None:
        raise BackendUnavailable("away")

    sink = FakeBackend(on_write=away)
    pump = Pump(filled_ring("a"), sink, set(), PumpSettings(), jitter=jitter)

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            while not waits:
                await anyio.lowlevel.checkpoint()
            for _ in range(20):
                pump.alarm.ring()
                await anyio.lowlevel.checkpoint()
            assert len(sink.attempts) == 1
            pump.stop(0)

    anyio.run(host, backend=event_loop)


def test_opening_is_tried_until_it_works(event_loop: str) -> None:
    """A sink that cannot be opened at first is opened later, and receives what waited meanwhile."""

    async def twice_away() -> None:
        if sink.calls.count("open") < 3:
            raise BackendUnavailable("locked")

    sink = FakeBackend(on_open=twice_away)
    pump = Pump(filled_ring(*"ab"), sink, set(), PumpSettings(), clock=ManualClock(), jitter=lambda _, __: 0.0)
    run_to_the_end(pump, event_loop)
    assert sink.calls == ["open", "open", "open", "write", "close"]
    assert names(sink.records) == ["a", "b"]
    assert pump.opened


def test_a_refused_opening_ends_with_the_program(event_loop: str) -> None:
    """A sink that will never open does not make the end of the program wait: asking again is for running programs."""
    waits: list[float] = []

    async def refuse() -> None:
        raise BackendRejected("not a database")

    def jitter(_: float, high: float) -> float:
        waits.append(high)
        return 0.0

    sink = FakeBackend(on_open=refuse)
    pump = Pump(filled_ring("a"), sink, set(), PumpSettings(), jitter=jitter)
    pump.stop(3_600)

    async def host() -> None:
        with anyio.fail_after(10):
            await pump.run()

    anyio.run(host, backend=event_loop)
    assert sink.calls == ["open", "close"]
    assert not pump.opened


def test_maintenance_goes_on_while_more_remains(event_loop: str) -> None:
    """Deferred work is done slice by slice when there is nothing to write, and gives way to what is emitted."""
    ring = filled_ring("a")

    async def slices() -> bool:
        count = sink.calls.count("maintain")
        if count == 2:
            ring.push(Emitted(span_record("b")))
        if count == 4:
            pump.stop(10)
        return count < 4

    sink = FakeBackend(on_maintain=slices)
    pump = Pump(ring, sink, set(), PumpSettings(flush_interval=3_600.0))
    anyio.run(pump.run, backend=event_loop)
    assert sink.calls == ["open", "write", "maintain", "maintain", "write", "maintain", "maintain", "close"]


def test_failing_maintenance_harms_nothing(event_loop: str) -> None:
    """Deferred work that raises is noted; records are delivered before and after."""
    ring = filled_ring("a")

    async def fail() -> bool:
        if sink.calls.count("maintain") == 1:
            ring.push(Emitted(span_record("b")))
        else:
            pump.stop(10)
        pump.alarm.ring()
        message = "index is broken"
        raise OSError(message)

    sink = FakeBackend(on_maintain=fail)
    pump = Pump(ring, sink, set(), PumpSettings(flush_interval=3_600.0))
    anyio.run(pump.run, backend=event_loop)
    assert names(sink.records) == ["a", "b"]
    assert pump.accounts.last_error == "OSError: index is broken"


def test_cancelling_the_host_closes_the_sink(event_loop: str) -> None:
    """A pump whose loop is taken down closes its sink on the way."""
    sink = FakeBackend(on_write=hanging)
    pump = Pump(filled_ring("a"), sink, set(), PumpSettings())

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            while not sink.attempts:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    anyio.run(host, backend=event_loop)
    assert sink.calls[-1] == "close"
    assert pump.finished
