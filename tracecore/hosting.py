"""Hosting the pump in a thread of its own: for sync programs, for many loops, for loops that block.

The thread, ``tracecore-pump``, is a daemon with an asyncio loop, so that a program that forgets to close still ends;
what it had emitted is flushed by an ``atexit`` hook of the recorder. The imports of the pump (anyio, asyncio, the
driver) happen there. They are all made before it begins, and a fork waits for them: a child that is forked in the
middle of an import keeps the half of a module for ever, in our pump and in the program's own code.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

__all__ = ["PumpThread"]


class PumpThread:
    """Run one coroutine function to its end in a daemon thread; ``on_end`` is told there what it raised."""

    def __init__(
        self,
        run: Callable[[], Coroutine[Any, Any, None]],
        *,
        on_end: Callable[[BaseException | None], object] = lambda error: None,  # noqa: ARG005 - nobody asks
        name: str = "tracecore-pump",
    ) -> None:
        self._run = run
        self._on_end = on_end
        self._imported = threading.Event()
        # A context of its own, also where threads inherit one: the first span's would be kept, and traced, for ever.
        self._thread = threading.Thread(target=Context().run, args=(self._main,), name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Return whether the pump is still running."""
        return self._thread.is_alive()

    def wait_for_imports(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds, once, until the thread has imported what it needs, or has ended."""
        if self._thread is not threading.current_thread() and not self._imported.wait(timeout):
            self._imported.set()  # it hangs: nobody else waits for it

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the end; return whether it came."""
        if self._thread is threading.current_thread():
            return False
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            import asyncio  # noqa: PLC0415 - in this thread, so that the program's first span does not wait for it

            asyncio.run(self._run_imported())
        except BaseException as raised:  # noqa: BLE001 - SystemExit too: it ends this thread and nothing else
            error = raised
        finally:
            self._imported.set()
            self._on_end(error)

    async def _run_imported(self) -> None:
        await _import_anyio()
        self._imported.set()
        await self._run()


async def _import_anyio() -> None:
    """Use once what the pump will use: anyio imports its parts when they are first needed."""
    import anyio.lowlevel  # noqa: PLC0415 - as above

    async with anyio.create_task_group() as group:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await anyio.lowlevel.checkpoint()
            anyio.Event().set()
        group.start_soon(anyio.sleep, 0)
    anyio.current_time()
    anyio.get_cancelled_exc_class()
