"""What ``@observe`` records of an ordinary call, and what it leaves alone."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import msgspec
import pytest

import tracecore
from tracecore import Config, observe
from tracecore.records import ABSENT, Generation
from tracecore.testing import capture


def decoded(payload: msgspec.Raw) -> Any:
    """Return what a payload says."""
    return msgspec.json.decode(payload)


@observe
def add(left: int, /, right: int = 2, *rest: int, scale: int = 1, **others: int) -> int:
    """Have every kind of parameter."""
    return (left + right + sum(rest)) * scale + sum(others.values())


@observe
async def fail(error: BaseException) -> None:
    """Raise what is given."""
    await asyncio.sleep(0)
    raise error


async def test_a_call_is_one_span_with_arguments_by_name_and_result() -> None:
    """A call records name, arguments by parameter name with defaults, the result, status, start and duration."""
    async with capture() as captured:
        assert add(1) == 3
        [span] = await captured.observations()
    assert (span.name, span.type, span.status, span.level) == ("add", "span", "ok", "DEFAULT")
    arguments = decoded(span.input)
    assert arguments.pop("left") == 1
    assert arguments.pop("right") == 2
    assert arguments.pop("scale") == 1
    assert not any(arguments.values())
    assert decoded(span.output) == 3
    assert span.parent_id is None
    assert span.error is None
    assert span.duration_ns is not None
    assert span.duration_ns > 0
    assert len(span.trace_id) == 32
    assert len(span.span_id) == 16


async def test_every_kind_of_argument_is_named() -> None:
    """Positional-only, variadic and keyword arguments are recorded under the names of the signature."""
    async with capture() as captured:
        add(1, 2, 3, 4, scale=5, extra=6)
        [span] = await captured.observations()
    expected = {"left": 1, "right": 2, "rest": [3, 4], "scale": 5, "others": {"extra": 6}}
    assert decoded(span.input) == expected


async def test_nested_calls_are_one_trace() -> None:
    """Calls made by a call are its children, in one trace; the caller's position comes back after each."""

    @observe
    async def inner(depth: int) -> int:
        await asyncio.sleep(0)
        return depth if depth == 0 else await inner(depth - 1)

    async with capture() as captured:
        await inner(3)
        assert tracecore.current_span() is None
        spans = await captured.observations()
    assert len({span.trace_id for span in spans}) == 1
    assert [span.parent_id for span in spans] == [None, *[span.span_id for span in spans[:-1]]]


async def test_two_roots_are_two_traces() -> None:
    """Calls outside of any span begin traces of their own."""
    async with capture() as captured:
        add(1)
        add(1)
        spans = await captured.observations()
    assert len({span.trace_id for span in spans}) == 2


@pytest.mark.parametrize(
    "error", [ValueError("no such user"), KeyboardInterrupt(), SystemExit(3), ExceptionGroup("g", [KeyError(1)])]
)
async def test_an_exception_ends_the_span_and_goes_on_unchanged(error: BaseException) -> None:
    """The same exception object leaves the call, with the program's own frames and no context, and is recorded."""
    async with capture() as captured:
        with pytest.raises(type(error)) as caught:
            await fail(error)
        [span] = await captured.observations()
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"
    assert (span.status, span.level) == ("error", "ERROR")
    assert span.error is not None
    assert span.error.type.endswith(type(error).__name__)
    assert "in fail" in span.error.stack
    assert (span.status_message or "").startswith(span.error.type)
    assert span.output == ABSENT


async def test_a_cause_is_kept() -> None:
    """An exception raised from another keeps its cause, and the stack tells of both."""

    @observe
    def convert() -> None:
        try:
            int("x")
        except ValueError as error:
            raise LookupError("gone") from error

    async with capture() as captured:
        with pytest.raises(LookupError) as caught:
            convert()
        [span] = await captured.observations()
    assert isinstance(caught.value.__cause__, ValueError)
    assert span.error is not None
    assert "ValueError" in span.error.stack
    assert "gone" in span.error.message


async def test_arguments_are_taken_at_the_call_and_results_at_the_return() -> None:
    """What the program changes later is not recorded: an argument is as it was when the function was called."""

    @observe
    def append(items: list[int]) -> list[int]:
        items.append(3)
        return items

    async with capture() as captured:
        append([1, 2]).append(4)
        [span] = await captured.observations()
    assert decoded(span.input) == {"items": [1, 2]}
    assert decoded(span.output) == [1, 2, 3]


