"""Results that go on after the call: coroutines, generators, streaming responses."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from starlette.responses import StreamingResponse

import tracecore
from tracecore import observe, span
from tracecore.records import Observation
from tracecore.testing import Captured, capture


async def finish(value: int) -> int:
    """Go on after the call, with a span inside."""
    with span("inside"):
        await asyncio.sleep(0)
    return value


def numbers(up_to: int) -> Iterator[int]:
    """Go on after the call, with a span inside."""
    for number in range(up_to):
        with span("inside"):
            yield number


async def anumbers(up_to: int) -> AsyncIterator[int]:
    """Go on after the call, with a span inside."""
    for number in range(up_to):
        with span("inside"):
            await asyncio.sleep(0)
            yield number


class Stream:
    """Iterate asynchronously without being a generator."""

    def __init__(self, source: AsyncIterator[int]) -> None:
        self.source = source

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> int:
        return await anext(self.source)


class Response:
    """Send a body from an asynchronous iterator."""

    def __init__(self, body: AsyncIterator[int]) -> None:
        self.body_iterator = body


RESULTS: dict[str, Callable[[], Any]] = {
    "coroutine": lambda: finish(3),
    "generator": lambda: numbers(3),
    "async generator": lambda: anumbers(3),
    "response": lambda: Response(anumbers(3)),
    "response with a stream": lambda: Response(Stream(anumbers(3))),
    "starlette": lambda: StreamingResponse(anumbers(3)),
}


async def exhausted(result: Any) -> Any:
    """Return what a result gives in the end."""
    if hasattr(result, "body_iterator"):
        result = result.body_iterator
    if inspect.isawaitable(result):
        return await result
    return [item async for item in result] if hasattr(result, "__aiter__") else list(result)


def observed(name: str, *, asynchronous: bool) -> Callable[[], Awaitable[Any]]:
    """Return an observed plain or asynchronous function with such a result, called through a coroutine."""

    @observe(name="work")
    def work() -> Any:
        return RESULTS[name]()

    @observe(name="work")
    async def awork() -> Any:
        return RESULTS[name]()

    async def call() -> Any:
        return await awork() if asynchronous else work()

    return call


async def work_of(captured: Captured) -> Observation:
    """Return the observation of the call."""
    return await captured.observation("work")


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
every = pytest.mark.parametrize("name", RESULTS)


@both
@every
@pytest.mark.parametrize("nested", [False, True])
async def test_the_span_ends_with_the_result(name: str, *, asynchronous: bool, nested: bool) -> None:
    """The span is open while the result goes on, its output is what came out, and what happens inside is its child."""
    async with capture() as captured:
        outer = span("outer").__enter__() if nested else None
        result = await observed(name, asynchronous=asynchronous)()
        assert tracecore.current_span() is outer
        assert captured.recorder.health().open_spans == 1 + nested
        with span("meanwhile"):
            produced = await exhausted(result)
            assert produced == (3 if name == "coroutine" else [0, 1, 2])
            with span("after"):
                pass
        if outer is not None:
            outer.__exit__(None, None, None)
        found = await work_of(captured)
        parents = await captured.parents()
    assert (found.status, msgspec.json.decode(found.output)) == ("ok", produced)
    above = "outer" if nested else None
    assert parents["work"] == parents["meanwhile"] == above
    assert (parents["inside"], parents["after"]) == ("work", "meanwhile")


@both
@every
async def test_the_kind_of_the_result_stays(name: str, *, asynchronous: bool) -> None:
    """A coroutine stays a coroutine, a generator a generator, and a response the very same object."""
    async with capture():
        result = await observed(name, asynchronous=asynchronous)()
        bare = RESULTS[name]()
        assert type(result) is type(bare)
        if hasattr(result, "__name__"):
            assert result.__name__ in {bare.__name__, "observed"}
        await exhausted(result)
        await exhausted(bare)


@both
async def test_responses_are_returned_themselves(*, asynchronous: bool) -> None:
    """The response that was made is the one that is returned."""
    made: list[Response] = []

    def make() -> Response:
        made.append(Response(anumbers(2)))
        return made[0]

    @observe
    async def amake() -> Response:
        return make()

    async with capture():
        result = await amake() if asynchronous else observe(make)()
        assert result is made[0]
        assert await exhausted(result) == [0, 1]


@both
@every
@pytest.mark.parametrize("rate", [0.0, 0.5])
async def test_left_out_by_sampling(name: str, *, asynchronous: bool, rate: float) -> None:
    """What goes on after an unsampled call records nothing either, and leaves the awaiting task's position alone."""
    async with capture(sample_rate=rate) as captured:
        for _ in range(20):
            result = await observed(name, asynchronous=asynchronous)()
            with span("outer"):
                before = tracecore.current_trace_id()
                await exhausted(result)
                assert tracecore.current_trace_id() == before
            assert tracecore.current_trace_id() is None
        spans = await captured.observations()
        sampled = captured.recorder.health().sampled
    roots = [found.name for found in spans if found.parent_id is None]
    assert set(roots) <= {"work", "outer"}
    assert sampled + len(roots) == 40
    assert sampled == 40 if rate == 0 else 0 < sampled < 40


