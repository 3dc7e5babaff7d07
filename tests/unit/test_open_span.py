"""Open spans: with blocks and by hand, what can be said about them, and their one end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import tracecore
from tracecore import OpenSpan, generation, span
from tracecore.records import ABSENT, Event, Generation, Observation
from tracecore.testing import capture


def decoded(payload: msgspec.Raw) -> Any:
    """Return what a payload says."""
    return msgspec.json.decode(payload)


async def test_with_and_async_with_nest() -> None:
    """Blocks of both kinds make their span current, and put back what was."""
    async with capture() as captured:
        with span("a") as a:
            assert tracecore.current_span() is a
            async with span("b") as b:
                assert tracecore.current_span() is b
                with span("c"):
                    pass
            assert tracecore.current_span() is a
        assert tracecore.current_span() is None
        assert await captured.parents() == {"a": None, "b": "a", "c": "b"}


async def test_by_hand() -> None:
    """A span opened by hand is a child of the current one, is never current itself, and ends when told to."""
    async with capture() as captured:
        with span("outer") as outer:
            by_hand = span("by hand", input=1)
            assert tracecore.current_span() is outer
            with span("sibling"):
                pass
        assert by_hand.recording
        by_hand.update(output=2)
        by_hand.end()
        assert not by_hand.recording
        assert await captured.parents() == {"outer": None, "by hand": "outer", "sibling": "outer"}
        found = await captured.observation("by hand")
    assert (decoded(found.input), decoded(found.output)) == (1, 2)


async def test_only_the_first_end_counts() -> None:
    """Ending again, updating or failing after the end, and leaving the block, change and record nothing more."""

    def end_early() -> None:
        with span("once") as once:
            once.update(output="kept")
            once.end()
            once.end()
            once.update(output="late", name="late", metadata={"late": 1})
            once.update_trace(user_id="late")
            raise ValueError("late")

    async with capture() as captured:
        with pytest.raises(ValueError, match="late"):
            end_early()
        [found] = await captured.observations()
        assert captured.recorder.health().emitted == 1
    assert (found.name, found.status, decoded(found.output)) == ("once", "ok", "kept")
    assert (found.metadata, found.trace.user_id) == (ABSENT, None)


async def test_many_threads_end_a_span_once() -> None:
    """However many threads end the same span at the same moment, it is recorded once."""
    async with capture() as captured:
        for number in range(200):
            opened, gate = span(f"span {number}"), threading.Barrier(4)

            def end(opened: Any = opened, gate: threading.Barrier = gate) -> None:
                gate.wait()
                opened.end()

            threads = [threading.Thread(target=end) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(await captured.observations()) == 200
        assert captured.recorder.health().emitted == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("no"), "error"), (asyncio.CancelledError(), "cancelled"), (GeneratorExit(), "cancelled"),
     (KeyboardInterrupt(), "error"), (BaseExceptionGroup("g", [asyncio.CancelledError()]), "cancelled"),
     (BaseExceptionGroup("g", [asyncio.CancelledError(), ValueError("no")]), "error")],
)  # fmt: skip
async def test_exceptions_pass_through(error: BaseException, status: str) -> None:
    """A block that an exception leaves ends as error or cancelled, and the exception goes on, the same object."""

    async def leave(block: str) -> None:
        if block == "with":
            with span(block):
                raise error
        async with span(block):
            raise error

    async with capture() as captured:
        caught: list[BaseException] = []
        for block in ("with", "async with"):
            try:
                await leave(block)
            except BaseException as raised:  # noqa: BLE001 - cancellations included
                caught.append(raised)
        spans = await captured.observations()
    assert caught == [error, error]
    assert error.__context__ is None
    assert [found.status for found in spans] == [status, status]
    assert {found.level for found in spans} == ({"ERROR"} if status == "error" else {"DEFAULT"})


async def test_every_field_is_recorded() -> None:
    """Each field of the API arrives in its place of the record."""
    began = datetime(2025, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    async with capture() as captured:
        with generation("g", input=[{"role": "user"}], version="v1") as opened:
            opened.update(
                name="renamed", output={"text": "hi"}, metadata={"a": 1, "b": 1}, level="warn", status_message="slow",
                model="m-1", model_parameters={"temperature": 0}, usage_details={"input": 3, "output": 4},
                cost_details={"input": 0.5, "output": 0.25}, prompt=("greeting", 7), completion_start_ns=began,
                tool_definitions={"search": {}}, tool_calls=[{"name": "search"}], tool_call_names=["search"],
            )  # fmt: skip
            opened.update(metadata={"b": 2}, output=None)
        found = await captured.observation("renamed")
    assert isinstance(found, Generation)
    assert (decoded(found.input), decoded(found.output)) == ([{"role": "user"}], None)
    assert decoded(found.metadata) == {"a": 1, "b": 2}
    assert (found.version, found.level, found.status_message) == ("v1", "WARNING", "slow")
    assert (found.model, decoded(found.model_parameters)) == ("m-1", {"temperature": 0})
    assert (found.usage_details, found.cost_details) == ({"input": 3, "output": 4}, {"input": 0.5, "output": 0.25})
    assert (found.provided_usage_details, found.provided_cost_details) == (None, None)
    assert (found.total_cost, found.prompt_name, found.prompt_version) == (0.75, "greeting", 7)
    assert found.completion_start_ns == 1_735_787_045_678_901_000
    assert (decoded(found.tool_definitions), decoded(found.tool_calls)) == ({"search": {}}, [{"name": "search"}])
    assert found.tool_call_names == ("search",)


async def test_what_is_not_given_stays() -> None:
    """None leaves a field as it is, except input and output; an unknown field is left out without a complaint."""
    async with capture() as captured:
        with span("s", input=1, level="ERROR", status_message="bad", version="1") as opened:
            nothing: Any = dict.fromkeys(("level", "status_message", "version", "name", "metadata", "model", "prompt"))
            opened.update(**nothing, input=None)
            opened.update(no_such_field=1)  # type: ignore[call-arg]  # wrong on purpose
        found = await captured.observation("s")
    assert (found.level, found.status_message, found.version) == ("ERROR", "bad", "1")
    assert bytes(found.input) == b"null"


async def test_events() -> None:
    """An event is a point in time below its span, whatever is said about it."""
    async with capture() as captured:
        with span("s") as opened:
            tracecore.event("hit", metadata={"key": "k"}, level="DEBUG")
            opened.event("hit by hand", output=1)
            tracecore.event("odd", model="m")
        tracecore.event("alone")
        found = {each.name: each for each in await captured.observations()}
        assert await captured.parents() == {"s": None, "hit": "s", "hit by hand": "s", "odd": "s", "alone": None}
        assert captured.recorder.health().lost == {}
    events: list[Observation] = [found[name] for name in ("hit", "hit by hand", "odd", "alone")]
    assert {(each.type, each.duration_ns) for each in events} == {("event", 0)}
    assert isinstance(found["hit"], Event)
    assert decoded(found["hit"].metadata) == {"key": "k"}
    assert isinstance(found["odd"], Generation)
    assert found["odd"].model == "m"


@pytest.mark.parametrize("name", [None, 5, "", "x" * 10_000, "lone \ud800 surrogate", object()])
async def test_names_are_text_that_can_be_stored(name: Any) -> None:
    """Whatever is given as a name, spans and events have a name that is text, not empty, and not endless."""
    async with capture() as captured:
        with span(name) as opened:
            opened.event(name)
            tracecore.event(name)
            opened.update(name=name)
        spans = await captured.observations()
    assert len(spans) == 3
    for found in spans:
        assert type(found.name) is str
        assert 0 < len(found.name.encode()) <= 500


async def test_a_span_entered_twice_leaves_nothing_behind() -> None:
    """Entering a span inside itself is pointless, and harmless."""
    async with capture() as captured:
        with span("outer") as outer:
            with span("twice") as twice, twice:
                pass
            assert tracecore.current_span() is outer
        assert tracecore.current_span() is None
        assert await captured.parents() == {"outer": None, "twice": "outer"}


async def test_left_out_of_order() -> None:
    """Blocks left in the wrong order leave no position behind."""
    async with capture():
        a, b = span("a"), span("b")
        a.__enter__()
        b.__enter__()
        a.__exit__(None, None, None)
        b.__exit__(None, None, None)
        assert tracecore.current_span() is None


async def test_a_span_forgotten_inside_is_cleaned_up() -> None:
    """A span that was entered and never left does not stay current beyond the block around it."""
    async with capture():
        with span("outer"):
            span("forgotten").__enter__()
        assert tracecore.current_span() is None


async def test_closed_by_somebody_elses_task() -> None:
    """A block inside an unobserved generator, closed from another task, does not touch that task's position."""

    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        with tracecore.propagate_attributes(tags=["inside"]), span("resource"):
            yield

    async with capture() as captured:
        opened = resource()

        async def enter() -> None:
            with span("enterer"):
                await opened.__aenter__()

        async def leave() -> None:
            with span("leaver") as leaver, tracecore.propagate_attributes(user_id="u"):
                await opened.__aexit__(None, None, None)
                assert tracecore.current_span() is leaver
                with span("later"):
                    pass

        await asyncio.create_task(enter())
        await asyncio.create_task(leave())
        parents = await captured.parents()
        later = await captured.observation("later")
    assert parents == {"enterer": None, "resource": "enterer", "leaver": None, "later": "leaver"}
    assert (later.trace.user_id, later.trace.tags) == ("u", ())


