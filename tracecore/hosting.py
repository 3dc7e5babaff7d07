"""Hosting the pump in a thread of its own: for sync programs, for many loops, for loops that block.

The thread is a daemon with an asyncio loop, so that a program that forgets to close still ends; what it had emitted is
flushed by an ``atexit`` hook of the recorder. The imports of the pump (anyio, asyncio, the driver) happen there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

__all__ = ["PumpThread"]


class PumpThread:
    """Run one coroutine function to its end in a daemon thread."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._run = run
        # A context of its own, also where threads inherit one: the first span's would be kept, and traced, for ever.
        self._thread = threading.Thread(target=Context().run, args=(self._main,), name="tracecore-pump", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Return whether the pump is still running."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the end; return whether it came."""
        if self._thread is threading.current_thread():
            return False
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def _main(self) -> None:
        import asyncio  # noqa: PLC0415 - in this thread, so that the program's first span does not wait for it

        asyncio.run(self._run())
