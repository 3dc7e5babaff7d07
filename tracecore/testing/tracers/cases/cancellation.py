"""Cancellation: wherever it strikes, each span ends once, and what is raised goes through unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio import CancelScope

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.elsewhere import in_task
from tracecore.testing.tracers.stopping import Stopping, stopped_by_scopes, stopped_by_tasks
from tracecore.testing.tracers.told import Body
from tracecore.testing.tracers.trial import Trial

__all__ = ["CANCELLATION"]

CANCELLATION: Final = Group("cancellation")


def _fetching(trial: Trial, told: Stopping) -> Callable[[Body], Coroutine[Any, Any, None]]:
    """Return an observed coroutine function that is suspended twice."""

    @trial.observed
    async def fetch(above: Body) -> None:
        with told.body("fetch", above):
            await anyio.lowlevel.checkpoint()
            trial.here("fetch")
            await anyio.lowlevel.checkpoint()
            trial.here("fetch")

    return fetch


async def _coroutines(trial: Trial, told: Stopping) -> None:
    """Fetch twice and clean up, which is not to be stopped."""
    fetch = _fetching(trial, told)

    @trial.observed
    async def request() -> None:
        with told.body("request") as here:
            try:
                await fetch(here)
                trial.here("request")
                await fetch(here)
            finally:
                trial.here("request")
                with CancelScope(shield=True):
                    await fetch(here)

    await request()


async def _generators(trial: Trial, told: Stopping) -> None:
    """Consume a generator that fetches for each item, through another one."""
    fetch = _fetching(trial, told)

    @trial.observed
    async def inner(call: Body) -> AsyncGenerator[int, None]:
        with told.body(call) as here:
            for number in range(2):
                await fetch(here)
                trial.here("inner")
                yield number

    @trial.observed
    async def outer(call: Body) -> AsyncGenerator[int, None]:
        with told.body(call) as here:
            async with aclosing(inner(told.called("inner", here))) as numbers:
                async for number in numbers:
                    await anyio.lowlevel.checkpoint()
                    yield number

    @trial.observed
    async def request() -> None:
        with told.body("request") as here:
            async with aclosing(outer(told.called("outer", here))) as numbers:
                async for _ in numbers:
                    trial.here("request")
                    await anyio.lowlevel.checkpoint()
                    trial.here("request")

    await request()


async def _groups(trial: Trial, told: Stopping) -> None:
    """Fetch side by side, in groups inside of each other."""
    fetch = _fetching(trial, told)

    @trial.observed
    async def both(above: Body) -> None:
        with told.body("both", above) as here:
            async with anyio.create_task_group() as group:
                group.start_soon(told.counted, fetch, here)
                await fetch(here)

    @trial.observed
    async def request() -> None:
        with told.body("request") as here:
            async with anyio.create_task_group() as group:
                group.start_soon(told.counted, both, here)
                group.start_soon(told.counted, both, here)
            trial.here("request")

    await request()


@CANCELLATION.case()
async def a_task_cancelled_at_every_suspension(trial: Trial) -> None:
    """A task that is cancelled at its n-th suspension, for every n: the very CancelledError goes through all of it."""
    await stopped_by_tasks(trial, lambda told: _coroutines(trial, told), at_least=6)


@CANCELLATION.case(needs=("async generators",))
async def a_task_with_generators_cancelled_at_every_suspension(trial: Trial) -> None:
    """The same through asynchronous generators that consume each other."""
    await stopped_by_tasks(trial, lambda told: _generators(trial, told), at_least=6)


@CANCELLATION.anywhere()
async def coroutines_stopped_at_every_suspension(trial: Trial) -> None:
    """Coroutines that a cancel scope stops at their n-th suspension, for every n, cleaning up behind a shield."""
    await stopped_by_scopes(trial, lambda told: _coroutines(trial, told), at_least=6)


@CANCELLATION.anywhere(needs=("async generators",))
async def generators_stopped_at_every_suspension(trial: Trial) -> None:
    """Asynchronous generators that a cancel scope around their consumer stops at its n-th suspension, for every n."""
    await stopped_by_scopes(trial, lambda told: _generators(trial, told), at_least=6)


@CANCELLATION.anywhere()
async def groups_stopped_at_every_suspension(trial: Trial) -> None:
    """Groups of tasks inside of each other, stopped as a whole at the n-th suspension of all of them together."""
    await stopped_by_scopes(trial, lambda told: _groups(trial, told), at_least=6)


@CANCELLATION.case()
async def tasks_in_groups_cancelled_at_every_suspension(trial: Trial) -> None:
    """The same when it is the task around that is cancelled."""
    await stopped_by_tasks(trial, lambda told: _groups(trial, told), at_least=6)


@CANCELLATION.case("""
    work
      caught