@pytest.mark.parametrize(
    "as_type", ["generation", "agent", "tool", "chain", "retriever", "embedding", "evaluator", "guardrail"]
)
async def test_types_are_recorded(as_type: str) -> None:
    """``as_type`` is recorded in any case, and ``name`` in place of the function's."""

    @observe(name="renamed", as_type=as_type.upper())
    def work() -> None: ...

    async with capture() as captured:
        work()
        span = await captured.observation("renamed")
    assert span.type == as_type
    assert isinstance(span, Generation) is (as_type in {"generation", "embedding"})


async def test_an_unknown_type_is_a_span() -> None:
    """A type that does not exist does not fail the program: it becomes a span."""

    @observe(as_type="no such type")
    def work() -> None: ...

    async with capture() as captured:
        work()
        assert (await captured.observation("work")).type == "span"


@pytest.mark.parametrize(
    ("configured", "asked", "expected"),
    [
        (True, None, True),
        (True, False, False),
        (True, True, True),
        (False, None, False),
        (False, False, False),
        (False, True, True),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
async def test_capture_switches(*, configured: bool, asked: bool | None, expected: bool, nested: bool) -> None:
    """``capture_input`` and ``capture_output`` of a function win over the configuration, for roots and nested calls."""

    @observe(capture_input=asked, capture_output=asked)
    def work(secret: str) -> str:
        return secret.upper()

    @observe(name="outer", capture_input=False, capture_output=False)
    def outer() -> str:
        return work("hush")

    async with capture(capture_input=configured, capture_output=configured) as captured:
        assert (outer() if nested else work("hush")) == "HUSH"
        span = await captured.observation("work")
    assert (span.input != ABSENT) is expected
    assert (span.output != ABSENT) is expected


async def test_one_switch_leaves_the_other() -> None:
    """Input and output are switched independently."""

    @observe(capture_output=False)
    def work(seen: str) -> str:
        return seen.upper()

    async with capture() as captured:
        work("visible")
        span = await captured.observation("work")
    assert decoded(span.input) == {"seen": "visible"}
    assert span.output == ABSENT


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("result", [None, "returned"])
async def test_an_output_set_by_the_function_stays(*, nested: bool, result: str | None) -> None:
    """What the function says about its output is not overwritten by its return value, nor by returning nothing."""

    @observe
    async def work() -> str | None:
        tracecore.update_current_span(output="said", input="asked")
        return result

    async with capture() as captured:
        if nested:
            with tracecore.span("outer"):
                await work()
        else:
            await work()
        span = await captured.observation("work")
    assert decoded(span.output) == "said"
    assert decoded(span.input) == "asked"


async def test_none_is_an_output() -> None:
    """A function that returns nothing has the output null, not no output."""

    @observe
    def work() -> None: ...

    async with capture() as captured:
        work()
        span = await captured.observation("work")
    assert bytes(span.output) == b"null"


async def test_a_recorder_of_its_own() -> None:
    """``recorder`` sends the traces that begin in the function there; inside another trace it belongs to that."""
    async with capture() as own, capture() as other:

        @observe(recorder=own.recorder)
        def work() -> None: ...

        work()
        with tracecore.span("outer"):
            work()
        assert [span.name for span in await own.observations()] == ["work"]
        assert await other.parents() == {"outer": None, "work": "outer"}


@pytest.mark.parametrize("what", [3, "name", object()])
def test_what_cannot_be_called_is_refused(what: Any) -> None:
    """Decorating something that is not callable is an error at once, which names what it was."""
    with pytest.raises(TypeError, match=type(what).__name__):
        observe(what)


def test_a_class_is_refused() -> None:
    """Decorating a class is an error at once: what came back would be no class any more."""
    with pytest.raises(TypeError, match="the class Config; observe its methods"):
        observe(Config)


async def test_recursion_to_the_limit_fails_as_it_would() -> None:
    """Recording near the recursion limit fails like the bare program does: with its RecursionError."""

    @observe
    def descend(depth: int) -> int:
        return descend(depth + 1)

    async with capture() as captured:
        with pytest.raises(RecursionError):
            descend(0)
        assert tracecore.current_span() is None
        statuses = {span.status for span in await captured.observations()}
    assert statuses == {"error"}
