"""Tasks and callbacks: the parent is fixed when a task is created, and tasks side by side do not see each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final

import anyio
import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trial import Trial

__all__ = ["TASKS"]

TASKS: Final = Group("tasks")


def _step(trial: Trial) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return an observed coroutine function with a block inside, over suspensions."""

    @trial.observed
    async def step() -> None:
        await anyio.lowlevel.checkpoint()
        trial.here("step")
        with trial.span("inside"):
            await anyio.lowlevel.checkpoint()
            trial.here("inside")
        trial.here("step")

    return step


@TASKS.case("""
    request
      step
        inside
      step
        inside
""")
async def gathered(trial: Trial) -> None:
    """What ``asyncio.gather`` runs side by side is below the one that gathers."""
    step = _step(trial)

    @trial.observed
    async def request() -> None:
        await asyncio.gather(step(), step())
        trial.here("request")

    await request()


@TASKS.case("""
    request
      step
        inside
      failing: error
""")
async def gathered_with_failures(trial: Trial) -> None:
    """``return_exceptions`` gives the very exception, and whoever gathers has not failed."""
    step, error = _step(trial), LookupError("gathered")

    @trial.observed
    async def failing() -> None:
        await asyncio.sleep(0)
        raise error

    @trial.observed
    async def request() -> None:
        came_back = await asyncio.gather(step(), failing(), return_exceptions=True)
        trial.same("what came back", came_back[1], error)

    await request()


@TASKS.case("""
    request
      step
        inside
      step
        inside
""")
async def a_task_group(trial: Trial) -> None:
    """The tasks of an ``asyncio.TaskGroup`` are below the one that creates them."""
    step = _step(trial)

    @trial.observed
    async def request() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(step())
            group.create_task(step())
            trial.here("request")
        trial.here("request")

    await request()


@TASKS.anywhere("""
    request
      starter
        step
          inside
      step
        inside
""")
async def an_anyio_group(trial: Trial) -> None:
    """The tasks of an anyio group are below the span in which they are started, not in which the group is opened."""
    step = _step(trial)

    @trial.observed
    async def request() -> None:
        async with anyio.create_task_group() as group:
            with trial.span("starter"):
                group.start_soon(step)
            group.start_soon(step)
        trial.here("request")

    await request()


@TASKS.anywhere("""
    request
      child
        later
""")
async def a_task_whose_parent_ends_first(trial: Trial) -> None:
    """A task that outlives its parent stays its child, and so does what it opens afterwards."""
    ended = anyio.Event()

    @trial.observed
    async def child() -> None:
        await ended.wait()
        trial.here("child")
        with trial.span("later"):
            await anyio.lowlevel.checkpoint()
        trial.here("child")

    async with anyio.create_task_group() as group:

        @trial.observed
        async def request() -> None:
            group.start_soon(child)

        await request()
        trial.here(None)
        ended.set()


@TASKS.anywhere("""
    request
      left
        inner
          step
            inside
""")
async def tasks_of_tasks_whose_parents_have_ended(trial: Trial) -> None:
    """Each is below the one that began it, whatever has ended meanwhile."""
    step = _step(trial)

    async with anyio.create_task_group() as group:

        @trial.observed
        async def inner() -> None:
            group.start_soon(step)

        @trial.observed
        async def left() -> None:
            group.start_soon(inner)

        @trial.observed
        async def request() -> None:
            group.start_soon(left)

        await request()


@TASKS.anywhere("""
    first
      step
        inside
      step
        inside
    second
      step
        inside
      step
        inside
""")
async def requests_side_by_side(trial: Trial) -> None:
    """Requests that take turns have a trace each, and each stays in its own."""
    step = _step(trial)

    @trial.observed
    async def first() -> None:
        await step()
        await step()
        trial.here("first")

    @trial.observed
    async def second() -> None:
        await step()
        await step()
        trial.here("second")

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        group.start_soon(second)
    trial.here(None)


@TASKS.case("""
    request
    step
      inside
""")
async def a_task_with_a_context_of_its_own(trial: Trial) -> None:
    """A task that is given an empty context begins a trace of its own."""
    step = _step(trial)

    @trial.observed
    async def request() -> None:
        await asyncio.create_task(step(), context=Context())
        trial.here("request")

    await request()


@TASKS.case("""
    request * 2
    job * 2
""")
async def a_worker_with_a_queue(trial: Trial) -> None:
    """A worker that was there before the requests is in none of them: its jobs are traces of their own."""
    queue: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    @trial.observed
    async def job(done: asyncio.Future[None]) -> None:
        trial.here("job")
        await asyncio.sleep(0)
        done.set_result(None)

    async def worker() -> None:
        while True:
            await job(await queue.get())

    @trial.observed
    async def request() -> None:
        done = asyncio.get_running_loop().create_future()
        await queue.put(done)
        await done
        trial.here("request")

    task = asyncio.create_task(worker())
    await asyncio.gather(request(), request())
    task.cancel()
    await asyncio.wait([task])


@TASKS.case("""
    request
      called * 2
""")
async def callbacks_of_the_loop(trial: Trial) -> None:
    """What ``call_soon`` and ``call_later`` call is below the span that asked for it."""

    @trial.observed
    def called(done: asyncio.Future[None]) -> None:
        trial.here("called")
        done.set_result(None)

    @trial.observed
    async def request() -> None:
        loop = asyncio.get_running_loop()
        soon, later = loop.create_future(), loop.create_future()
        loop.call_soon(called, soon)
        loop.call_later(0, called, later)
        await soon
        trial.here("request")
        await later

    await request()
    trial.here(None)


@TASKS.case("""
    request
      called
""")
async def a_callback_after_the_end(trial: Trial) -> None:
    """A callback that comes when the span that asked for it has ended is below it all the same."""
    came = asyncio.Event()

    @trial.observed
    def called() -> None:
        trial.here("called")
        came.set()

    @trial.observed
    async def request() -> None:
        asyncio.get_running_loop().call_soon(called)

    await request()
    trial.here(None)
    await came.wait()
    trial.here(None)


@TASKS.case("""
    request
      called
      step
        inside
""")
async def a_callback_of_a_future(trial: Trial) -> None:
    """What is to be called when a task is done is below the span that asked for it, not below the task."""
    step, came = _step(trial), asyncio.Event()

    @trial.observed
    def called(_: asyncio.Task[None]) -> None:
        trial.here("called")
        came.set()

    @trial.observed
    async def request() -> None:
        task = asyncio.create_task(step())
        task.add_done_callback(called)
        await task
        await came.wait()
        trial.here("request")

    await request()


@TASKS.case("""
    request
      step
        inside
      step
        inside
""")
async def as_they_are_completed(trial: Trial) -> None:
    """``asyncio.as_completed`` leaves whoever waits in its own span."""
    step = _step(trial)

    @trial.observed
    async def request() -> None:
        for done in asyncio.as_completed([step(), step()]):
            await done
            trial.here("request")

    await request()


@TASKS.case("request * 20")
def loops_one_after_another(trial: Trial) -> None:
    """Programs that run a loop for every request have a trace for every request."""

    @trial.observed
    async def request() -> None:
        await asyncio.sleep(0)
        trial.here("request")

    for _ in range(20):
        asyncio.run(request())
        trial.here(None)
