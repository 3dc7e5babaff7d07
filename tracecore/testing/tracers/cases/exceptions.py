"""Exceptions: what is raised comes out, the very same, and is the error of every span that it leaves."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trial import Trial

__all__ = ["EXCEPTIONS"]

EXCEPTIONS: Final = Group("exceptions")


def _raising(trial: Trial, error: BaseException) -> Callable[[], None]:
    """Return an observed function that raises it."""

    @trial.observed
    def failing() -> None:
        raise error

    return failing


@EXCEPTIONS.case("""
    outer: error
      block: error
        failing: error
""")
def an_exception_through_several_spans(trial: Trial) -> None:
    """An exception is the error of every span on its way, and the very same at its end."""
    error = LookupError("deep inside")
    failing = _raising(trial, error)

    @trial.observed
    def outer() -> None:
        with trial.span("block"):
            failing()

    with trial.raises(error):
        outer()
    trial.here(None)
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    trial.equal("the last frame", frames[-1], "failing")


@EXCEPTIONS.anywhere("""
    outer: error
      failing: error
""")
async def an_exception_through_coroutines(trial: Trial) -> None:
    """The same with coroutines."""
    error = LookupError("deep inside")

    @trial.observed
    async def failing() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    @trial.observed
    async def outer() -> None:
        await failing()

    with trial.raises(error):
        await outer()


@EXCEPTIONS.case("""
    outer
      failing: error
""")
def an_exception_that_is_caught(trial: Trial) -> None:
    """Who catches an exception has not failed, and is current again at once."""
    error = LookupError("caught")
    failing = _raising(trial, error)

    @trial.observed
    def outer() -> None:
        try:
            failing()
        except LookupError as found:
            trial.here("outer")
            trial.same("what was caught", found, error)
            trial.same("what is being handled", sys.exc_info()[1], error)

    outer()


@EXCEPTIONS.case("outer: error")
def causes_and_contexts(trial: Trial) -> None:
    """Cause, context and notes of an exception are those that the program gave it."""
    cause, context, error = KeyError("cause"), ValueError("context"), LookupError("error")
    error.add_note("noted")

    @trial.observed
    def outer() -> None:
        try:
            raise context
        except ValueError:
            raise error from cause

    with trial.raises(error):
        outer()
    trial.same("the cause", error.__cause__, cause)
    trial.same("the context", error.__context__, context)
    trial.equal("the notes", error.__notes__, ["noted"])
    trial.equal("whether the context is hidden", error.__suppress_context__, expected=True)


@EXCEPTIONS.case("failing: error")
def an_exception_raised_while_another_one_is_handled(trial: Trial) -> None:
    """The context of an exception is what was being handled where it was raised, and nothing of the tracer's."""
    error, handled = LookupError("raised"), ValueError("being handled")
    failing = _raising(trial, error)
    try:
        raise handled
    except ValueError:
        with trial.raises(error):
            failing()
    trial.same("the context", error.__context__, handled)
    trial.same("what was being handled before", handled.__context__, None)


@EXCEPTIONS.case("failing: error")
def a_group_of_exceptions(trial: Trial) -> None:
    """A group is passed on as it is, and ``except*`` takes it apart."""
    one, two = LookupError("one"), ValueError("two")
    group = ExceptionGroup("both", [one, two])
    failing = _raising(trial, group)
    found: list[BaseException] = []
    try:
        failing()
    except* LookupError as errors:
        found += errors.exceptions
    except* ValueError as errors:
        found += errors.exceptions
    trial.equal("what was inside", found, [one, two])


@EXCEPTIONS.anywhere("""
    request: error
      failing: error * 2
""")
async def a_group_from_a_group_of_tasks(trial: Trial) -> None:
    """What several tasks raise comes out of the span around them as a group that holds the very exceptions."""
    errors = [LookupError("one"), LookupError("two")]
    both = anyio.Event()

    @trial.observed
    async def failing(number: int) -> None:
        if number:
            both.set()
        with anyio.CancelScope(shield=True):
            await both.wait()
        raise errors[number]

    @trial.observed
    async def request() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(failing, 0)
            group.start_soon(failing, 1)

    found: list[BaseException] = []
    try:
        await request()
    except* LookupError as caught:
        found += caught.exceptions
    trial.equal("what was inside", sorted(map(id, found)), sorted(map(id, errors)))


@EXCEPTIONS.case("failing: error")
def stop_iteration_from_a_function(trial: Trial) -> None:
    """A plain function may raise StopIteration, as ``__next__`` does."""
    error = StopIteration("value")
    failing = _raising(trial, error)
    with trial.raises(error):
        failing()


@EXCEPTIONS.case("block: error")
def stop_iteration_in_a_block(trial: Trial) -> None:
    """So may a block."""
    error = StopIteration("value")
    with trial.raises(error), trial.span("block"):
        raise error


@EXCEPTIONS.anywhere("failing: error")
async def stop_iteration_in_a_coroutine(trial: Trial) -> None:
    """A coroutine that raises StopIteration raises RuntimeError, as Python has it."""
    inside = StopIteration("inside")

    @trial.observed
    async def failing() -> None:
        await anyio.lowlevel.checkpoint()
        raise inside

    cause: BaseException | None = None
    try:
        await failing()
    except RuntimeError as error:
        cause = error.__cause__
    trial.same("the cause", cause, inside)


@EXCEPTIONS.anywhere("failing: error")
async def stop_async_iteration_from_a_coroutine(trial: Trial) -> None:
    """A coroutine may raise StopAsyncIteration, as ``__anext__`` does."""
    error = StopAsyncIteration()

    @trial.observed
    async def failing() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    with trial.raises(error):
        await failing()


@EXCEPTIONS.case("""
    outer: any
      failing: any
""")
def keyboard_interrupt(trial: Trial) -> None:
    """An interrupt goes through, the very same, and ends the spans."""
    error = KeyboardInterrupt()
    failing = _raising(trial, error)
    with trial.raises(error), trial.span("outer"):
        failing()
    trial.here(None)


@EXCEPTIONS.case("failing: any")
def system_exit(trial: Trial) -> None:
    """So does an exit."""
    error = SystemExit(3)
    failing = _raising(trial, error)
    with trial.raises(error):
        failing()


@EXCEPTIONS.case("failing: error")
def an_exception_that_cannot_be_shown(trial: Trial) -> None:
    """An exception whose text cannot be made goes through, the very same."""

    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    error = Unspeakable()
    failing = _raising(trial, error)
    caught: BaseException | None = None
    try:
        failing()
    except Exception as found:  # noqa: BLE001 - whichever comes out
        caught = found
    trial.equal("whether it was the very same", caught is error, expected=True)


@EXCEPTIONS.case("""
    outer
      failing: error * 3
""")
def the_same_exception_again(trial: Trial) -> None:
    """An exception that is raised again and again stays what it is."""
    error = LookupError("again")
    failing = _raising(trial, error)

    @trial.observed
    def outer() -> None:
        for _ in range(3):
            with trial.raises(error):
                failing()

    outer()
    trial.equal("its arguments", error.args, ("again",))
