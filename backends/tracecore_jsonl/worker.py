"""A thread of one's own for calls that may take their time: on a disk, on a pipe that nobody empties.

It is a daemon, so that a program ends although a disk stands still. Calls are made one after the other: what a caller
who was cancelled has begun is finished before the next one, and what had not begun is not done.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["Worker"]

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_END_S: Final = 1.0
_STEP_S: Final = 0.001


class _Call:
    """A function that waits for its turn; ``wanted`` as long as somebody waits for what it returns."""

    __slots__ = ("_function", "_future", "_loop", "wanted")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self._loop.create_future()
        self.wanted = True

    async def answer(self) -> Any:
        """Wait for what the function returns or raises."""
        try:
            return await self._future
        finally:
            self.wanted = False

    def make(self) -> None:
        """Call the function, on the thread, and tell the loop; a loop that has been closed meanwhile is not told."""
        if not self.wanted:
            return
        try:
            settle = partial(_settle, self._future, result=self._function())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
            settle = partial(_settle, self._future, error=error)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)


class Worker:
    """Make calls on a thread until closed; ``at_end`` is the last of them."""

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._at_end = at_end
        self._thread = Thread(target=self._work, name="tracecore-jsonl", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` on the thread and return what it returns."""
        call = _Call(partial(function, *args, **kwargs))
        self._calls.put(call)
        result: T = await call.answer()
        return result

    async def close(self) -> None:
        """End the thread; one that is held up ends by itself as soon as it can."""
        self._calls.put(None)
        left = _LONGEST_END_S
        while self._thread.is_alive() and left > 0:
            await asyncio.sleep(_STEP_S)
            left -= _STEP_S

    def _work(self) -> None:
        # To write to a pipe that nobody reads is an error here, and never the end of the program.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        try:
            for call in iter(self._calls.get, None):
                call.make()
        finally:
            self._at_end()


def _settle(future: asyncio.Future[Any], *, result: Any = None, error: BaseException | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
