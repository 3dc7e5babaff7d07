"""Speaking of the current span and trace from anywhere below."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

import tracecore
from tracecore import generation, observe, propagate_attributes, span
from tracecore.records import Generation
from tracecore.testing import capture


async def test_the_current_span_is_updated_from_below() -> None:
    """Plain functions, awaited coroutines and tasks below a span update it without holding it."""

    def helper() -> None:
        tracecore.update_current_span(metadata={"helper": 1})

    async def coroutine() -> None:
        await asyncio.sleep(0)
        tracecore.update_current_span(metadata={"coroutine": 2})

    async with capture() as captured:
        with span("s"):
            helper()
            await coroutine()
            await asyncio.create_task(coroutine())
            await asyncio.to_thread(lambda: tracecore.update_current_span(metadata={"thread": 3}))
        found = await captured.observation("s")
    assert msgspec.json.decode(found.metadata) == {"helper": 1, "coroutine": 2, "thread": 3}


async def test_update_current_generation_is_for_generations() -> None:
    """The name that Langfuse users know does the same, and makes a generation of what has a model."""
    async with capture() as captured:
        with generation("g"):
            tracecore.update_current_generation(model="m", usage_details={"input": 1})
        with span("s"):
            tracecore.update_current_generation(model="m")
        one, two = await captured.observations()
    assert isinstance(one, Generation)
    assert isinstance(two, Generation)
    assert (one.type, one.model, two.type, two.model) == ("generation", "m", "span", "m")


async def test_the_innermost_span_is_the_current_one() -> None:
    """Inside a nested span the outer one is not touched; afterwards it is current again."""
    async with capture() as captured:
        with span("outer"), span("inner"):
            tracecore.update_current_span(output="inner's")
        assert (await captured.observation("outer")).output == msgspec.Raw()
        found = await captured.observation("inner")
    assert msgspec.json.decode(found.output) == "inner's"


async def test_ids_of_the_current_position() -> None:
    """The current ids are those that are recorded; outside of a trace there are none."""
    async with capture() as captured:
        assert (tracecore.current_trace_id(), tracecore.current_span_id(), tracecore.current_span()) == (None,) * 3
        with span("s") as opened:
            ids = tracecore.current_trace_id(), tracecore.current_span_id()
            assert ids == (opened.trace_id, opened.span_id)
            with propagate_attributes(user_id="u"):
                assert (tracecore.current_trace_id(), tracecore.current_span_id()) == ids
                assert tracecore.current_span() is opened
        found = await captured.observation("s")
    assert (found.trace_id, found.span_id) == ids


async def test_the_trace_is_updated_from_below() -> None:
    """``update_current_trace`` reaches the trace from any depth: all spans that end later carry it."""

    @observe
    async def deep(depth: int) -> None:
        if depth:
            await deep(depth - 1)
        else:
            tracecore.update_current_trace(
                name="chat", user_id="u", session_id="s", tags=["a", "b"], metadata={"k": 1}, release="r", version="v",
                environment="test", public=True,
            )  # fmt: skip
            tracecore.update_current_trace(tags=["b", "c"], metadata={"l": 2}, user_id=None)

    async with capture() as captured:
        await deep(3)
        spans = await captured.observations()
        [trace] = await captured.traces()
    for said in (*(each.trace for each in spans), trace.attributes):
        assert (said.name, said.user_id, said.session_id, said.tags) == ("chat", "u", "s", ("a", "b", "c"))
        assert (said.release, said.version, said.environment, said.public) == ("r", "v", "test", True)
        assert msgspec.json.decode(said.metadata) == {"k": 1, "l": 2}


async def test_updating_the_trace_of_a_span_in_hand() -> None:
    """``update_trace`` of a span speaks of its own trace, wherever it is called."""
    async with capture() as captured:
        with span("one") as one:
            pass
        with span("one") as one:
            by_hand = span("by hand")
        with span("two"):
            by_hand.update_trace(user_id="u")
        by_hand.end()
        one.update_trace(user_id="late")
        traces = await captured.traces()
    assert [trace.attributes.user_id for trace in traces] == [None, "u", None]


async def test_outside_of_a_trace_nothing_happens() -> None:
    """Every call about the current span or trace does nothing outside of one, and begins none."""
    async with capture() as captured:
        tracecore.update_current_span(output=1)
        tracecore.update_current_generation(model="m")
        tracecore.update_current_trace(user_id="u")
        assert tracecore.score_current_trace("s", 1) is None
        assert tracecore.score_current_span("s", 1) is None
        headers: dict[str, str] = {}
        tracecore.inject(headers)
        assert headers == {}
        assert await captured.observations() == []


@pytest.mark.parametrize("settings", [{"enabled": False}, {"sample_rate": 0.0}], ids=["disabled", "unsampled"])
async def test_nothing_recorded_takes_the_same_calls(settings: dict[str, Any]) -> None:
    """Where nothing is recorded every call is accepted, with any arguments, and nothing comes of it."""
    async with capture(**settings) as captured:
        with span("s", as_type="tool", input=object()) as opened:
            opened.update(output=1, no_such_field=1).update_trace(user_id="u")
            opened.event("e", input=1)
            opened.fail(ValueError())
            assert not opened.recording
            assert tracecore.current_span() is None
            tracecore.event("e", level="ERROR")
            tracecore.update_current_span(output=1)
            tracecore.update_current_trace(user_id="u")
            assert tracecore.score_current_trace("s", 1) is None
            assert tracecore.score_current_span("s", 1) is None
            async with generation("g", model="m") as inner, propagate_attributes(user_id="u"):
                inner.end()
            opened.end()
        assert await captured.observations() == []
        assert await captured.scores() == []
        assert captured.recorder.health().emitted == 0


async def test_unsampled_traces_have_ids() -> None:
    """A trace that sampling left out has ids, which travel on; with tracing disabled there are none."""
    async with capture(sample_rate=0.0):
        with span("s") as opened:
            assert tracecore.current_trace_id() == opened.trace_id
            assert len(opened.trace_id) == 32
            assert len(opened.span_id) == 16
            with span("child") as child:
                assert child.trace_id == opened.trace_id
    async with capture(enabled=False):
        with span("s"):
            assert tracecore.current_trace_id() is None
