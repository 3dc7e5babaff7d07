"""Sleeping in an event loop until the time is up, somebody rings, or the end has come.

:meth:`Alarm.ring`, :meth:`Alarm.stop` and :meth:`Alarm.hurry` may be called from any thread; the rest belongs to the
coroutine that sleeps.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import anyio

__all__ = ["Alarm", "wake_function"]


class Alarm:
    """Wake one sleeper. Rings that come before it looks are one; once it is to stop, it has a deadline."""

    def __init__(self, clock: Callable[[], int], *, on_sign: Callable[[], object] = lambda: None) -> None:
        self.signs = 0
        """How often the loop has answered a ring: where it does not, it hangs."""
        self._clock = clock
        self._on_sign = on_sign
        self._stop_at: int | None = None
        self._rung: anyio.Event | None = None
        self._stopping: anyio.Event | None = None
        self._wake: Callable[[], None] | None = None
        self._woken = False
        self._in_a_hurry = False
        self._stop_is_news = False

    # -- called from any thread ---------------------------------------------------------------------------------------

    def ring(self) -> None:
        """Make the sleeper look now."""
        wake = self._wake
        if wake is not None and not self._woken:
            self._woken = True
            wake()

    def stop(self, at_ns: int) -> None:
        """Make the sleeper finish until this moment of the clock."""
        self._stop_at = at_ns
        self._stop_is_news = True
        self.ring()

    def hurry(self) -> None:
        """Make a sleep short that is longer than it must be."""
        self._in_a_hurry = True
        self.ring()

    @property
    def stopping(self) -> bool:
        """Return whether the end has been asked for."""
        return self._stop_at is not None

    def time_left(self) -> float:
        """Return seconds until the deadline; for ever, where there is none."""
        return math.inf if self._stop_at is None else (self._stop_at - self._clock()) / 1e9

    # -- in the loop --------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Begin to work, in the running loop."""
        import anyio  # noqa: PLC0415 - in the pump's own thread: `import tracecore` and the first span stay light

        self._rung, self._stopping = anyio.Event(), anyio.Event()
        self._wake = wake_function(self._go_off)
        self._go_off()

    def disarm(self) -> None:
        """Let nobody reach the loop any more: it is about to end."""
        self._wake = None

    async def sleep(self, seconds: float) -> None:
        """Sleep at most ``seconds``, until somebody rings; being told to stop always ends it."""
        await self._wait(self._clock() + int(seconds * 1e9))

    async def sleep_through(self, seconds: float, *, at_least: float) -> None:
        """Sleep ``seconds`` whoever rings, or where somebody is in a hurry ``at_least`` so many; stopping ends it once.

        Later sleeps before the end are not cut short: what they wait for has been tried once more.
        """
        began = self._clock()
        while not self._stop_is_news:
            longest = min(seconds, at_least) if self._in_a_hurry else seconds
            if not await self._wait(began + int(longest * 1e9)):
                break
        self._in_a_hurry = self._stop_is_news = False

    async def deadline(self, scope: anyio.CancelScope) -> None:
        """Once the end has been asked for, give whatever happens in a scope its deadline: it may hang."""
        import anyio  # noqa: PLC0415 - as above

        if self._stopping is not None:
            await self._stopping.wait()
        scope.deadline = anyio.current_time() + max(0.0, self.time_left())

    async def _wait(self, until: int) -> bool:
        """Wait until a moment of the clock, or the deadline; return whether somebody rang before."""
        import anyio  # noqa: PLC0415 - as above

        left = min((until - self._clock()) / 1e9, self.time_left())
        if self._rung is None or left <= 0:
            return False
        with anyio.move_on_after(left):
            await self._rung.wait()
        rang = self._rung.is_set()
        if rang:
            self._rung = anyio.Event()
        return rang

    def _go_off(self) -> None:
        """Wake the sleeper."""
        self._woken = False
        self.signs += 1
        self._on_sign()
        if self._rung is not None:
            self._rung.set()
        if self._stopping is not None and self._stop_at is not None:
            self._stopping.set()


def wake_function(call: Callable[[], None]) -> Callable[[], None]:
    """Return a function that any thread may call to run ``call`` in the current event loop."""
    import asyncio  # noqa: PLC0415 - in the pump's own thread, as above

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        token = sys.modules["trio"].lowlevel.current_trio_token()
        return lambda: _unless_closed(lambda: token.run_sync_soon(call, idempotent=True))
    return lambda: _unless_closed(lambda: loop.call_soon_threadsafe(call))


def _unless_closed(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001 - the loop has ended, and so has the sleeper (RuntimeError, trio.RunFinishedError)
        return
