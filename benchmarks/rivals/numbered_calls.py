"""What a rival records: calls of :func:`benchmarks.workload.answer`, numbered, each below a root called ``request``.

Standard library only: it runs in the rival's own environment. Calls are numbered in their first argument, and no number
is used twice, so that the collector can tell what arrived from what arrived twice. Arguments are made before anything
is timed.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import FunctionType
from typing import Any, Final, Protocol, TypeAlias, cast

from benchmarks.workload import ARGUMENTS, answer

__all__ = ["NESTED", "SPANS", "Observe", "Plan", "Requests", "Untraced", "numbered", "plan"]

Arguments: TypeAlias = tuple[Any, Any, Any]
Plan: TypeAlias = list[tuple[Arguments, Sequence[Arguments]]]
"""The arguments of each request, and those of the calls it makes."""
Coroutine: TypeAlias = Callable[..., Awaitable[dict[str, Any]]]
NESTED: Final = 4
SPANS: Final = NESTED + 1
"""Of one request."""


class Observe(Protocol):
    """Be what a tracer does to functions."""

    def observed(self, function: Coroutine, /) -> Coroutine:
        """Return the function with a span around each call."""
        ...

    def observed_root(self, function: Coroutine, /) -> Coroutine:
        """Return the function with a root around each call."""
        ...


class Untraced:
    """Do nothing to functions."""

    def observed(self, function: Coroutine, /) -> Coroutine:
        """Return the function."""
        return function

    observed_root = observed


def numbered(numbers: Iterator[int]) -> Iterator[Arguments]:
    """Yield arguments, each with a number of its own."""
    question, *others = ARGUMENTS
    for number in numbers:
        yield (f"[{number:08}] {question}", *others)


def plan(source: Iterator[Arguments], requests: int, calls: int = NESTED) -> Plan:
    """Return the arguments of so many requests of so many calls."""
    return [(next(source), list(itertools.islice(source, calls))) for _ in range(requests)]


async def _one_after_another(function: Coroutine, arguments: Sequence[Arguments]) -> float:
    """Return ns of CPU of this thread per call."""
    started = time.thread_time_ns()
    for first, second, third in arguments:
        await function(first, second, third)
    return (time.thread_time_ns() - started) / len(arguments)


class Requests:
    """Answer requests with functions that something observes; twice the same class, traced and not."""

    def __init__(self, tracing: Observe) -> None:
        self._steps: dict[str, Sequence[Arguments]] = {}
        self._taken = 0.0
        nested = tracing.observed(answer)
        self._timed = tracing.observed_root(self._timing(nested))
        self._served = tracing.observed_root(self._serving(nested))

    def _timing(self, nested: Coroutine) -> Coroutine:
        # Code of its own, which the interpreter specializes for these functions alone.
        code = cast("FunctionType", _one_after_another).__code__
        loop = FunctionType(code.replace(), globals(), "one_after_another")

        async def request(question: str, user_id: str, top_k: int) -> dict[str, Any]:
            steps = self._steps[question]
            self._taken = await loop(nested, steps)
            return await answer(question, user_id, top_k)

        return request

    def _serving(self, nested: Coroutine) -> Coroutine:
        async def request(question: str, user_id: str, top_k: int) -> dict[str, Any]:  # noqa: ARG001 - they are captured
            result: dict[str, Any] = {}
            for first, second, third in self._steps[question]:
                result = await nested(first, second, third)
                await asyncio.sleep(0)  # another request goes on meanwhile
            return result

        return request

    async def time_calls(self, planned: Plan) -> float:
        """Make the calls of one request one after another and return ns of CPU of this thread per call."""
        [(arguments, _)] = planned
        self._expect(planned)
        await self._timed(*arguments)
        return self._taken

    async def serve(self, planned: Plan, at_once: int) -> None:
        """Answer requests, so many at once."""
        self._expect(planned)
        for first in range(0, len(planned), at_once):
            await asyncio.gather(*(self._served(*arguments) for arguments, _ in planned[first : first + at_once]))

    async def serve_paced(self, planned: Plan, per_second: float, tasks: int) -> None:
        """Answer requests at a pace, from so many tasks in turn."""
        self._expect(planned)
        began = time.perf_counter()

        async def client(first: int) -> None:
            for number in range(first, len(planned), tasks):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                await self._served(*planned[number][0])

        await asyncio.gather(*(client(number) for number in range(tasks)))

    def _expect(self, planned: Plan) -> None:
        self._steps.clear()
        self._steps.update((arguments[0], steps) for arguments, steps in planned)
