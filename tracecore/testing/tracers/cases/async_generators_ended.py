"""Asynchronous generators that end before their last item: closed, cancelled, dropped, or left to the loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import anyio
import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.cases.async_generators import numbers_of
from tracecore.testing.tracers.elsewhere import in_task
from tracecore.testing.tracers.trial import Trial

__all__ = ["ENDED_EARLY"]

ENDED_EARLY: Final = Group("async generators ended early", "async generators")


@ENDED_EARLY.anywhere("""
    consumer
      numbers: cancelled
        open: cancelled
          step
      later
""")
async def an_async_generator_left_early_and_closed(trial: Trial) -> None:
    """A consumer that breaks out and closes ends the generator's span, and its own is current."""
    with trial.span("consumer"):
        async with aclosing(numbers_of(trial)) as running:
            async for _ in running:
                break
        trial.here("consumer")
        with trial.span("later"):
            pass


@ENDED_EARLY.case("""
    consumer
      numbers: cancelled
        open: cancelled
          step
      later
""")
async def an_async_generator_left_early(trial: Trial) -> None:
    """A consumer that breaks out and leaves the rest to the loop stays in its own span."""
    with trial.span("consumer"):
        async for _ in numbers_of(trial):
            break
        trial.here("consumer")
        await asyncio.sleep(0)
        trial.here("consumer")
        with trial.span("later"):
            pass
    await asyncio.sleep(0)


@ENDED_EARLY.anywhere("""
    consumer
      numbers: cancelled
        cleaning
""")
async def an_async_generator_closed(trial: Trial) -> None:
    """What the body does when it is closed, suspensions included, is still inside of its span."""

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            with trial.span("cleaning"):
                await anyio.lowlevel.checkpoint()
                trial.here("cleaning")

    with trial.span("consumer"):
        async with aclosing(numbers()) as running:
            trial.equal("the first item", await anext(running), 1)
        trial.here("consumer")


@ENDED_EARLY.anywhere("""
    starter
      numbers: cancelled
        open: cancelled
          step
    closer
      later
""")
async def an_async_generator_closed_by_another_task(trial: Trial) -> None:
    """Whoever closes a generator that began elsewhere stays in the span that it is in."""
    with trial.span("starter"):
        running = numbers_of(trial)
        await anext(running)

    async def close() -> None:
        with trial.span("closer"):
            await running.aclose()
            trial.here("closer")
            with trial.span("later"):
                pass

    await in_task(close)


@ENDED_EARLY.case("""
    numbers: cancelled
      open: cancelled
        step
""")
async def an_async_generator_dropped(trial: Trial) -> None:
    """A generator that is thrown away before its end ends its span when the loop has closed it."""
    running = numbers_of(trial)
    await anext(running)
    del running
    gc.collect()
    await asyncio.sleep(0)
    trial.here(None)


@ENDED_EARLY.case("""
    numbers: cancelled
      cleaning
    numbers: cancelled
      cleaning
""")
async def async_generators_that_outlive_the_loop(trial: Trial) -> None:
    """Generators that are still open when the loop ends are closed by it, each once, with all of their cleaning."""

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            with trial.span("cleaning"):
                await asyncio.sleep(0)
                trial.here("cleaning")

    running = [numbers(), numbers()]
    for each in running:
        await anext(each)
    trial.keep(running)


@ENDED_EARLY.anywhere("", "numbers: any", "numbers: any * 2")
async def an_async_generator_never_started(trial: Trial) -> None:
    """A generator that is never stepped leaves no span open, whether or not it has one."""
    one, two = numbers_of(trial), numbers_of(trial)
    await one.aclose()
    del two
    gc.collect()
    await anyio.lowlevel.checkpoint()


@ENDED_EARLY.anywhere("""
    consumer: cancelled
      numbers: cancelled
        waiting: cancelled
""")
async def an_async_generator_whose_consumer_is_cancelled(trial: Trial) -> None:
    """A cancellation of the consumer goes through the body, which waits at that moment, and ends its spans."""
    waiting = anyio.Event()

    @trial.observed
    async def numbers() -> AsyncGenerator[int, None]:
        with trial.span("waiting"):
            waiting.set()
            await anyio.sleep_forever()
        yield 1

    async def consume() -> None:
        with trial.span("consumer"):
            async with aclosing(numbers()) as running:
                async for _ in running:
                    pass

    async with anyio.create_task_group() as group:
        group.start_soon(consume)
        await waiting.wait()
        group.cancel_scope.cancel()
    trial.here(None)
