"""The thread that fetches prompts, ``tracecore-prompts``: begun by the first that is not known, ended when it is idle.

All callers, on whatever threads and loops, hand their work over here, so that there is one question to a store whoever
asks, and a cancelled caller takes nobody else's answer along. The thread is a daemon with an asyncio loop of its own.
A forked child begins without; a fork waits for what the thread imports, as :mod:`tracecore.hosting` explains.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tracecore.alarm import wake_function
from tracecore.hosting import PumpThread
from tracecore.prompt_cache import GUARD

if TYPE_CHECKING:
    import asyncio

__all__ = ["PromptHost", "Work"]

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

IDLE_S: Final = 300.0
"""Seconds without work after which the thread ends: longer than what is in use stays fresh, by default."""
_CLOSING_S: Final = 0.5
"""Seconds that are given to work that is under way, and to stores that are closed, at the end."""
_MOST_LEFT: Final = 4
_IMPORTS_TAKE: Final = 2.0
"""Seconds that a fork waits at most for a thread that has just begun."""


class PromptHost:
    """Run work on one thread, which lives while there is any, and while ``is_needed`` says so.

    ``on_end`` is told there when it is about to end.
    """

    def __init__(self, *, on_end: Work, is_needed: Callable[[], bool] = lambda: False, idle: float = IDLE_S) -> None:
        self._on_end = on_end
        self._is_needed = is_needed
        self._idle = idle
        self._inbox: deque[Work] = deque()
        self._thread: PumpThread | None = None
        self._life: object = None
        """Stands for the thread that takes work; one that was left to itself is not it."""
        self._living = False
        self._stopping = False
        self._wake: Callable[[], None] | None = None
        self._hooked = False
        self._left: list[PumpThread] = []
        """Threads that did not come back from a call."""

    def run(self, work: Work) -> None:
        """Have a coroutine function run there; from any thread, without waiting.

        Raises:
            RuntimeError: no thread can be started any more.
        """
        with GUARD.lock:
            if sys.is_finalizing():  # a thread that begins now never runs, and who begins it would wait for ever
                message = "the interpreter is ending"
                raise RuntimeError(message)
            self._inbox.append(work)
            if not self._living:
                self._begin()
            wake = self._wake
        if wake is not None:
            wake()

    def is_here(self) -> bool:
        """Return whether the calling thread is the one."""
        return threading.current_thread().name == _NAME

    def stop(self, timeout: float = 1.0) -> bool:
        """End the thread; return whether it has ended within so many seconds. Work begins it again."""
        with GUARD.lock:
            thread, wake, self._stopping = self._thread, self._wake, True
        if wake is not None:
            wake()
        return thread is None or thread.join(timeout)

    def before_fork(self) -> None:
        """Let no child be forked in the middle of an import."""
        thread = self._thread
        if thread is not None:
            thread.wait_for_imports(_IMPORTS_TAKE)

    def begin_anew(self) -> None:
        """Forget, in a forked child, the thread that does not exist there."""
        self._inbox.clear()
        self._thread = self._wake = self._life = None
        self._living = self._stopping = False

    def replace_thread(self) -> None:
        """Leave a thread to itself that does not come back from a call, and begin another with the next work.

        Not without end: where one after the other does not come back, the last is waited for.
        """
        with GUARD.lock:
            self._left = [thread for thread in self._left if thread.alive]
            if self._thread is not None and len(self._left) < _MOST_LEFT:
                self._left.append(self._thread)
                wake = self._wake
                self.begin_anew()
                if wake is not None:
                    wake()  # once it comes back, it sees that it is not needed

    def _begin(self) -> None:
        if not self._hooked:
            self._hooked = True
            atexit.register(self.stop)
        self._living, self._stopping = True, False
        life = self._life = object()
        try:
            self._thread = PumpThread(lambda: self._live(life), on_end=lambda _: self._died(life), name=_NAME)
        except BaseException:
            self._living = False
            self._inbox.pop()
            raise

    async def _live(self, life: object) -> None:
        import asyncio  # noqa: PLC0415 - in its thread: importing tracecore stays light

        news, tasks = asyncio.Event(), set[asyncio.Task[None]]()
        with GUARD.lock:
            if self._life is not life:
                return
            self._wake = wake_function(news.set)
        idle = False
        try:
            while self._goes_on(life, tasks, idle=idle):  # first, for it may have been stopped before it could be woken
                idle = not await self._take(news, tasks)
        finally:
            await self._close(tasks)

    async def _take(self, news: asyncio.Event, tasks: set[asyncio.Task[None]]) -> bool:
        """Begin what is to be done, and wait for more; return False where none has come for long."""
        import asyncio  # noqa: PLC0415 - as above

        while self._inbox:
            task = asyncio.create_task(_quiet(self._inbox.popleft()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        try:
            async with asyncio.timeout(self._idle):
                await news.wait()
        except TimeoutError:
            return False
        news.clear()
        return True

    def _goes_on(self, life: object, tasks: set[asyncio.Task[None]], *, idle: bool) -> bool:
        """Return whether to go on; what is handed over from the moment that it ends begins another thread."""
        with GUARD.lock:
            if self._life is not life:
                return False
            if self._stopping or (idle and not tasks and not self._inbox and not self._is_needed()):
                self._living, self._wake = False, None
                return False
            return True

    async def _close(self, tasks: set[asyncio.Task[None]]) -> None:
        import asyncio  # noqa: PLC0415 - as above

        for task in list(tasks):
            task.cancel()
        with contextlib.suppress(Exception):
            if tasks:
                await asyncio.wait(tasks, timeout=_CLOSING_S)
            await asyncio.wait({asyncio.create_task(_quiet(self._on_end))}, timeout=_CLOSING_S)

    def _died(self, life: object) -> None:
        """Note the end, whatever has brought it; what was not begun is begun by the next who asks."""
        with GUARD.lock:
            if self._life is life:
                self._living, self._wake = False, None


_NAME: Final = "tracecore-prompts"


async def _quiet(work: Work) -> None:
    """Do work that answers for its own errors; what it raises all the same ends nothing else."""
    with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):
        await work()
