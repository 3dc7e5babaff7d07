"""What a pump has in hand is known by itself, and what of it is lost with the process by the lane that it is of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from tests.fakes import FakeBackend, ManualClock, span_record
from tests.journals import begun, emitter
from tracecore.account import Accounts
from tracecore.context import Route, TraceState
from tracecore.delivery import Handful
from tracecore.errors import BackendUnavailable
from tracecore.lanes import Lane
from tracecore.pump import Pump, PumpSettings
from tracecore.records import TraceAttributes
from tracecore.ring import Ring
from tracecore.sealing import Emitted
from tracecore.waiting import TraceWaiter


class Keeping(Lane[Any]):
    """A lane whose items are in files."""

    __slots__ = ()

    @property
    def kept(self) -> int:
        """Return how many items are not settled."""
        return len(self.items) + len(self._hand[2])


class Mixed(Ring[Any]):
    """A ring with a lane in memory, and one in files."""

    @property
    def left(self) -> int:
        """Return what outlives the process."""
        return sum(lane.kept for lane in self.lanes())


def lane_of(kind: type[Lane[Any]], *spans: str) -> Lane[Any]:
    """Return a lane of a thread that is gone."""
    lane = kind(None)
    lane.granted = len(spans)
    lane.items.extend(Emitted(replace(span_record(name), trace_id=trace_of(name)), 1) for name in spans)
    return lane


def trace_of(name: str) -> str:
    """Return the id of a trace of one span."""
    return name.encode().hex().ljust(32, "0")


def test_an_item_is_known_wherever_it_stands() -> None:
    """An item in memory is told from others by itself, whatever was handed out before it."""
    first, second = Emitted(span_record("a")), Emitted(span_record("b"))
    lane: Lane[Any] = Lane(None)
    alone, behind = Handful([second], [(lane, 1)], None), Handful([first, second], [(lane, 2)], None)
    assert alone.place(0) == behind.place(1) != behind.place(0)


def test_a_record_in_files_is_known_when_it_is_read_again(tmp_path: Any) -> None:
    """What is read from a journal a second time is what it was, whatever came into memory or files meanwhile."""
    journal = begun(tmp_path)
    emit = emitter(journal)
    emit("a")
    emit("b")
    (lane,) = journal.lanes()

    def handed_out() -> Handful:
        items = lane.take(100, 10**9)
        return Handful(items, [(lane, len(items))], None)

    before = handed_out()
    lane.settle(1)
    lane.rewind()
    emit("c")
    after = handed_out()
    assert after.place(0) == before.place(1)
    assert len({after.place(0), after.place(1), before.place(0)}) == 3
    lane.settle(2)
    journal.closed = True
    journal.end()


def test_what_is_not_in_files_is_lost_although_something_else_is() -> None:
    """At the end records in memory are lost because the backend was away; those of other lanes wait in their files."""
    clock = ManualClock()

    async def away(_: object) -> None:
        clock.advance(2)
        raise BackendUnavailable("away")

    ring = Mixed(10, 10**9)
    ring._lanes += [lane_of(Keeping, "a"), lane_of(Lane, "b", "c")]
    pump = Pump(ring, FakeBackend(on_write=away), set(), PumpSettings(), clock=clock, jitter=lambda _, __: 0.0)
    pump.stop(1)
    anyio.run(pump.run)
    balance = pump.accounts.balance(ended=True)
    assert (balance.lost, balance.waiting) == ({"unavailable": 2}, 1)


@pytest.mark.parametrize(("kind", "pending", "lost"), [(Lane, 0, {"closing": 1}), (Keeping, 1, {})])
def test_what_is_said_of_a_trace_is_of_its_own_lane(kind: type[Lane[Any]], pending: int, lost: dict[str, int]) -> None:
    """At the end a trace in memory is lost though another one waits in files, and one in files waits."""
    ring = Mixed(10, 10**9)
    ring._lanes += [lane_of(Keeping, "other"), lane_of(kind, "mine")]
    backend = FakeBackend()
    station: Any = SimpleNamespace(accounts=Accounts(ring), ended=True, lost_before=lambda: 0, backend=backend)
    trace = TraceState(Route("p", ring, ring.push, set()), trace_of("mine"), TraceAttributes(), {})
    trace.started = 1
    result = TraceWaiter(ring, station, trace).result()
    assert (result.pending, result.lost, result.delivered) == (pending, lost, False)
