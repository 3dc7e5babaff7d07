"""Waiting until the pump has settled what was in the buffer, from any thread or loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from tracecore.clock import monotonic_ns
from tracecore.pump import Pump, wake_function
from tracecore.ring import Ring

__all__ = ["FOR_EVER", "Waiter"]

FOR_EVER: Final = 1e9
"""Seconds that stand for an infinite timeout, which clocks that count in integers cannot add."""


class Waiter:
    """Wait for the pump, from any thread or loop, and know what was in the buffer when the waiting began."""

    def __init__(self, ring: Ring[Any], pump: Pump) -> None:
        self._marks = [(lane, lane.accepted) for lane in ring.lanes()]
        self._pump = pump
        self._lost_before = pump.lost_before()

    def settled(self) -> bool:
        """Return whether there is nothing to wait for: what was in the buffer has arrived, or never will."""
        return self._pump.finished or self.arrived()

    def arrived(self) -> bool:
        """Return whether all that was in the buffer is delivered or lost; not so where a pump has died with it."""
        return all(lane.settled >= mark for lane, mark in self._marks)

    def lost(self) -> int:
        """Return how many records the pump has lost since, or, where it has ended, when it did."""
        return self._pump.losses.total() - self._lost_before

    def wait(self, condition: Callable[[], bool], timeout: float) -> None:
        """Block at most ``timeout`` seconds until the condition holds; in the pump's own thread do not block."""
        event = threading.Event()
        self._pump.listen(event.set)
        deadline = monotonic_ns() + int(min(timeout, FOR_EVER) * 1e9)
        try:
            while not condition() and (left := (deadline - monotonic_ns()) / 1e9) > 0 and not self._pump.is_here():
                event.wait(left)
                event.clear()
        finally:
            self._pump.unlisten(event.set)

    async def wait_in_loop(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait as :meth:`wait` does, without blocking the loop."""
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        box = [anyio.Event()]
        listener = wake_function(lambda: box[0].set())  # noqa: PLW0108 - the event is exchanged
        self._pump.listen(listener)
        try:
            with anyio.move_on_after(timeout):
                while not condition():
                    await box[0].wait()
                    box[0] = anyio.Event()
        finally:
            self._pump.unlisten(listener)
