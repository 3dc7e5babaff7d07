"""Asynchronous generators: the body runs inside of its own span, over every suspension; its consumer never does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import anyio
import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.elsewhere import in_task
from tracecore.testing.tracers.trial import Trial

__all__ = ["ASYNC_GENERATORS", "numbers_of"]

ASYNC_GENERATORS: Final = Group("async generators", "async generators")

_variable: ContextVar[str] = ContextVar("of_a_program", default="nothing")


def numbers_of(trial: Trial, amount: int = 3) -> AsyncGenerator[int, None]:
    """Return an observed generator with a span around its items, and one in each step, over suspensions."""

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        with trial.span("open"):
            for number in range(amount):
                with trial.span("step"):
                    await anyio.lowlevel.checkpoint()
                    trial.here("step")
                yield number
                trial.here("open")
        trial.here("numbers")

    return numbers()


@ASYNC_GENERATORS.anywhere("""
    consumer
      numbers
        open
          step * 3
      consumed * 3
""")
async def an_async_generator_exhausted(trial: Trial) -> None:
    """Between items, and after the last, the consumer's current span is its own; what it opens is its child."""
    with trial.span("consumer"):
        async for _ in numbers_of(trial):
            trial.here("consumer")
            with trial.span("consumed"):
                await anyio.lowlevel.checkpoint()
                trial.here("consumed")
        trial.here("consumer")


@ASYNC_GENERATORS.anywhere("""
    numbers
      open
        step * 3
    consumed * 3
""")
async def an_async_generator_consumed_outside_of_every_span(trial: Trial) -> None:
    """A consumer without a span stays without one between items."""
    async for _ in numbers_of(trial):
        trial.here(None)
        with trial.span("consumed"):
            pass


@ASYNC_GENERATORS.anywhere("""
    consumer
      numbers: error
        open: error
          step
""")
async def an_exception_thrown_into_an_async_generator(trial: Trial) -> None:
    """What is thrown in and not caught comes out again, the very same, and is the span's error."""
    with trial.span("consumer"):
        running = numbers_of(trial)
        await anext(running)
        error = LookupError("thrown in")
        with trial.raises(error):
            await running.athrow(error)
        trial.here("consumer")


@ASYNC_GENERATORS.anywhere("""
    consumer
      numbers
        caught
""")
async def an_exception_handled_by_an_async_generator(trial: Trial) -> None:
    """A body that catches what is thrown in goes on inside of its span."""

    @trial.observed
    async def numbers() -> AsyncGenerator[str, None]:
        try:
            yield "before"
        except LookupError as error:
            with trial.span("caught"):
                await anyio.lowlevel.checkpoint()
                trial.here("caught")
            yield f"caught {error.args[0]}"

    with trial.span("consumer"):
        running = numbers()
        trial.equal("the first item", await anext(running), "before")
        trial.equal("the answer", await running.athrow(LookupError("it")), "caught it")
        trial.here("consumer")
        trial.equal("the rest", [item async for item in running], [])


@ASYNC_GENERATORS.anywhere("echo")
async def values_sent_into_an_async_generator(trial: Trial) -> None:
    """What the consumer sends reaches the body."""

    @trial.observed
    async def echo() -> AsyncGenerator[object, object]:
        received: object = "begun"
        while received != "end":
            await anyio.lowlevel.checkpoint()
            received = yield received

    running = echo()
    found = [await anext(running), await running.asend(1), await running.asend("two")]
    trial.equal("the items", found, ["begun", 1, "two"])
    stopped = False
    try:
        await running.asend("end")
    except StopAsyncIteration:
        stopped = True
    trial.equal("whether it stopped", stopped, expected=True)


@ASYNC_GENERATORS.anywhere("""
    consumer
      numbers: error
""")
async def an_async_generator_that_fails(trial: Trial) -> None:
    """An exception of the body ends the span as an error and reaches the consumer, the very same."""
    error = LookupError("in the middle")

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        await anyio.lowlevel.checkpoint()
        raise error

    with trial.span("consumer"):
        running = numbers()
        await anext(running)
        with trial.raises(error):
            await anext(running)
        trial.here("consumer")


