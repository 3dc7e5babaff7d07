"""Threads and loops: whoever carries the context stays in the span; nobody is ever in somebody else's."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Final

import anyio
import anyio.to_thread

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.elsewhere import WAIT_S
from tracecore.testing.tracers.trial import Trial

__all__ = ["THREADS"]

THREADS: Final = Group("threads and loops")

_OF_ITS_OWN: Final = """
    request
    work
      inside
"""
_BELOW: Final = """
    request
      work
        inside
"""


def _work(trial: Trial) -> None:
    """Do observed work with a block inside."""

    @trial.observed
    def work() -> None:
        trial.here("work")
        with trial.span("inside"):
            trial.here("inside")
        trial.here("work")

    work()


@THREADS.case(_BELOW)
async def asyncio_to_thread(trial: Trial) -> None:
    """``asyncio.to_thread`` carries the context, and with it the current span."""

    @trial.observed
    async def request() -> None:
        await asyncio.to_thread(_work, trial)
        trial.here("request")

    await request()


@THREADS.anywhere(_BELOW)
async def anyio_to_thread(trial: Trial) -> None:
    """So does ``anyio.to_thread.run_sync``."""

    @trial.observed
    async def request() -> None:
        await anyio.to_thread.run_sync(_work, trial)
        trial.here("request")

    await request()


@THREADS.case("""
    request
      failing: error
""")
async def an_exception_from_a_thread(trial: Trial) -> None:
    """The exception of a thread is the error of the span there, and comes back the very same."""
    error = LookupError("in a thread")

    @trial.observed
    def failing() -> None:
        raise error

    @trial.observed
    async def request() -> None:
        with trial.raises(error):
            await asyncio.to_thread(failing)

    await request()


@THREADS.case(_OF_ITS_OWN, _BELOW)
def a_thread(trial: Trial) -> None:
    """A plain thread begins a trace of its own, or is below the span that started it."""
    with trial.span("request"):
        thread = threading.Thread(target=_work, args=(trial,))
        thread.start()
        thread.join(WAIT_S)
        trial.here("request")


@THREADS.case(_BELOW)
def a_thread_with_the_context(trial: Trial) -> None:
    """A thread that runs in a copy of the context is below the span that the copy was made in."""
    with trial.span("request"):
        thread = threading.Thread(target=copy_context().run, args=(_work, trial))
        thread.start()
        thread.join(WAIT_S)
        trial.here("request")


@THREADS.case(
    """
    first
    second
    work
      inside
    work
      inside
""",
    """
    first
      work
        inside
    second
      work
        inside
""",
)
def a_pool_that_carries_nothing(trial: Trial) -> None:
    """A worker thread that was begun inside of one span is not in that span when it works for another one."""
    with ThreadPoolExecutor(1) as pool:
        for name in ("first", "second"):
            with trial.span(name):
                pool.submit(_work, trial).result(WAIT_S)
                trial.here(name)


@THREADS.case(_OF_ITS_OWN, _BELOW)
async def the_loops_own_pool(trial: Trial) -> None:
    """``run_in_executor`` carries nothing by itself, and never somebody else's span."""

    @trial.observed
    async def request() -> None:
        await asyncio.get_running_loop().run_in_executor(None, _work, trial)
        trial.here("request")

    await request()


@THREADS.case(
    """
    first
      work
        inside
    second
      work
        inside
""",
    needs=("executor",),
)
def a_pool_that_carries_the_context(trial: Trial) -> None:
    """In the tracer's own pool the work is below the span that submitted it, whichever thread does it."""
    with trial.executor(1) as pool:
        for name in ("first", "second"):
            with trial.span(name):
                pool.submit(_work, trial).result(WAIT_S)
                trial.here(name)


@THREADS.case(
    """
    request
      work
        inside
      work
        inside
      work
        inside
""",
    needs=("executor",),
)
def work_mapped_over_a_pool(trial: Trial) -> None:
    """``Executor.map`` of the tracer's own pool carries the span too."""
    with trial.span("request"), trial.executor(2) as pool:
        trial.equal("the results", list(pool.map(_work, [trial] * 3)), [None] * 3)
        trial.here("request")


@THREADS.anywhere("""
    request
      work
        inside
""")
async def a_copy_of_the_context(trial: Trial) -> None:
    """What runs in a copy of the context is below the span that the copy was made in, also after that has ended."""
    with trial.span("request"):
        context = copy_context()
    context.run(_work, trial)
    trial.here(None)


@THREADS.case("""
    request
      nested
        inside
""")
async def a_loop_in_a_thread(trial: Trial) -> None:
    """A loop that runs in a thread which carries the context goes on below the span there."""

    @trial.observed
    async def nested() -> None:
        await asyncio.sleep(0)
        trial.here("nested")
        with trial.span("inside"):
            await asyncio.sleep(0)

    @trial.observed
    async def request() -> None:
        await asyncio.to_thread(lambda: asyncio.run(nested()))
        trial.here("request")

    await request()


@THREADS.case("""
    request
      step * 20
    request
      step * 20
""")
def two_loops_at_once(trial: Trial) -> None:
    """Loops in two threads take turns, and each stays in its own trace."""
    barrier = threading.Barrier(2)

    @trial.observed
    async def step() -> None:
        await asyncio.sleep(0)
        trial.here("step")

    @trial.observed
    async def request() -> None:
        for _ in range(20):
            barrier.wait(WAIT_S)
            await step()
            trial.here("request")

    with ThreadPoolExecutor(2) as pool:
        wait([pool.submit(lambda: asyncio.run(request())) for _ in range(2)])


@THREADS.case("""
    request
      threaded
        answer
""")
async def back_into_the_loop(trial: Trial) -> None:
    """A coroutine that a thread hands to the loop is below the span of the thread."""
    loop = asyncio.get_running_loop()

    @trial.observed
    async def answer() -> str:
        trial.here("answer")
        await asyncio.sleep(0)
        return "answered"

    @trial.observed
    def threaded() -> str:
        found = asyncio.run_coroutine_threadsafe(answer(), loop).result(WAIT_S)
        trial.here("threaded")
        return found

    @trial.observed
    async def request() -> str:
        return await asyncio.to_thread(threaded)

    trial.equal("the result", await request(), "answered")


@THREADS.case("""
    request * 400
""")
def many_threads_at_once(trial: Trial) -> None:
    """Threads that begin traces at the same time have as many traces."""

    @trial.observed
    def request() -> None:
        trial.here("request")

    def requests() -> None:
        for _ in range(50):
            request()

    with ThreadPoolExecutor(8) as pool:
        wait([pool.submit(requests) for _ in range(8)])
