"""Scale: many at once are as right as one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import anyio
import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.told import Body, Told
from tracecore.testing.tracers.trees import Tree
from tracecore.testing.tracers.trial import Trial

__all__ = ["SCALE"]

SCALE: Final = Group("many at once")

_TASKS: Final = 1_000
_STREAMS: Final = 200


@SCALE.anywhere()
async def a_thousand_tasks(trial: Trial) -> None:
    """A thousand requests that take turns have a thousand traces, none with a span of another one's."""

    @trial.observed
    async def fetch() -> None:
        await anyio.lowlevel.checkpoint()
        trial.here("fetch")

    @trial.observed
    async def request() -> None:
        await anyio.lowlevel.checkpoint()
        await fetch()
        with trial.span("block"):
            await anyio.lowlevel.checkpoint()
        trial.here("request")

    async with anyio.create_task_group() as group:
        for _ in range(_TASKS):
            group.start_soon(request)
    trial.expect([Tree("request", inside=(Tree("fetch"), Tree("block")))] * _TASKS)


@SCALE.anywhere()
async def a_thousand_children(trial: Trial) -> None:
    """A thousand tasks of one request are all below it."""

    @trial.observed
    async def fetch() -> None:
        await anyio.lowlevel.checkpoint()

    @trial.observed
    async def request() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(_TASKS):
                group.start_soon(fetch)
        trial.here("request")

    await request()
    trial.expect([Tree("request", inside=(Tree("fetch"),) * _TASKS)])


@SCALE.anywhere(needs=("async generators",))
async def streams_side_by_side(trial: Trial) -> None:
    """Hundreds of requests that stream, at different speeds, each consume what is their own."""
    told = Told()

    @trial.observed
    async def numbers(above: Body, amount: int) -> AsyncGenerator[int, None]:
        with told.body("numbers", above):
            for number in range(amount):
                await anyio.lowlevel.checkpoint()
                trial.here("numbers")
                yield number

    @trial.observed
    async def request(amount: int) -> None:
        with told.body("request") as here:
            async for _ in numbers(here, amount):
                trial.here("request")
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for number in range(_STREAMS):
            group.start_soon(request, number % 4)
    trial.expect(told.trees)
