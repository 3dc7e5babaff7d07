"""Observed generators: the protocol is the bare one's, and the span says what came out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import msgspec
import pytest

import tracecore
from tracecore import observe
from tracecore.records import ABSENT, Generation, Observation
from tracecore.testing import Captured, capture


def output_of(span: Observation) -> Any:
    """Return what the output says."""
    return msgspec.json.decode(span.output)


@observe
def count(up_to: int) -> Generator[int, str | None, str]:
    """Yield numbers, take what is sent and thrown, return a word."""
    heard = []
    for number in range(up_to):
        try:
            heard.append((yield number))
        except KeyError as error:
            heard.append(str(error))
    return ",".join(map(str, heard))


@observe
async def acount(up_to: int) -> AsyncGenerator[int, str | None]:
    """Yield numbers, take what is sent and thrown."""
    heard: list[Any] = []
    for number in range(up_to):
        await asyncio.sleep(0)
        try:
            heard.append((yield number))
        except KeyError as error:
            heard.append(str(error))
    tracecore.update_current_span(metadata={"heard": heard})


async def only(captured: Captured) -> Observation:
    """Return the one observation."""
    [span] = await captured.observations()
    return span


async def test_send_throw_and_return_pass_through() -> None:
    """What is sent and thrown arrives in the body, and its return value leaves through StopIteration."""
    async with capture() as captured:
        running = count(4)
        assert next(running) == 0
        assert running.send("sent") == 1
        assert running.throw(KeyError("thrown")) == 2
        assert next(running) == 3
        with pytest.raises(StopIteration) as stop:
            running.send("last")
        assert stop.value.value == "sent,'thrown',None,last"
        span = await only(captured)
    assert span.status == "ok"
    assert output_of(span) == [0, 1, 2, 3]
    assert msgspec.json.decode(span.metadata) == {"return": "sent,'thrown',None,last"}


async def test_async_send_and_throw_pass_through() -> None:
    """What is sent and thrown arrives in the asynchronous body too."""
    async with capture() as captured:
        running = acount(4)
        assert await anext(running) == 0
        assert await running.asend("sent") == 1
        assert await running.athrow(KeyError("thrown")) == 2
        assert await anext(running) == 3
        with pytest.raises(StopAsyncIteration):
            await running.asend("last")
        span = await only(captured)
    assert span.status == "ok"
    assert output_of(span) == [0, 1, 2, 3]
    assert msgspec.json.decode(span.metadata) == {"heard": ["sent", "'thrown'", None, "last"]}


async def test_yield_from_returns_the_value() -> None:
    """``yield from`` an observed generator passes items, sends and the return value."""

    def outer() -> Generator[int, str | None, str]:
        return (yield from count(2))

    async with capture():
        running = outer()
        assert [next(running), running.send("a")] == [0, 1]
        with pytest.raises(StopIteration) as stop:
            running.send("b")
    assert stop.value.value == "a,b"


async def test_items_are_the_output() -> None:
    """Items are recorded as a list; if all are text, as their concatenation."""

    @observe
    def words() -> Iterator[str]:
        yield from ("one ", "two ", "three")

    @observe
    def mixed() -> Iterator[object]:
        yield from ("one", 2, {"three": 3})

    @observe
    def nothing() -> Iterator[str]:
        yield from ()

    async with capture() as captured:
        assert [*words(), *mixed(), *nothing()] == ["one ", "two ", "three", "one", 2, {"three": 3}]
        outputs = {span.name: output_of(span) for span in await captured.observations()}
    assert outputs == {"words": "one two three", "mixed": ["one", 2, {"three": 3}], "nothing": []}


async def test_items_are_recorded_as_they_were_yielded() -> None:
    """An item that the consumer changes later is recorded as it was."""

    @observe
    def boxes() -> Iterator[list[int]]:
        yield [1]
        yield [2]

    async with capture() as captured:
        for box in boxes():
            box.append(9)
        assert output_of(await only(captured)) == [[1], [2]]


async def test_endless_items_are_cut_and_counted() -> None:
    """Items beyond the limit are passed on, counted and not kept."""

    @observe
    def numbers() -> Iterator[int]:
        yield from range(5000)

    @observe
    def words() -> Iterator[str]:
        for _ in range(5000):
            yield "word"

    async with capture(max_payload_bytes=1024) as captured:
        assert sum(1 for _ in numbers()) == sum(1 for _ in words()) == 5000
        first, second = map(output_of, await captured.observations())
    assert first[:3] == [0, 1, 2]
    assert first[-1]["$omitted"] + len(first) - 1 == 5000
    text, omitted = second
    assert set(text.split("word")) == {""}
    assert omitted["$omitted"] + text.count("word") == 5000


async def test_items_are_joined_by_the_function_given() -> None:
    """``transform_to_string`` makes the output from the list of items."""

    @observe(transform_to_string=lambda chunks: "|".join(chunk["text"] for chunk in chunks))
    async def chunks() -> AsyncIterator[dict[str, str]]:
        yield {"text": "a"}
        yield {"text": "b"}

    async with capture() as captured:
        assert [chunk async for chunk in chunks()] == [{"text": "a"}, {"text": "b"}]
        assert output_of(await only(captured)) == "a|b"


async def test_a_join_that_fails_costs_the_output_only() -> None:
    """An exception of ``transform_to_string`` does not reach the consumer; the output says what happened."""

    def broken(_: list[Any]) -> str:
        raise ZeroDivisionError

    @observe(transform_to_string=broken)
    def chunks() -> Iterator[int]:
        yield 1

    async with capture() as captured:
        assert list(chunks()) == [1]
        span = await only(captured)
    assert span.status == "ok"
    assert output_of(span)["$unencodable"]["reason"] == "ZeroDivisionError"


@pytest.mark.parametrize("settings", [{"capture_output": False}, {}])
async def test_output_switched_off_keeps_nothing(settings: dict[str, Any]) -> None:
    """Without capturing output neither items, nor the return value, nor the joining function is touched."""
    asked: bool | None = None if settings else False
    joined: list[Any] = []

    def join(items: list[Any]) -> str:
        joined.append(items)
        return "secret"

    @observe(capture_output=asked, transform_to_string=join)
    def chunks() -> Generator[str, None, str]:
        yield "secret"
        return "secret"

    async with capture(**settings) as captured:
        assert list(chunks()) == ["secret"]
        span = await only(captured)
    assert (span.output, span.metadata, joined) == (ABSENT, ABSENT, [])
    assert span.completion_start_ns is not None


async def test_an_output_set_by_the_body_stays() -> None:
    """What the body says about its output is not overwritten by its items."""

    @observe
    def chunks() -> Iterator[str]:
        yield "a"
        tracecore.update_current_span(output="said")

    async with capture() as captured:
        list(chunks())
        assert output_of(await only(captured)) == "said"


async def test_the_first_item_is_the_first_token() -> None:
    """Time to first token is the time of the first item, between start and end; without items there is none."""

    @observe(as_type="generation")
    async def tokens(amount: int) -> AsyncIterator[str]:
        await asyncio.sleep(0.002)
        for _ in range(amount):
            yield "token"
            await asyncio.sleep(0.002)

    async with capture() as captured:
        assert len([token async for token in tokens(2)]) == 2
        assert [token async for token in tokens(0)] == []
        some, none = await captured.observations()
    assert isinstance(some, Generation)
    assert some.completion_start_ns is not None
    assert some.end_ns is not None
    assert some.completion_start_ns - some.start_ns >= 1_000_000
    assert some.end_ns - some.completion_start_ns >= 2_000_000
    assert none.completion_start_ns is None


async def test_the_first_token_given_by_the_body_stays() -> None:
    """The body knows better when the model's first token came than the consumer's first item tells."""

    @observe(as_type="generation")
    def tokens() -> Iterator[str]:
        tracecore.update_current_generation(completion_start_ns=1_700_000_000_000_000_000)
        yield "token"

    async with capture() as captured:
        list(tokens())
        assert (await only(captured)).completion_start_ns == 1_700_000_000_000_000_000


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_exception_keeps_the_items_so_far(*, asynchronous: bool) -> None:
    """A body that raises ends its span as an error, with the items so far; the exception goes on unchanged."""
    error = ValueError("boom")

    @observe
    def failing() -> Iterator[int]:
        yield 1
        raise error

    @observe(name="failing")
    async def afailing() -> AsyncIterator[int]:
        yield 1
        raise error

    async with capture() as captured:
        with pytest.raises(ValueError, match="boom") as caught:
            _ = [item async for item in afailing()] if asynchronous else list(failing())
        span = await only(captured)
    assert caught.value is error
    assert error.__context__ is None
    assert (span.status, output_of(span)) == ("error", [1])