async def test_one_that_is_left_out_is_closed_by_somebody_elses_task() -> None:
    """A block of a trace that sampling left out, closed from another task, does not touch that task's position."""

    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        with span("left out"):
            yield

    async def enter() -> None:
        async with capture(sample_rate=0.0):
            await opened.__aenter__()

    async with capture():
        opened = resource()
        await asyncio.create_task(enter())
        with span("leaver") as leaver:
            await opened.__aexit__(None, None, None)
            assert tracecore.current_span() is leaver


async def test_a_span_entered_by_several_tasks_mixes_them_up_no_more_than_that() -> None:
    """Tasks that enter one span side by side are each back where they were, and what they open goes below it."""
    async with capture() as captured:
        shared = span("shared")
        opened: list[bool] = []

        async def work(number: int) -> None:
            with span(f"task {number}") as own:
                with shared:
                    await asyncio.sleep(0)
                    with span(f"inside {number}"):
                        await asyncio.sleep(0)
                opened.append(tracecore.current_span() is own)
                with span(f"after {number}"):
                    pass
            opened.append(tracecore.current_span() is None)

        await asyncio.gather(work(1), work(2), work(3))
        parents = await captured.parents()
    assert opened == [True] * 6
    for number in (1, 2, 3):
        assert parents[f"inside {number}"] == "shared"
        assert parents[f"after {number}"] == f"task {number}"


