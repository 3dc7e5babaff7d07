"""Waiting until pumps have settled what was in their buffers, or one trace of it, from any thread or loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from tracecore.alarm import wake_function
from tracecore.backend import Level
from tracecore.clock import monotonic_ns
from tracecore.health import FlushResult
from tracecore.lanes import Settling, Traced
from tracecore.ring import Ring
from tracecore.station import FOR_EVER, Station

__all__ = ["TraceWaiter", "Waiter", "wait", "wait_in_loop"]

_LOOK_EVERY: Final = 0.25
"""Seconds after which whoever waits looks whether the pump still lives."""


class Waiter:
    """Wait for one pump, and know what was in its buffer when the waiting began."""

    def __init__(self, ring: Ring[Any], station: Station) -> None:
        self.station = station
        self._ring = ring
        self._marks = self._marked()
        self._lost_before = station.lost_before()

    def settled(self) -> bool:
        """Return whether there is nothing to wait for: what was in the buffer has arrived, or never will."""
        return self.station.ended or self.arrived()

    def arrived(self) -> bool:
        """Return whether all that was in the buffer is delivered or lost; not so where a pump has died with it."""
        return all(lane.settled >= mark for lane, mark in self._marks)

    def pending(self, *, kept: bool = True) -> int:
        """Return how many of the records that were in the buffer are still there, with those in files or without."""
        return sum(max(0, mark - lane.settled) for lane, mark in self._marks if kept or not lane.kept)

    def lost(self) -> int:
        """Return how many records the pump has lost since, or, where it has ended, when it did."""
        return self.station.accounts.own.counts.losses.total() - self._lost_before

    def level(self, *, delivered: bool, lost: bool) -> Level | None:
        """Return what all of it survives, if it was delivered, or waits, or was lost."""
        if lost:
            return None
        return self.station.backend.capabilities.level if delivered else self._ring.level

    def begin(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called whenever records were settled, and the pump try again soon."""
        self.station.look()
        self.station.listen(listener)
        self.station.hurry()

    def _marked(self) -> list[tuple[Settling, int]]:
        """Return up to where each lane must be settled."""
        return [mark for lane in self._ring.lanes() if lane.counted for mark in lane.marks(None)]


class TraceWaiter(Waiter):
    """Wait for what one trace has emitted so far, and for nothing of any other."""

    def __init__(self, ring: Ring[Any], station: Station, trace: Traced) -> None:
        self._trace = trace
        super().__init__(ring, station)

    def result(self) -> FlushResult:
        """Return what became of the trace by now."""
        traces, ended = self.station.accounts.lost_traces, self.station.ended
        pending = self.pending()
        gone = self.pending(kept=False) if ended else 0
        known = traces.of(self._trace.trace_id)  # last: a loss is noted before it is settled
        lost = known or {}
        if gone:
            lost["closing"] = lost.get("closing", 0) + gone
            pending -= gone
        vouched = known is not None and traces.vouches_for(self._trace.started)
        delivered = vouched and not lost and not pending
        return FlushResult(delivered, pending, lost, self.level(delivered=delivered, lost=bool(lost)))

    def _marked(self) -> list[tuple[Settling, int]]:
        with self._ring.consuming:
            return [mark for lane in self._ring.lanes() if lane.counted for mark in lane.marks(self._trace)]


def wait(waiters: Sequence[Waiter], condition: Callable[[], bool], timeout: float) -> None:
    """Block at most ``timeout`` seconds until the condition holds; in the thread of one of the pumps do not block."""
    stations = [waiter.station for waiter in waiters]
    event = threading.Event()
    deadline = monotonic_ns() + int(min(timeout, FOR_EVER) * 1e9)
    try:
        for waiter in waiters:
            waiter.begin(event.set)
        while not condition() and (left := (deadline - monotonic_ns()) / 1e9) > 0:
            if any(station.is_here() for station in stations):
                return
            if not event.wait(min(left, _LOOK_EVERY)):
                _look(stations)
            event.clear()
    finally:
        for station in stations:
            station.unlisten(event.set)


async def wait_in_loop(waiters: Sequence[Waiter], condition: Callable[[], bool], timeout: float) -> None:
    """Wait as :func:`wait` does, without blocking the loop."""
    import anyio  # noqa: PLC0415 - `import tracecore` stays light

    stations = [waiter.station for waiter in waiters]
    box = [anyio.Event()]
    listener = wake_function(lambda: box[0].set())  # noqa: PLW0108 - the event is exchanged
    try:
        for waiter in waiters:
            waiter.begin(listener)
        with anyio.move_on_after(timeout):
            while not condition():
                with anyio.move_on_after(_LOOK_EVERY):
                    await box[0].wait()
                if not box[0].is_set():
                    _look(stations)
                box[0] = anyio.Event()
    finally:
        for station in stations:
            station.unlisten(listener)


def _look(stations: Sequence[Station]) -> None:
    """Look whether the pumps still live."""
    for station in stations:
        station.look()
