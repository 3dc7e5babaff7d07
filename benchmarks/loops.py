"""The loops that the call ladder times: each calls one function so many times and returns ns of thread CPU per call.

A rung gets a loop whose code is its own copy (:func:`own_loop`), so that the interpreter specializes it for that rung
alone. What a loop does besides calling is in the bare rung's figure too, and is subtracted with it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FunctionType
from typing import Any, ParamSpec, TypeAlias, TypeVar

from benchmarks.workload import ARGUMENTS

__all__ = [
    "Loop",
    "awaited",
    "over_async_items",
    "over_calls",
    "over_items",
    "over_keywords",
    "over_sync_calls",
    "own_code",
    "own_loop",
]

Given = ParamSpec("Given")
Returned = TypeVar("Returned")
Loop: TypeAlias = Callable[[int], Awaitable[float]]
"""Make so many calls and return ns per call."""


def own_loop(
    loop: Callable[..., Awaitable[float]], function: Callable[..., Any], arguments: tuple[Any, ...] = ARGUMENTS
) -> Loop:
    """Return a loop over the function with code of its own."""
    return functools.partial(own_code(loop), function, arguments)


def own_code(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Return a copy of a function, which the interpreter specializes by itself.

    Raises:
        TypeError: it is no plain function.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"expected a plain function, got {type(function).__name__}")
    return FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


async def awaited(figure: Awaitable[float]) -> float:
    """Await what a loop returns, as a coroutine that a runner takes."""
    return await figure


async def over_calls(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], calls: int) -> float:
    """Await a coroutine function."""
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        await function(first, second, third)
    return (time.thread_time_ns() - started) / calls


async def over_keywords(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], calls: int) -> float:
    """Await a coroutine function with two of its arguments by keyword."""
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        await function(first, user_id=second, top_k=third)
    return (time.thread_time_ns() - started) / calls


async def over_sync_calls(function: Callable[..., Any], arguments: tuple[Any, ...], calls: int) -> float:
    """Call a function."""
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        function(first, second, third)
    return (time.thread_time_ns() - started) / calls


async def over_items(function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...], calls: int) -> float:
    """Take every item of a generator."""
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        for _item in function(first, second, third):
            pass
    return (time.thread_time_ns() - started) / calls


async def over_async_items(
    function: Callable[..., AsyncIterator[Any]], arguments: tuple[Any, ...], calls: int
) -> float:
    """Take every item of an async generator."""
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        async for _item in function(first, second, third):
            pass
    return (time.thread_time_ns() - started) / calls