async def test_spans_entered_inside_of_each_other_do_not_hang_others() -> None:
    """Leaving a block that this context is not inside of ends, also where spans were entered again in a ring."""
    async with capture() as captured:
        a, b, elsewhere = span("a"), span("b"), span("elsewhere")
        with a, b, a:
            elsewhere.__exit__(None, None, None)
        assert tracecore.current_span() is None
        assert {found.name for found in await captured.observations()} == {"a", "b", "elsewhere"}


async def test_one_that_is_left_out_can_be_read() -> None:
    """What a program reads of its spans can be read of one that sampling left out: it must not fail by it."""
    async with capture(sample_rate=0.0):
        with span("left out") as opened:
            seen = (opened.name, opened.type, opened.parent_id, opened.start_ns, opened.status, opened.input)
    assert seen == ("", "span", None, 0, "ok", b"")
    assert (opened.ended, opened.output, opened.recording) == (0, b"", False)


async def test_a_task_that_starts_its_successor_keeps_no_history() -> None:
    """A chain of tasks, each started by the one before, does not hold the spans that have ended."""

    @tracecore.observe
    async def link(left: int) -> int:
        if left:
            return await asyncio.create_task(link(left - 1))
        return 0

    async def chain(left: int, ended: asyncio.Event) -> None:
        with span("manual"):
            await asyncio.sleep(0)
            opened: Any = tracecore.current_span()
            if not left:
                depth = 0
                while opened is not None:
                    depth, opened = depth + 1, opened.previous
                assert depth <= 2
                ended.set()
                return
            asyncio.get_running_loop().call_soon(lambda: keep.append(asyncio.ensure_future(chain(left - 1, ended))))

    keep: list[Any] = []
    async with capture():
        ended = asyncio.Event()
        await chain(50, ended)
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.gather(*keep)
        assert await link(5) == 0


async def test_open_spans_are_counted() -> None:
    """``health`` counts the spans that have not ended."""
    async with capture() as captured:
        opened = [span(f"{number}") for number in range(5)]
        assert captured.recorder.health().open_spans == 5
        for each in opened:
            assert isinstance(each, OpenSpan)
            each.end()
        assert captured.recorder.health().open_spans == 0
