"""An observed function behaves as the bare one: recorded, left out by sampling, or with tracing disabled.

A random body and a random consumer are run twice, bare and observed, and everything either of them can see is compared:
items, return values, exceptions with their contexts and causes, what the body finds in ``sys.exc_info``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracecore
from tracecore import observe
from tracecore.testing import Captured, capture

MODES: list[dict[str, Any]] = [
    {},
    {"enabled": False},
    {"sample_rate": 0.0},
    {"capture_input": False, "capture_output": False},
]
Log = list[Any]


@dataclasses.dataclass(frozen=True)
class Action:
    """Say what a body does at one yield: with what is thrown into it, and afterwards."""

    item: Any
    on_error: str
    then: str


actions = st.builds(
    Action,
    st.sampled_from([None, 1, "text", {"k": [1]}]),
    st.sampled_from(["raise", "swallow", "other", "from", "return", "yield"]),
    st.sampled_from(["go on", "go on", "go on", "raise", "stop", "return"]),
)
steps = st.sampled_from(
    [("send", None), ("send", None), ("send", 5), ("throw", KeyError), ("throw", GeneratorExit), ("close", None)]
)
bodies, consumers = st.lists(actions, max_size=4), st.lists(steps, min_size=1, max_size=6)


def seen(error: BaseException | None) -> Any:
    """Return what can be seen of an exception."""
    if error is None:
        return None
    return type(error), error.args, seen(error.__cause__), seen(error.__context__)


def reacted(action: Action, error: BaseException, log: Log) -> str:
    """React to what was thrown into a body: raise, or return what to do."""
    log.append(seen(error))
    if action.on_error == "raise":
        raise error
    if action.on_error == "other":
        raise LookupError("other")
    if action.on_error == "from":
        raise LookupError("other") from error
    return action.on_error


def finished(action: Action, log: Log) -> bool:
    """Do what comes after a yield; return whether the body is at its end."""
    log.append(seen(sys.exc_info()[1]))
    if action.then == "raise":
        raise ZeroDivisionError(action.item)
    if action.then == "stop":
        raise StopIteration(1)
    return action.then == "return"


def body(script: Sequence[Action], log: Log) -> Generator[Any, Any, str]:
    """Run a script as a generator."""
    for action in script:
        try:
            log.append((yield action.item))
        except BaseException as error:  # noqa: BLE001 - whatever the consumer throws
            match reacted(action, error, log):
                case "return":
                    return "early"
                case "yield":
                    log.append((yield "again"))
        if finished(action, log):
            return "in the middle"
    return "end"


async def abody(script: Sequence[Action], log: Log) -> AsyncGenerator[Any, Any]:
    """Run a script as an asynchronous generator."""
    for action in script:
        try:
            await asyncio.sleep(0)
            log.append((yield action.item))
            await asyncio.sleep(0)
        except BaseException as error:  # noqa: BLE001 - whatever the consumer throws
            reaction = reacted(action, error, log)
            if reaction == "return" or isinstance(error, GeneratorExit):  # ignoring that is a test of its own below
                return
            if reaction == "yield":
                log.append((yield "again"))
        if finished(action, log):
            return


def consumed(function: Callable[..., Generator[Any, Any, str]], script: Sequence[Action], plan: Sequence[Any]) -> Log:
    """Return everything that body and consumer see."""
    log: Log = []
    running = function(script, log)
    for method, argument in plan:
        thrown = argument("thrown") if method == "throw" else None
        try:
            log.append(running.close() if method == "close" else getattr(running, method)(thrown or argument))
        except BaseException as error:  # noqa: BLE001 - whatever the body raises
            log += [seen(error), error is thrown, tracecore.current_span()]
    for _ in range(2 * len(script)):  # a body that ignores being closed is closed again
        with contextlib.suppress(BaseException):
            running.close()
    return log


async def aconsumed(
    function: Callable[..., AsyncGenerator[Any, Any]], script: Sequence[Action], plan: Sequence[Any]
) -> Log:
    """Return everything that body and consumer see."""
    log: Log = []
    running = function(script, log)
    for method, argument in plan:
        thrown = argument("thrown") if method == "throw" else None
        try:
            call = running.aclose() if method == "close" else getattr(running, f"a{method}")(thrown or argument)
            log.append(await call)
        except BaseException as error:  # noqa: BLE001 - whatever the body raises
            log += [seen(error), error is thrown, tracecore.current_span()]
    for _ in range(2 * len(script)):  # a body that ignores being closed is closed again
        with contextlib.suppress(BaseException):
            await running.aclose()
    return log


async def in_mode(settings: dict[str, Any], run: Callable[[Captured], Awaitable[None]]) -> None:
    """Run something inside and outside of a span, in one of the modes."""
    async with capture(**settings) as captured:
        await run(captured)
        with tracecore.span("outer"):
            await run(captured)
        assert tracecore.current_span() is None
        assert captured.recorder.health().open_spans == 0
        assert all(span.status in {"ok", "error", "cancelled"} for span in await captured.observations())


@pytest.mark.parametrize("settings", MODES, ids=str)
@given(bodies, consumers)
def test_generators_behave_as_bare(settings: dict[str, Any], script: list[Action], plan: list[Any]) -> None:
    """Whatever a consumer does to an observed generator, it and the body see what they would see without us."""

    async def run(_: Captured) -> None:
        expected = consumed(body, script, plan)
        assert consumed(observe(body), script, plan) == expected

    asyncio.run(in_mode(settings, run))


@pytest.mark.parametrize("settings", MODES, ids=str)
@given(bodies, consumers)
def test_async_generators_behave_as_bare(settings: dict[str, Any], script: list[Action], plan: list[Any]) -> None:
    """Whatever a consumer does to an observed asynchronous generator, it and the body see what they would see bare."""

    async def run(_: Captured) -> None:
        expected = await aconsumed(abody, script, plan)
        assert await aconsumed(observe(abody), script, plan) == expected

    asyncio.run(in_mode(settings, run))


@pytest.mark.parametrize("settings", MODES, ids=str)
async def test_bodies_that_ignore_being_closed(settings: dict[str, Any]) -> None:
    """An asynchronous body that yields when it is closed is refused with Python's own words, observed or not."""

    async def stubborn() -> AsyncGenerator[int, None]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    async def run(_: Captured) -> None:
        for function in (stubborn, observe(stubborn)):
            running = function()
            await anext(running)
            with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit"):
                await running.aclose()
            del running
            gc.collect()

    await in_mode(settings, run)
