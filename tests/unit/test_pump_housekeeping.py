"""The pump keeps house whatever the sink does: losses are told and the buffer is looked after, in an outage too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import tracecore.pump
from tests.fakes import EVENT_LOOPS, FakeBackend, ManualClock, hanging, names, span_record, unavailable
from tracecore.lanes import Lane
from tracecore.open_span import anchor
from tracecore.pump import Pump, PumpSettings
from tracecore.ring import Ring, always
from tracecore.sealing import Emitted

pytestmark = pytest.mark.parametrize("event_loop", EVENT_LOOPS)


class Kept(Ring[Any]):
    """A ring that notes when its house is kept, and may say that this is due."""

    due = False

    def __init__(self, max_items: int) -> None:
        super().__init__(max_items, 10**9)
        self.kept: list[int] = []

    @property
    def is_due(self) -> bool:
        """Return what the test says."""
        return self.due

    def housekeep(self, now_ns: int, go_on: Callable[[], object] = always) -> None:
        """Note the time."""
        go_on()
        self.due = False
        self.kept.append(now_ns)
        super().housekeep(now_ns, go_on)


async def away(_: object = None) -> None:
    """Be unavailable, after a moment."""
    await anyio.lowlevel.checkpoint()
    raise unavailable()


async def until(condition: Any) -> None:
    """Let the loop go on until a condition holds; a minute is for ever."""
    with anyio.fail_after(60):
        while not condition():
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("hook", [{"on_write": away}, {"on_write": hanging}, {"on_open": away}, {"on_open": hanging}])
def test_losses_are_told_while_the_sink_is_away(
    event_loop: str, hook: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that is away, or never answers, keeps no loss from the log, and neither the clocks nor the lanes."""
    monkeypatch.setattr(tracecore.pump, "_HOUSEKEEP_EVERY", 0.0)
    clock, ring = ManualClock(), Kept(2)
    sink = FakeBackend(**hook)
    pump = Pump(ring, sink, set(), PumpSettings(write_timeout=0), clock=clock, jitter=lambda _, high: high)
    offset = anchor.offset_ns

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            ring.push(Emitted(span_record("a")))
            await until(lambda: sink.attempts or "open" in sink.calls)
            for name in "bcdef":
                ring.push(Emitted(span_record(name)))
            clock.advance(11)
            anchor.offset_ns += 10**18
            await until(lambda: pump.accounts.reported)
            group.cancel_scope.cancel()

    with caplog.at_level(logging.WARNING):
        anyio.run(host, backend=event_loop)
    assert "has lost" in caplog.text
    assert clock.now in ring.kept
    assert abs(anchor.offset_ns - offset) < 10**15


def test_what_is_due_is_done_at_once(event_loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring of the alarm has the house kept at once where that is due, while the sink does not answer."""
    monkeypatch.setattr(tracecore.pump, "_HOUSEKEEP_EVERY", 3_600.0)
    ring = Kept(10)
    sink = FakeBackend(on_write=hanging)
    pump = Pump(ring, sink, set(), PumpSettings(write_timeout=0), clock=ManualClock())

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            ring.push(Emitted(span_record("a")))
            await until(lambda: sink.attempts)
            before = len(ring.kept)
            pump.alarm.ring()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert len(ring.kept) == before, "nothing is due"
            ring.due = True
            pump.alarm.ring()
            await until(lambda: len(ring.kept) > before)
            group.cancel_scope.cancel()

    anyio.run(host, backend=event_loop)
    assert names(sink.attempts[0]) == ["a"]


def test_a_retired_pump_keeps_no_house(event_loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pump whose place another has taken ends when it looks, though the sink has not answered, and does nothing."""
    monkeypatch.setattr(tracecore.pump, "_HOUSEKEEP_EVERY", 0.0)
    ring = Kept(10)
    sink = FakeBackend(on_write=hanging)
    pump = Pump(ring, sink, set(), PumpSettings(write_timeout=0), clock=ManualClock())

    async def host() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pump.run)
            ring.push(Emitted(span_record("a")))
            await until(lambda: sink.attempts)
            with ring.consuming:
                pump.retire(keeps_sink=True)
            ring.due = True
            await until(lambda: pump.finished)

    anyio.run(host, backend=event_loop)
    assert ring.due
    assert pump.death is None
    assert sink.calls[-1] == "close"


def test_a_pump_that_is_retired_while_it_keeps_house_stops(event_loop: str) -> None:
    """Housekeeping may take a disk's time: a pump whose place was taken meanwhile leaves the rest to the next."""

    class Slow(Kept):
        def housekeep(self, now_ns: int, go_on: Callable[[], object] = always) -> None:
            with self.consuming:
                pump.retire(keeps_sink=False)
            super(Kept, self).housekeep(now_ns, go_on)

    ring = Slow(10)
    ring._lanes.append(Lane(None))
    pump = Pump(ring, FakeBackend(), set(), PumpSettings(), clock=ManualClock())
    anyio.run(pump.run, backend=event_loop)
    assert len(ring.lanes()) == 1
    assert pump.death is None
