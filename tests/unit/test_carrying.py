"""Trace attributes: said once, carried by every span inside, across tasks, and by nobody outside."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

import tracecore
from tracecore import observe, propagate_attributes, span
from tracecore.fields import TraceFields
from tracecore.records import Observation
from tracecore.testing import capture


@observe
async def work(name: str) -> str:
    """Open a span of a given name, after a suspension."""
    await asyncio.sleep(0)
    with span(name):
        await asyncio.sleep(0)
    return name


def users(spans: list[Observation]) -> dict[str, str | None]:
    """Return the user of each span."""
    return {found.name: found.trace.user_id for found in spans}


def tags(spans: list[Observation]) -> dict[str, tuple[str, ...]]:
    """Return the tags of each span."""
    return {found.name: found.trace.tags for found in spans}


async def test_every_span_inside_carries_the_attributes() -> None:
    """Roots, children, events and generations opened inside a block carry everything that was said."""
    async with capture(environment="prod", release="r1") as captured:
        with propagate_attributes(
            user_id="u", session_id="s", tags=["web", "beta"], metadata={"platform": "ios"}, version="1.2",
            trace_name="chat", public=False,
        ):  # fmt: skip
            await work("inner")
            with span("second"):
                tracecore.event("event")
        spans = await captured.observations()
        traces = await captured.traces()
    assert len(spans) == 4
    for said in (*(found.trace for found in spans), *(trace.attributes for trace in traces)):
        assert (said.user_id, said.session_id, said.tags, said.name) == ("u", "s", ("web", "beta"), "chat")
        assert (said.version, said.public, said.environment, said.release) == ("1.2", False, "prod", "r1")
        assert msgspec.json.decode(said.metadata) == {"platform": "ios"}
    assert [trace.name for trace in traces] == ["chat", "chat"]


async def test_blocks_nest() -> None:
    """Inner blocks join tags, merge metadata and replace the rest; outside of them the outer values hold again."""
    async with capture() as captured:
        with propagate_attributes(user_id="outer", tags=["a"], metadata={"k": 1, "l": 1}):
            with span("before"):
                pass
            async with propagate_attributes(user_id="inner", tags=["b", "a"], metadata={"l": 2}):
                with span("inside"):
                    pass
            with span("after"):
                pass
        with span("outside"):
            pass
        spans = {found.name: found for found in await captured.observations()}
    assert users(list(spans.values())) == {"before": "outer", "inside": "inner", "after": "outer", "outside": None}
    assert tags(list(spans.values())) == {"before": ("a",), "inside": ("a", "b"), "after": ("a",), "outside": ()}
    assert msgspec.json.decode(spans["inside"].trace.metadata) == {"k": 1, "l": 2}
    assert msgspec.json.decode(spans["after"].trace.metadata) == {"k": 1, "l": 1}


async def test_inside_a_trace() -> None:
    """A block inside a span holds for the span itself and its later children, not for those opened before or after."""
    async with capture() as captured:
        with span("root"):
            with span("before"):
                pass
            with propagate_attributes(user_id="u", tags=["t"]), span("inside"):
                await work("deep")
            with span("after"):
                pass
        spans = await captured.observations()
    expected = {"root": "u", "before": None, "inside": "u", "work": "u", "deep": "u", "after": None}
    assert users(spans) == expected
    assert await captured.parents() == {
        "root": None, "before": "root", "inside": "root", "work": "inside", "deep": "work", "after": "root",
    }  # fmt: skip


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("how", ["gather", "TaskGroup", "wait"])
async def test_sibling_tasks_never_see_each_others_attributes(how: str, *, root: bool) -> None:
    """Of a hundred requests side by side, each span carries exactly its own user, also below one common span."""

    async def request(number: int) -> None:
        with propagate_attributes(user_id=f"u{number}", tags=[f"t{number}"], metadata={"n": number}):
            await asyncio.sleep(number % 3 * 0.001)
            await work(f"r{number}")
            await asyncio.create_task(work(f"s{number}"))

    async def all_requests() -> None:
        if how == "gather":
            await asyncio.gather(*map(request, range(100)))
        elif how == "TaskGroup":
            async with asyncio.TaskGroup() as group:
                for number in range(100):
                    group.create_task(request(number))
        else:
            await asyncio.wait([asyncio.create_task(request(number)) for number in range(100)])

    async with capture() as captured:
        if root:
            with span("root"):
                await all_requests()
        else:
            await all_requests()
        spans = [found for found in await captured.observations() if found.name[0] in "rs" and found.name != "root"]
    assert len(spans) == 200
    for found in spans:
        number = found.name[1:]
        assert (found.trace.user_id, found.trace.tags) == (f"u{number}", (f"t{number}",))
        assert msgspec.json.decode(found.trace.metadata) == {"n": int(number)}


async def test_one_block_object_serves_many_tasks() -> None:
    """A block made once may be entered by many tasks side by side, and inside itself, without mixing them up."""
    beta = propagate_attributes(tags=["beta"])

    async def request(number: int) -> None:
        with span(f"root {number}"):
            with beta:
                await asyncio.sleep(0.001 * (number % 3))
                with beta:
                    await work(f"inside {number}")
                await asyncio.sleep(0.001 * (number % 2))
            await work(f"after {number}")

    async with capture() as captured:
        await asyncio.gather(*map(request, range(20)))
        spans = await captured.observations()
    by_id = {found.span_id: found for found in spans}
    for found in spans:
        kind, _, number = found.name.partition(" ")
        if kind in {"inside", "after"}:
            above = by_id[by_id[found.parent_id or ""].parent_id or ""]
            assert above.name == f"root {number}"
            assert found.trace.tags == (("beta",) if kind == "inside" else ())


async def test_tasks_begun_inside_keep_the_attributes() -> None:
    """A task that outlives its block goes on carrying what held when it was begun."""
    async with capture() as captured:
        release = asyncio.Event()

        async def late() -> None:
            await release.wait()
            await work("late")

        with span("root"), propagate_attributes(user_id="u"):
            task = asyncio.create_task(late())
        with propagate_attributes(user_id="other"):
            release.set()
            await task
        assert users(await captured.observations()) == {"root": "u", "work": "u", "late": "u"}
        assert (await captured.parents())["work"] == "root"


async def test_updates_reach_the_trace_from_inside_a_block() -> None:
    """``update_current_trace`` inside a block speaks of the whole trace: root and later blocks carry it."""
    async with capture() as captured:
        with span("root"):
            with propagate_attributes(tags=["inner"]), span("inside"):
                tracecore.update_current_trace(user_id="u", tags=["trace"])
            with propagate_attributes(tags=["later"]), span("later"):
                pass
        spans = await captured.observations()
    assert users(spans) == {"root": "u", "inside": "u", "later": "u"}
    assert set(tags(spans)["root"]) == {"inner", "trace", "later"}
    assert tags(spans)["inside"] == ("inner", "trace")
    assert tags(spans)["later"] == ("trace", "later")


async def test_an_ended_span_is_not_told_any_more() -> None:
    """A task that outlives the span around it does not change that span's record with a block of its own."""
    async with capture() as captured:
        ended = asyncio.Event()

        async def late() -> None:
            await ended.wait()
            with propagate_attributes(user_id="late"), span("child"):
                pass

        with span("root"):
            task = asyncio.create_task(late())
        ended.set()
        await task
        spans = await captured.observations()
    assert users(spans) == {"root": None, "child": "late"}


