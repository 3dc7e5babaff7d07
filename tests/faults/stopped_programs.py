"""Random programs of coroutines, blocks, generators and groups, to be stopped at any of their suspensions.

Every body is told what it is inside of and notes how it is left (``tracecore.testing.tracers.told``); what the tracer
makes of it must be the same. Generators are exhausted, left after an item, thrown into, and closed by another task.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, closing, suppress
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
from msgspec import Struct

from tracecore.testing.tracers.elsewhere import in_task
from tracecore.testing.tracers.stopping import Stopping
from tracecore.testing.tracers.told import Body
from tracecore.testing.tracers.trial import Trial

__all__ = ["Step", "drawn", "performed"]

ENDINGS = ("exhausted", "left", "thrown into", "closed by another task")
LEAVES = ("fetch", "plain stream")
NODES = ("call", "block", "guarded", "stream", "group")


class Abandon(Exception):
    """Be thrown into a generator, or out of a block."""


class Step(Struct, frozen=True):
    """Do something of this kind, with steps inside; ``number`` varies how."""

    kind: str
    number: int
    inside: tuple[Step, ...] = ()


def drawn(chance: random.Random, *, depth: int = 3) -> tuple[Step, ...]:
    """Draw some steps."""

    def one() -> Step:
        kind = chance.choice(LEAVES if depth == 0 else (*LEAVES, *NODES, *NODES))
        inside = () if kind in LEAVES else drawn(chance, depth=depth - 1)
        return Step(kind, chance.randrange(12), inside)

    return tuple(one() for _ in range(chance.randint(1, 3)))


class Performance:
    """Perform steps below each other, each as a span of a name of its own."""

    def __init__(self, trial: Trial, told: Stopping) -> None:
        self._trial = trial
        self._told = told
        self._numbers = count()

    async def steps(self, steps: tuple[Step, ...], here: Body) -> None:
        """Perform steps one after another; between them the program is where it was."""
        for step in steps:
            await KINDS[step.kind](self, step, here)
            self._trial.here(here.name)

    def called(self, kind: str, here: Body) -> Body:
        """Note a call below, with a name that no other has."""
        return self._told.called(f"{kind} {next(self._numbers)}", here)

    def observed(self, call: Body, function: Any) -> Any:
        """Return an observed function with the name of a call."""
        function.__name__ = call.name
        return self._trial.observed(function)

    async def fetch(self, step: Step, here: Body) -> None:
        """Be suspended now and then."""
        call = self.called("fetch", here)

        async def body() -> None:
            with self._told.body(call):
                for _ in range(1 + step.number % 2):
                    await anyio.lowlevel.checkpoint()
                    self._trial.here(call.name)

        await self.observed(call, body)()

    async def call(self, step: Step, here: Body) -> None:
        """Call a coroutine function."""
        call = self.called("call", here)

        async def body() -> None:
            with self._told.body(call):
                await self.steps(step.inside, call)

        await self.observed(call, body)()

    async def block(self, step: Step, here: Body) -> None:
        """Open a block, and leave it by an exception now and then."""
        call = self.called("block", here)
        with suppress(Abandon), self._trial.span(call.name), self._told.body(call):
            await self.steps(step.inside, call)
            if step.number % 3 == 0:
                raise Abandon

    async def guarded(self, step: Step, here: Body) -> None:
        """Clean up whatever happens, with or without a shield."""
        call = self.called("guarded", here)

        async def body() -> None:
            with self._told.body(call):
                try:
                    await self.steps(step.inside, call)
                finally:
                    self._trial.here(call.name)
                    with anyio.CancelScope(shield=step.number % 2 == 0):
                        await self.fetch(step, call)

        await self.observed(call, body)()

    async def group(self, step: Step, here: Body) -> None:
        """Perform the steps inside side by side."""
        async with anyio.create_task_group() as group:
            for one in step.inside:
                group.start_soon(self._told.counted, self.steps, (one,), here)

    async def stream(self, step: Step, here: Body) -> None:
        """Consume an asynchronous generator that performs the steps inside, in one of the ways that it may end."""
        call = self.called("stream", here)

        async def body() -> AsyncGenerator[int, None]:
            with self._told.body(call):
                for one in (*step.inside, *step.inside[:1]):
                    await self.steps((one,), call)
                    yield step.number

        ending = ENDINGS[step.number % len(ENDINGS)]
        async with aclosing(self.observed(call, body)()) as running:
            async for _ in running:
                self._trial.here(here.name)
                await anyio.lowlevel.checkpoint()
                if ending == "left":
                    break
                if ending == "thrown into":
                    with suppress(Abandon):
                        await running.athrow(Abandon())
                if ending == "closed by another task":
                    await in_task(running.aclose)

    async def plain_stream(self, step: Step, here: Body) -> None:
        """Consume a generator between suspensions, in one of the ways that it may end."""
        call = self.called("plain stream", here)

        def body() -> Generator[int, None, None]:
            with self._told.body(call):
                yield 1
                yield 2

        ending = ENDINGS[step.number % len(ENDINGS)]
        with closing(self.observed(call, body)()) as running:
            for _ in running:
                self._trial.here(here.name)
                await anyio.lowlevel.checkpoint()
                if ending == "left":
                    break
                if ending == "thrown into":
                    with suppress(Abandon):
                        running.throw(Abandon())


KINDS: dict[str, Callable[[Performance, Step, Body], Coroutine[Any, Any, None]]] = {
    "fetch": Performance.fetch, "call": Performance.call, "block": Performance.block,
    "guarded": Performance.guarded, "group": Performance.group, "stream": Performance.stream,
    "plain stream": Performance.plain_stream,
}  # fmt: skip


async def performed(trial: Trial, program: tuple[Step, ...], told: Stopping) -> None:
    """Perform a program as one request."""
    performance = Performance(trial, told)
    call = told.called("request")

    async def body() -> None:
        with told.body(call):
            await performance.steps(program, call)

    await performance.observed(call, body)()
