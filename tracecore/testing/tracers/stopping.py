"""Stopping a program at its first suspension, at its second, and so on, until a run has fewer."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, TypeAlias, TypeVar

from anyio import CancelScope

from tracecore.testing.tracers.told import Told
from tracecore.testing.tracers.trial import Trial

__all__ = ["Stopping", "stopped_by_scopes", "stopped_by_tasks"]

T = TypeVar("T")

_STOPPED: Final = "stopped by the case"


class Stopping(Told):
    """Count the suspensions of a program, in whichever of its tasks, and stop it at one of them."""

    def __init__(self) -> None:
        super().__init__()
        self._nth = 0
        self._suspended = 0
        self._stop: Callable[[], object] = lambda: None

    def begin(self, nth: int, stop: Callable[[], object]) -> None:
        """Begin another run, to be stopped at its ``nth`` suspension."""
        self._nth, self._suspended, self._stop = nth, 0, stop

    @property
    def reached(self) -> bool:
        """Return whether the run had as many suspensions."""
        return self._suspended >= self._nth

    async def counted(self, call: Callable[..., Coroutine[Any, Any, T]], *args: object) -> T:
        """Await a call as a part of the program; each of its tasks has to be counted."""
        return await self._steps(call(*args))

    @types.coroutine
    def _steps(self, program: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        resume: Callable[[Any], Any] = program.send
        throw: Callable[[Any], Any] = program.throw
        value: Any = None
        while True:
            try:
                waiting_for = resume(value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            self._suspended += 1
            if self._suspended == self._nth:
                self._stop()
            try:
                value, resume = (yield waiting_for), program.send
            except BaseException as error:  # noqa: BLE001 - passed on into the program
                value, resume = error, throw


Start: TypeAlias = Callable[[Stopping], Coroutine[Any, Any, None]]
"""Runs the program once; it notes where it is, and has each of its tasks counted."""


async def stopped_by_scopes(trial: Trial, start: Start, *, at_least: int) -> None:
    """Stop a program by a cancel scope of anyio around it: in every loop."""

    async def run(stopping: Stopping, nth: int) -> None:
        with CancelScope() as scope:
            stopping.begin(nth, scope.cancel)
            await stopping.counted(start, stopping)

    await _everywhere(trial, run, at_least=at_least)


async def stopped_by_tasks(trial: Trial, start: Start, *, at_least: int) -> None:
    """Stop a program by cancelling its asyncio task, and see that the very exception comes out that went through."""

    async def run(stopping: Stopping, nth: int) -> None:
        task = asyncio.create_task(_watched(trial, stopping, start))
        stopping.begin(nth, lambda: task.cancel(_STOPPED))
        await asyncio.wait([task])
        trial.equal("whether the task was cancelled", task.cancelled(), stopping.reached)

    await _everywhere(trial, run, at_least=at_least)


async def _watched(trial: Trial, stopping: Stopping, start: Start) -> None:
    try:
        await stopping.counted(start, stopping)
    except asyncio.CancelledError as error:
        trial.same("what came out", error, stopping.roots[-1].left_by)
        trial.equal("what it says", error.args, (_STOPPED,))
        raise


async def _everywhere(trial: Trial, run: Callable[[Stopping, int], Awaitable[None]], *, at_least: int) -> None:
    stopping, nth = Stopping(), 0
    while stopping.reached:
        nth += 1
        await run(stopping, nth)
        trial.here(None)
    trial.expect(stopping.trees)
    if nth <= at_least:
        trial.differ("program", f"was suspended {nth - 1} times, expected at least {at_least}")
