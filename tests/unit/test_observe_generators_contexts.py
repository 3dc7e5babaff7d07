"""Observed generators and the position of their consumers: each body lives in a context of its own.

What holds for every tracer is among the published cases (``tracecore.testing.tracers``).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

import tracecore
from tests.torture.declaring import torture
from tracecore import observe, span
from tracecore.testing import capture

pytestmark = torture("T33", "generators of every ending, in their own context")

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


@observe
def steps(name: str, amount: int = 3) -> Iterator[str]:
    """Open a span before and in every step."""
    with span(f"{name} open"):
        for number in range(amount):
            with span(f"{name} {number}"):
                yield f"{name} {number}"


@observe(name="steps")
async def asteps(name: str, amount: int = 3) -> AsyncIterator[str]:
    """Open a span before and in every step, with suspensions between."""
    async with span(f"{name} open"):
        for number in range(amount):
            async with span(f"{name} {number}"):
                await asyncio.sleep(0)
                yield f"{name} {number}"
            await asyncio.sleep(0)


def parents_of_steps(name: str, amount: int = 3) -> dict[str, str | None]:
    """Return what the parents of a generator's spans must be."""
    return {f"{name} open": "steps", **{f"{name} {number}": f"{name} open" for number in range(amount)}}


async def test_a_span_of_the_consumer_that_stays_open_over_items() -> None:
    """The consumer may enter and leave blocks between items in any way: the body does not notice."""
    async with capture() as captured:
        running = steps("s")
        with span("first"):
            next(running)
        with span("second"):
            next(running)
            with span("third"):
                next(running)
            with pytest.raises(StopIteration):
                next(running)
        assert tracecore.current_span() is None
        parents = await captured.parents()
    assert parents == {"first": None, "second": None, "third": "second", "steps": "first", **parents_of_steps("s")}


async def test_the_bodys_variables_stay_in_the_body() -> None:
    """The body sees its own context variables in every step, and sets none of the consumer's."""

    @observe
    def body() -> Iterator[str]:
        assert variable.get() == "starter"
        variable.set("body")
        yield variable.get()
        yield variable.get()

    async with capture():
        token = variable.set("starter")
        running = body()
        assert next(running) == "body"
        assert variable.get() == "starter"
        variable.reset(token)
        assert list(running) == ["body"]
        assert variable.get() == "outside"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_early_break_is_cancelled_with_the_output_so_far(*, asynchronous: bool) -> None:
    """A consumer that stops and closes ends the span as cancelled, and the spans inside; the items so far are kept."""
    async with capture() as captured:
        with span("consumer") as consumer:
            if asynchronous:
                async with contextlib.aclosing(asteps("s")) as running:
                    async for _ in running:
                        break
            else:
                with contextlib.closing(steps("s")) as plain:
                    for _ in plain:
                        break
            assert tracecore.current_span() is consumer
        spans = {found.name: found for found in await captured.observations()}
    assert {name: found.status for name, found in spans.items()} == {
        "consumer": "ok", "steps": "cancelled", "s open": "cancelled", "s 0": "cancelled",
    }  # fmt: skip
    assert msgspec.json.decode(spans["steps"].output) == "s 0"


async def test_dropped_where_no_loop_watches() -> None:
    """An asynchronous generator stepped by hand, without a loop that knows of it, ends when it is dropped too."""

    @observe
    async def body() -> AsyncIterator[int]:
        yield 1

    async with capture() as captured:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            running = body()
            with pytest.raises(StopIteration):
                running.__anext__().send(None)  # type: ignore[attr-defined]  # a generator-like awaitable
            del running
        finally:
            sys.set_asyncgen_hooks(*hooks)
        assert (await captured.observation("body")).status == "cancelled"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_never_started(*, asynchronous: bool) -> None:
    """A generator that is never stepped, only closed or dropped, records nothing, as its body never began."""
    async with capture() as captured:
        one: Any = asteps("s") if asynchronous else steps("s")
        two: Any = asteps("s") if asynchronous else steps("s")
        _ = await one.aclose() if asynchronous else one.close()
        del two
        assert await captured.observations() == []
        assert captured.recorder.health().open_spans == 0
