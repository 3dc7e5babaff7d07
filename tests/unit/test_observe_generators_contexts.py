"""Observed generators and the position of their consumers: each body lives in a context of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
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


async def test_the_consumers_span_is_unchanged_between_items() -> None:
    """Between items, and after the last, the consumer's current span is its own; what it opens is its child."""
    async with capture() as captured:
        with span("consumer") as consumer:
            for item in steps("s"):
                assert tracecore.current_span() is consumer
                with span(f"consumed {item}"):
                    assert tracecore.current_span_id() != consumer.span_id
            assert tracecore.current_span() is consumer
        parents = await captured.parents()
    expected = {"consumer": None, "steps": "consumer", **parents_of_steps("s")}
    assert parents == {**expected, **{f"consumed s {number}": "consumer" for number in range(3)}}


async def test_the_async_consumers_span_is_unchanged_between_items() -> None:
    """The same for asynchronous generators, with tasks that run between."""
    async with capture() as captured:
        async with span("consumer") as consumer:
            async for item in asteps("s"):
                assert tracecore.current_span() is consumer
                async with span(f"consumed {item}"):
                    await asyncio.sleep(0)
            assert tracecore.current_span() is consumer
        parents = await captured.parents()
    expected = {"consumer": None, "steps": "consumer", **parents_of_steps("s")}
    assert parents == {**expected, **{f"consumed s {number}": "consumer" for number in range(3)}}


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


async def test_interleaved_generators_keep_apart() -> None:
    """Two generators stepped in turn have a tree each."""
    async with capture() as captured:
        with span("consumer"):
            one, two = steps("one"), asteps("two")
            for _ in range(3):
                next(one)
                await anext(two)
            for _ in one:
                pass
            async for _ in two:
                pass
        spans = await captured.observations()
    names = {found.span_id: found.name for found in spans}
    roots = {found.name for found in spans if names.get(found.parent_id or "") == "consumer"}
    trees = {found.name: names[found.parent_id] for found in spans if found.parent_id}
    assert roots == {"steps"}
    assert {**parents_of_steps("one"), **parents_of_steps("two")}.items() <= trees.items()


async def test_stepped_from_another_task_and_thread() -> None:
    """A generator that other tasks and threads go on with stays in the tree where it was started."""
    async with capture() as captured:
        with span("starter"):
            one, two = steps("one", 4), asteps("two", 4)
            next(one)
            await anext(two)
        thread = threading.Thread(target=next, args=(one,))
        thread.start()
        thread.join()

        async def go_on() -> None:
            with span("other") as other:
                next(one)
                await anext(two)
                assert tracecore.current_span() is other

        await asyncio.create_task(go_on())
        await asyncio.to_thread(lambda: list(one))
        assert [item async for item in two] == ["two 2", "two 3"]
        assert tracecore.current_span() is None
        parents = await captured.parents()
    assert parents["steps"] == "starter"
    assert parents["other"] is None
    assert {**parents_of_steps("one", 4), **parents_of_steps("two", 4)}.items() <= parents.items()


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


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_closed_by_another_task(*, asynchronous: bool) -> None:
    """A generator closed from another task ends as cancelled and leaves that task's position alone."""
    async with capture() as captured:
        running: Any = asteps("s") if asynchronous else steps("s")
        with span("starter"):
            _ = await anext(running) if asynchronous else next(running)

        async def close() -> None:
            with span("closer") as closer:
                _ = await running.aclose() if asynchronous else running.close()
                assert tracecore.current_span() is closer
                with span("later"):
                    pass

        await asyncio.create_task(close())
        parents = await captured.parents()
        assert (await captured.observation("steps")).status == "cancelled"
    expected = {"starter": None, "closer": None, "later": "closer", "steps": "starter"}
    assert parents == {**expected, "s open": "steps", "s 0": "s open"}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_garbage_collected(*, asynchronous: bool) -> None:
    """A generator that is dropped ends its span as cancelled, by the collector or by the loop."""
    async with capture() as captured:
        running: Any = asteps("s") if asynchronous else steps("s")
        _ = await anext(running) if asynchronous else next(running)
        del running
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert {found.name: found.status for found in await captured.observations()} == {
            "steps": "cancelled", "s open": "cancelled", "s 0": "cancelled",
        }  # fmt: skip
        assert captured.recorder.health().open_spans == 0


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


def test_a_loop_that_ends_closes_each_body_once() -> None:
    """When a loop ends, bodies that are still open are closed through their drivers, and no error is reported."""
    reported: list[dict[str, Any]] = []
    cleaned: list[str] = []

    @observe
    async def body() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            cleaned.append("done")

    async def main() -> list[AsyncIterator[int]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with capture():
            running = [body() for _ in range(10)]
            for each in running:
                await anext(each)
            return running

    assert len(asyncio.run(main())) == len(cleaned) == 10
    assert reported == []