async def test_exceptions_pass_through_blocks() -> None:
    """An exception leaves a block unchanged, and what was before holds again."""
    error = ValueError("x")
    async with capture() as captured:
        with pytest.raises(ValueError, match="x") as caught, propagate_attributes(user_id="u"):
            raise error
        assert caught.value is error
        await work("w")
        assert users(await captured.observations()) == {"work": None, "w": None}


@pytest.mark.parametrize("bad", [object(), 5, {"a": 1}, ["x"], b"bytes", float("nan"), "\ud800", "x" * 10_000])
async def test_odd_values_are_stored_in_the_nearest_shape(bad: Any) -> None:
    """A value of the wrong type or size costs at most itself: the block works, the spans are kept, text is text."""
    fields: dict[str, Any] = dict.fromkeys(TraceFields.__annotations__.keys() - {"name"}, bad)
    async with capture() as captured:
        with propagate_attributes(as_baggage=True, trace_name=bad, no_such_attribute=1, **fields):
            await work("w")
            with span("root"), propagate_attributes(**fields):
                tracecore.inject({})
        spans = await captured.observations()
        assert captured.recorder.health().lost == {}
    assert len(spans) == 3
    for found in spans:
        said = found.trace
        texts = [said.user_id, said.session_id, said.version, said.release, said.environment, said.name, *said.tags]
        assert all(text is None or (0 < len(text) <= 200 and text.encode()) for text in texts)
        assert said.environment in {None, "default", "5"}
        assert said.public is None
