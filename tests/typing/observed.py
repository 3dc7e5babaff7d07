"""What a type checker sees through the public names; checked by mypy and pyright, never run.

A decorated function keeps its parameters and its result, whatever kind of function it is. Each line that is wrong must
be refused: the ignore on it fails the check as soon as it is not needed.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from typing import assert_type

import tracecore
from tracecore import ContextExecutor, FlushResult, Health, OpenSpan, Recorder, observe
from tracecore.integrations.threads import propagate_to_threads

# -- every kind of function, bare --------------------------------------------------------------------------------------


@observe
def shout(text: str, times: int = 1) -> str:
    """Be a plain function."""
    return text.upper() * times


@observe
async def answer(question: str, *, limit: int | None = None) -> list[str]:
    """Be a coroutine function."""
    return [question][:limit]


@observe
def count(up_to: int) -> Iterator[int]:
    """Be a generator function, declared as its items."""
    yield from range(up_to)


@observe
def talk(first: str) -> Generator[str, int, bytes]:
    """Be a generator function that is sent to and returns."""
    sent = yield first
    return b"." * sent


@observe
async def stream(up_to: int) -> AsyncIterator[str]:
    """Be an asynchronous generator function, declared as its items."""
    for number in range(up_to):
        yield str(number)


@observe
async def dialogue(first: str) -> AsyncGenerator[str, int]:
    """Be an asynchronous generator function that is sent to."""
    yield first


async def calls() -> None:
    """Call each of them, rightly and wrongly."""
    assert_type(shout("a", times=2), str)
    assert_type(await answer("q", limit=1), list[str])
    assert_type(count(3), Iterator[int])
    assert_type(talk("a"), Generator[str, int, bytes])
    assert_type(stream(3), AsyncIterator[str])
    assert_type(dialogue("a"), AsyncGenerator[str, int])
    shout(1)  # type: ignore[arg-type]  # wrong on purpose  # pyright: ignore[reportArgumentType]
    shout()  # type: ignore[call-arg]  # wrong on purpose  # pyright: ignore[reportCallIssue]
    await answer("q", 1)  # type: ignore[call-arg]  # wrong on purpose  # pyright: ignore[reportCallIssue]
    observe(3)  # type: ignore[call-overload]  # wrong on purpose  # pyright: ignore[reportArgumentType]


# -- with arguments ----------------------------------------------------------------------------------------------------


@observe(name="embed", as_type="embedding", capture_input=False, capture_output=False)
async def embed(texts: list[str]) -> list[list[float]]:
    """Be decorated with arguments."""
    return [[0.0] for _ in texts]


@observe(transform_to_string=lambda items: "".join(map(str, items)))
def chunks(text: str) -> Iterator[str]:
    """Be a generator function whose items are joined by a function."""
    yield text


async def calls_with_arguments() -> None:
    """Call each of them, rightly and wrongly."""
    assert_type(await embed(["a"]), list[list[float]])
    assert_type(chunks("a"), Iterator[str])
    await embed("a")  # type: ignore[arg-type]  # wrong on purpose  # pyright: ignore[reportArgumentType]
    observe(naem="x")  # type: ignore[call-overload]  # wrong on purpose  # pyright: ignore[reportCallIssue]


# -- in classes --------------------------------------------------------------------------------------------------------


class Service:
    """Have methods of every kind."""

    @observe
    def method(self, number: int) -> str:
        """Be a method."""
        return str(number)

    @observe(as_type="tool")
    async def tool(self, number: int) -> str:
        """Be an asynchronous method, decorated with arguments."""
        return str(number)

    @classmethod
    @observe
    def made(cls, number: int) -> Service:
        """Be a class method."""
        return cls() if number else Service()

    @staticmethod
    @observe
    def alone(number: int) -> int:
        """Be a static method."""
        return number


async def calls_of_methods() -> None:
    """Call each of them, rightly and wrongly."""
    assert_type(Service().method(1), str)
    assert_type(await Service().tool(1), str)
    assert_type(Service.made(1), Service)
    assert_type(Service.alone(1), int)
    Service().method("1")  # type: ignore[arg-type]  # wrong on purpose  # pyright: ignore[reportArgumentType]


# -- spans and the rest ------------------------------------------------------------------------------------------------


async def use_everything(recorder: Recorder, work: Callable[[int], bytes]) -> None:
    """Use each public name the way its documentation says."""
    with tracecore.span("retrieve", as_type="retriever", input={"q": 1}) as opened:
        opened.update(output=[1], level="WARNING", status_message="few hits")
    async with tracecore.generation("llm", model="m", input="hello") as generated:
        generated.update(output="text", usage_details={"input": 1}, cost_details={"input": 1e-6})
    tracecore.event("cache_hit", metadata={"key": "k"})
    with tracecore.propagate_attributes(
        user_id="u", session_id="s", tags=["web"], metadata={"a": 1}, trace_name="chat"
    ):
        tracecore.update_current_trace(user_id="u", tags=["a"])
        tracecore.update_current_span(output=1)
        tracecore.update_current_generation(usage_details={"output": 1})
        tracecore.score_current_span("good", 1.0)
        tracecore.score_current_trace("helpful", value=True, comment="thanks")
    headers: dict[str, str] = {}
    tracecore.inject(headers)
    with tracecore.continue_trace(headers):
        assert_type(tracecore.current_trace_id(), str | None)
        assert_type(tracecore.current_span_id(), str | None)
        assert_type(tracecore.current_span(), OpenSpan | None)
    with ContextExecutor(max_workers=1) as executor:
        assert_type(executor.submit(work, 1), Future[bytes])
    with propagate_to_threads():
        threading.Thread(target=work, args=(1,)).start()
    assert_type(tracecore.flush(timeout=1.0), FlushResult)
    assert_type(await tracecore.aflush(timeout=1.0), FlushResult)
    assert_type(tracecore.health(), Health)
    async with recorder as started:
        assert_type(started, Recorder)
    assert_type(tracecore.shutdown(), FlushResult)
    assert_type(await tracecore.ashutdown(), FlushResult)