""")
async def a_cancellation_that_is_swallowed(trial: Trial) -> None:
    """A task that catches its cancellation and returns has not been cancelled, and neither has its span."""

    @trial.observed
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with trial.span("caught"):
                await asyncio.sleep(0)
        return "all the same"

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    trial.equal("the result", await task, "all the same")


@CANCELLATION.case("", "work: any")
async def a_task_cancelled_before_it_starts(trial: Trial) -> None:
    """A task that is cancelled before its first step leaves no span open, whether or not it has one."""

    @trial.observed
    async def work() -> None:
        await asyncio.sleep(0)

    task = asyncio.create_task(work())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    trial.equal("whether it was cancelled", task.cancelled(), expected=True)


@CANCELLATION.case("""
    request: cancelled
      work: cancelled * 2
""")
async def a_gathering_cancelled(trial: Trial) -> None:
    """Whoever gathers is cancelled, and with it all that it gathers."""

    @trial.observed
    async def work() -> None:
        await asyncio.Event().wait()

    @trial.observed
    async def request() -> None:
        await asyncio.gather(work(), work())

    task = asyncio.create_task(request())
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    trial.equal("whether it was cancelled", task.cancelled(), expected=True)


@CANCELLATION.case("""
    request: cancelled
      work
""")
async def a_shielded_task_goes_on(trial: Trial) -> None:
    """What is shielded ends in its own time, still below the one that was cancelled."""
    go_on = asyncio.Event()

    @trial.observed
    async def work() -> str:
        await go_on.wait()
        trial.here("work")
        return "done"

    tasks: list[asyncio.Task[str]] = []

    @trial.observed
    async def request() -> None:
        tasks.append(asyncio.create_task(work()))
        await asyncio.shield(tasks[0])

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    go_on.set()
    trial.equal("the result", await tasks[0], "done")


@CANCELLATION.anywhere("""
    request
      fails: error
      waits: cancelled * 2
""")
async def a_group_of_which_one_fails(trial: Trial) -> None:
    """The failure of one task cancels the others, and comes out of the group, the very same."""
    error = LookupError("one of three")

    @trial.observed
    async def waits() -> None:
        await anyio.sleep_forever()

    @trial.observed
    async def fails() -> None:
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        raise error

    @trial.observed
    async def request() -> None:
        found: list[BaseException] = []
        try:
            async with anyio.create_task_group() as group:
                for function in (waits, waits, fails):
                    group.start_soon(function)
        except* LookupError as errors:
            found += errors.exceptions
        trial.same("what came out", found[0], error)
        trial.here("request")

    await request()


@CANCELLATION.anywhere("""
    work: cancelled
      cleaning: cancelled
""")
async def a_cleaning_that_is_stopped_too(trial: Trial) -> None:
    """What cleans up after a cancellation without a shield is stopped at its first suspension, and ends too."""

    @trial.observed
    async def cleaning() -> None:
        await anyio.lowlevel.checkpoint()

    @trial.observed
    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await cleaning()

    async def stopped() -> None:
        with CancelScope() as scope:
            scope.cancel()
            await work()

    await in_task(stopped)