@ASYNC_GENERATORS.anywhere("numbers: error")
async def stop_async_iteration_inside_of_an_async_generator(trial: Trial) -> None:
    """A body that raises StopAsyncIteration raises RuntimeError, as Python has it."""
    inside = StopAsyncIteration("inside")

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        raise inside

    found: BaseException | None = None
    try:
        async for _ in numbers():
            pass
    except RuntimeError as error:
        found = error.__cause__
    trial.same("the cause", found, inside)


@ASYNC_GENERATORS.anywhere("""
    consumer
      numbers
        open
          step * 3
      numbers
        open
          step * 3
""")
async def async_generators_in_turn(trial: Trial) -> None:
    """Two generators that are stepped in turn have a tree each."""
    with trial.span("consumer"):
        one, two = numbers_of(trial), numbers_of(trial)
        for _ in range(3):
            await anext(one)
            trial.here("consumer")
            await anext(two)
            trial.here("consumer")
        trial.equal("the rest", [item async for item in one] + [item async for item in two], [])


@ASYNC_GENERATORS.anywhere("""
    starter
      numbers
        open
          step * 4
    other
      later
""")
async def an_async_generator_stepped_by_other_tasks(trial: Trial) -> None:
    """A generator that other tasks go on with stays in the tree where it began."""
    with trial.span("starter"):
        running = numbers_of(trial, 4)
        await anext(running)

    async def go_on() -> None:
        with trial.span("other"):
            await anext(running)
            trial.here("other")
            with trial.span("later"):
                pass

    await in_task(go_on)
    trial.here(None)
    trial.equal("the rest", [item async for item in running], [2, 3])


@ASYNC_GENERATORS.anywhere("""
    consumer
      outer
        inner
          open
            step * 3
        passed * 3
""")
async def an_async_generator_in_an_async_generator(trial: Trial) -> None:
    """A generator that consumes another one is its parent, and stays where it is between items."""

    @trial.observed
    async def inner() -> AsyncGenerator[int, None]:
        with trial.span("open"):
            for number in range(3):
                with trial.span("step"):
                    await anyio.lowlevel.checkpoint()
                yield number

    @trial.observed
    async def outer() -> AsyncGenerator[int, None]:
        async for number in inner():
            trial.here("outer")
            with trial.span("passed"):
                pass
            yield number

    with trial.span("consumer"):
        trial.equal("the items", [item async for item in outer()], [0, 1, 2])
        trial.here("consumer")


@ASYNC_GENERATORS.anywhere("""
    consumer
      numbers
        fetched * 2
""")
async def tasks_begun_by_an_async_generator(trial: Trial) -> None:
    """Tasks that the body begins within a step are below the generator."""

    @trial.observed
    async def fetched() -> None:
        await anyio.lowlevel.checkpoint()
        trial.here("fetched")

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        async with anyio.create_task_group() as group:
            group.start_soon(fetched)
            group.start_soon(fetched)
        yield 1

    with trial.span("consumer"):
        trial.equal("the items", [item async for item in numbers()], [1])
        trial.here("consumer")


@ASYNC_GENERATORS.anywhere("around: error")
async def a_context_manager_made_of_an_async_generator(trial: Trial) -> None:
    """An exception in a block reaches the body of the observed generator that the context manager is made of."""
    error, seen = LookupError("in the block"), list[BaseException]()

    @asynccontextmanager
    @trial.observed
    async def around() -> AsyncGenerator[int, None]:
        try:
            yield 1
        except LookupError as found:
            seen.append(found)
            raise

    with trial.raises(error):
        async with around() as value:
            trial.equal("the value", value, 1)
            raise error
    trial.equal("what the body saw", seen, [error])


@ASYNC_GENERATORS.anywhere("words", needs=("variables",))
async def context_variables_shared_with_an_async_generator(trial: Trial) -> None:
    """The body sees what its consumer sets between items, and the consumer what the body sets."""

    @trial.observed
    async def words() -> AsyncGenerator[str, None]:
        yield _variable.get()
        _variable.set("by the body")
        yield _variable.get()

    running = words()
    _variable.set("by the consumer")
    trial.equal("what the body sees", await anext(running), "by the consumer")
    await anext(running)
    trial.equal("what the consumer sees", _variable.get(), "by the body")
    trial.equal("the rest", [word async for word in running], [])