@both
@every
async def test_failures_inside(name: str, *, asynchronous: bool) -> None:
    """An exception of what goes on ends the span as an error, and is the consumer's, unchanged."""
    error = ValueError("late")

    class Broken(Response):
        pass

    async def afail() -> AsyncIterator[int]:
        yield 1
        raise error

    def fail() -> Iterator[int]:
        yield 1
        raise error

    async def raise_it() -> None:
        raise error

    made: Any = {"coroutine": raise_it, "generator": fail, "async generator": afail}.get(name, lambda: Broken(afail()))

    @observe(name="work")
    async def awork() -> Any:
        return made()

    async with capture() as captured:
        result = await awork() if asynchronous else observe(name="work")(lambda: made())()  # noqa: PLW0108 - a plain function
        with pytest.raises(ValueError, match="late") as caught:
            await exhausted(result)
        assert caught.value is error
        assert error.__context__ is None
        assert (await work_of(captured)).status == "error"


@both
@every
async def test_thrown_away_unused(name: str, *, asynchronous: bool) -> None:
    """A result dropped before it began ends the span as abandoned; a coroutine is warned of once, by its own name."""
    async with capture() as captured:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result = await observed(name, asynchronous=asynchronous)()
            del result
            gc.collect()
        assert (await work_of(captured)).status == "abandoned"
        assert captured.recorder.health().open_spans == 0
    messages = [str(warning.message).splitlines()[0] for warning in warned]
    assert messages == (["coroutine 'finish' was never awaited"] if name == "coroutine" else [])


@both
@pytest.mark.parametrize("name", ["generator", "async generator", "response"])
async def test_stopped_early(name: str, *, asynchronous: bool) -> None:
    """A consumer that stops early ends the span as cancelled, with the output so far."""
    async with capture() as captured:
        result = await observed(name, asynchronous=asynchronous)()
        running = result.body_iterator if name == "response" else result
        if name == "generator":
            assert next(running) == 0
            running.close()
        else:
            assert await anext(running) == 0
            await running.aclose()
        found = await work_of(captured)
    assert (found.status, msgspec.json.decode(found.output)) == ("cancelled", [0])


async def test_awaited_by_another_task() -> None:
    """A coroutine returned by a plain function runs as the span's body in the task that awaits it."""

    @observe
    def work() -> Awaitable[int]:
        return finish(1)

    async with capture() as captured:
        with span("caller"):
            tasks = [asyncio.ensure_future(work()) for _ in range(3)]
        with span("waiter") as waiter:
            assert await asyncio.gather(*tasks) == [1, 1, 1]
            assert tracecore.current_span() is waiter
        spans = await captured.observations()
    names = {found.span_id: found.name for found in spans}
    assert [names[found.parent_id or ""] for found in spans if found.name == "work"] == ["caller"] * 3
    assert [names[found.parent_id or ""] for found in spans if found.name == "inside"] == ["work"] * 3
