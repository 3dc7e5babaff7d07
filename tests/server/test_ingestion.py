"""Langfuse's older ingestion: what events become, what is answered for each, and what a mistake costs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from tests.server.conftest import START_NS, Api
from tracecore.backend import Batch, ScoreQuery
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import Generation, Observation, Span, TraceAttributes

T = "6b1f5c1e-trace"
ROOT = f"t-{T}"
BEGAN = datetime.fromtimestamp(START_NS // 10**9, UTC) - timedelta(hours=1)


def at(ms: float) -> str:
    """Return a moment as text."""
    return (BEGAN + timedelta(milliseconds=ms)).isoformat()


def ns(ms: float) -> int:
    """Return the same moment in ns."""
    return START_NS - 3_600_000_000_000 + round(ms * 1e6)


def event(kind: str, ms: float = 0, *, event_id: str = "", **body: Any) -> dict[str, Any]:
    """Return an event."""
    return {"id": event_id or f"{kind}-{ms}", "type": kind, "timestamp": at(ms), "body": body}


async def send(api: Api, *events: Any, successes: int | None = None) -> dict[str, Any]:
    """Send a batch; it is answered, and as many events are kept as are said to be, all of them if nothing is said."""
    answer: dict[str, Any] = await api.post("/ingestion", {"batch": events}, 207)
    assert set(answer) == {"successes", "errors"}
    assert len(answer["successes"]) + len(answer["errors"]) == len(events)
    assert len(answer["successes"]) == (len(events) if successes is None else successes), answer
    return answer


async def tree(api: Api, trace_id: str = T, project: str = "p") -> dict[str, Observation]:
    """Return the observations of a trace by their ids."""
    assert api.backend.observations is not None
    return {one.span_id: one for one in await api.backend.observations.tree(project, trace_id)}


async def test_a_trace(api: Api) -> None:
    """A trace is the span that stands for it, which has ended where it began, and gives the trace what it says."""
    await send(api, event(
        "trace-create", id=T, timestamp=at(5), name="chat", userId="u", sessionId="s", input={"q": "世"}, output=None,
        metadata={"a": 1}, tags=["y", "x", "y"], release="r", version="v", environment="prod", public=True,
        externalId="ignored",
    ))  # fmt: skip
    [span] = (await tree(api)).values()
    assert type(span) is Span
    assert (span.span_id, span.parent_id, span.name, span.start_ns, span.duration_ns, span.status) == (
        ROOT, None, "chat", ns(5), 0, "ok",
    )  # fmt: skip
    assert (json.loads(bytes(span.input)), bool(span.output)) == ({"q": "世"}, False)
    assert api.backend.traces is not None
    trace = await api.backend.traces.get("p", T)
    assert trace is not None
    said = trace.attributes
    assert (trace.name, said.user_id, said.session_id, said.tags) == ("chat", "u", "s", ("x", "y"))
    assert (said.release, said.version, said.environment, said.public) == ("r", "v", "prod", True)
    assert json.loads(bytes(said.metadata)) == {"a": 1}


async def test_observations(api: Api) -> None:
    """Spans, generations and events hang where they say, else below the trace, and carry what is said of it."""
    await send(
        api,
        event("trace-create", id=T, name="chat", userId="u", sessionId="s", tags=["x"], metadata={"m": 1}),
        event("span-create", id="a", traceId=T, name="step", startTime=at(1), endTime=at(11), level="WARNING",
              statusMessage="slow", version="2", environment="blue", metadata={"k": True}, input=1, output=[2]),
        event("generation-create", id="b", traceId=T, parentObservationId="a", startTime=at(2), endTime=at(9.5),
              completionStartTime=at(4), model="gpt-4o", modelParameters={"temperature": 0.1}, promptName="p",
              promptVersion=3, usage={"promptTokens": 7, "completionTokens": 5, "totalTokens": 12}),
        event("event-create", id="c", traceId=T, name="click", startTime=at(3)),
        event("tool-create", id="d", traceId=T, startTime=at(4)),
        event("observation-create", id="e", traceId=T, type="EMBEDDING", startTime=at(4), endTime=at(4)),
    )  # fmt: skip
    found = await tree(api)
    assert {name: (one.type, type(one).__name__, one.parent_id) for name, one in found.items()} == {
        ROOT: ("span", "Span", None), "a": ("span", "Span", ROOT), "b": ("generation", "Generation", "a"),
        "c": ("event", "Event", ROOT), "d": ("tool", "Span", ROOT), "e": ("embedding", "Generation", ROOT),
    }  # fmt: skip
    step, call = found["a"], found["b"]
    assert (step.start_ns, step.duration_ns, step.level, step.status_message, step.version) == (
        ns(1), 10_000_000, "WARNING", "slow", "2",
    )  # fmt: skip
    assert (bytes(step.input), bytes(step.output), bytes(step.metadata)) == (b"1", b"[2]", b'{"k":true}')
    assert isinstance(call, Generation)
    assert (call.model, call.completion_start_ns, call.prompt_name, call.prompt_version) == ("gpt-4o", ns(4), "p", 3)
    assert (call.usage_details, call.provided_usage_details) == (
        {"input": 7, "output": 5, "total": 12}, {"promptTokens": 7, "completionTokens": 5, "totalTokens": 12},
    )  # fmt: skip
    assert bytes(call.model_parameters) == b'{"temperature":0.1}'
    assert (found["c"].duration_ns, found["c"].status, found["d"].status) == (0, "ok", "running")
    assert {one.trace.session_id for one in found.values()} == {"s"}
    assert {one.trace.tags for one in found.values()} == {("x",)}
    assert [name for name, one in found.items() if one.trace.metadata] == [ROOT]
    assert (step.trace.environment, call.trace.environment) == ("blue", None)


async def test_updates(api: Api) -> None:
    """What is new is added; the start stays, metadata is united, and a cost is made of all of it."""
    await send(
        api,
        event("generation-create", id="g", traceId=T, name="call", startTime=at(1), model="gpt-4o", input="hi",
              metadata={"a": 1, "b": 1}),
    )  # fmt: skip
    await send(
        api, event("generation-update", 2, id="g", traceId=T, endTime=at(8), output="ho", metadata={"b": 2, "c": 2}),
        event("generation-update", 3, id="g", traceId=T, name="named", usageDetails={"input": 10, "output": 5}),
    )  # fmt: skip
    call = (await tree(api))["g"]
    assert isinstance(call, Generation)
    assert (call.name, call.start_ns, call.duration_ns, call.parent_id) == ("named", ns(1), 7_000_000, ROOT)
    assert (bytes(call.input), bytes(call.output)) == (b'"hi"', b'"ho"')
    assert json.loads(bytes(call.metadata)) == {"a": 1, "b": 2, "c": 2}
    assert call.usage_details == {"input": 10, "output": 5}


async def test_a_cost_follows_what_makes_it(api: Api) -> None:
    """A generation is priced when its usage comes, anew when that changes, and stays priced when other things do."""
    await send(api, event("generation-create", id="g", traceId=T, startTime=at(1), model="gpt-4o"))

    async def update(ms: int, **body: Any) -> Generation:
        await send(api, event("generation-update", ms, id="g", traceId=T, **body))
        found = (await tree(api))["g"]
        assert isinstance(found, Generation)
        return found

    first = await update(2, usageDetails={"input": 1000, "output": 0})
    assert first.total_cost is not None
    assert first.total_cost > 0
    assert first.model_id is not None
    later = await update(3, output="done")
    assert (later.total_cost, later.model_id) == (first.total_cost, first.model_id)
    twice = await update(4, usageDetails={"input": 2000, "output": 0})
    assert twice.total_cost == pytest.approx(2 * first.total_cost)


async def test_an_update_first(api: Api) -> None:
    """What comes too early is put together with what it updates when that comes."""
    await send(api, event("span-update", 2, id="a", traceId=T, endTime=at(8), output=1, level="ERROR"))
    early = (await tree(api))["a"]
    assert (early.start_ns, early.duration_ns, early.status) == (ns(8), 0, "ok")
    await send(
        api, event("span-create", 1, id="a", traceId=T, name="step", startTime=at(1), parentObservationId="b",
                   level="DEFAULT", output=2),
    )  # fmt: skip
    late = (await tree(api))["a"]
    assert (late.name, late.start_ns, late.duration_ns, late.parent_id) == ("step", ns(1), 7_000_000, "b")
    assert (late.level, bytes(late.output)) == ("ERROR", b"1")


async def test_updates_without_a_trace(api: Api) -> None:
    """An update that names no trace is of the trace of what it updates, in this batch or before."""
    await send(
        api, event("span-create", id="a", traceId=T, startTime=at(1)), event("span-update", 1, id="a", output=1),
    )  # fmt: skip
    await send(api, event("span-update", 2, id="a", endTime=at(3)))
    assert (await tree(api))["a"].duration_ns == 2_000_000
    await send(api, event("span-create", id="alone", name="x", startTime=at(1)))
    assert set(await tree(api, "alone")) == {"alone", "t-alone"}


async def test_a_trace_of_which_nobody_spoke(api: Api) -> None:
    """Observations make their trace; what is said of it later is carried by all of them, also by those that run."""
    await send(api, event("span-create", id="a", traceId=T, name="x", startTime=at(5), metadata={"k": 1}))
    before = await tree(api)
    assert (before[ROOT].name, before[ROOT].start_ns) == ("", ns(5))
    await send(api, event("trace-create", 9, id=T, timestamp=at(9), name="n", sessionId="s", input=1))
    await send(api, event("span-create", id="b", traceId=T, startTime=at(6)))
    after = await tree(api)
    assert (after[ROOT].name, after[ROOT].start_ns, bytes(after[ROOT].input)) == ("n", ns(5), b"1")
    assert {one.trace.session_id for one in after.values()} == {"s"}
    assert (after["a"].status, bytes(after["a"].metadata)) == ("running", b'{"k":1}')
    await send(api, event("trace-create", 10, id=T, sessionId="other", tags=["late"]))
    assert {(one.trace.session_id, one.trace.tags) for one in (await tree(api)).values()} == {("other", ("late",))}
    assert api.backend.sessions is not None
    assert await api.backend.sessions.get("p", "s") is None


async def test_traces_are_upserted(api: Api) -> None:
    """Events of one trace add to each other; its start is the earliest, as SDKs say the time again with each."""
    await send(api, event("trace-create", id=T, timestamp=at(5), name="n", tags=["a"], metadata={"x": 1}, userId="u"))
    await send(api, event("trace-create", 7, id=T, timestamp=at(7), output=2, tags=["b"], metadata={"y": 2}))
    root = (await tree(api))[ROOT]
    assert (root.name, root.start_ns, bytes(root.output)) == ("n", ns(5), b"2")
    assert (root.trace.tags, root.trace.user_id) == (("a", "b"), "u")
    assert json.loads(bytes(root.trace.metadata)) == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("body", "usage", "costs", "total"),
    [
        ({"usage": {"input": 1, "output": 2, "total": 3, "unit": "TOKENS"}}, {"input": 1, "output": 2, "total": 3},
         None, None),
        ({"usage": {"input": 1, "inputCost": 1.0, "outputCost": 0.5}}, {"input": 1}, {"input": 1.0, "output": 0.5},
         1.5),
        ({"usage": {"totalCost": 2}}, None, {"total": 2.0}, 2.0),
        ({"usage": {"promptTokens": 4}}, {"input": 4}, None, None),
        ({"usage": None, "usageDetails": {"input": 1, "cached": None}}, {"input": 1}, None, None),
        ({"usage": {"input": 9}, "usageDetails": {"input": 1}}, {"input": 1}, None, None),
        ({"usageDetails": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13,
                           "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": None}}},
         {"input": 6, "output": 3, "total": 13, "input_cached_tokens": 4}, None, None),
        ({"costDetails": {"input": 0.1, "output": None, "total": 0.3}}, None, {"input": 0.1, "total": 0.3}, 0.3),
        ({"usage": {}, "usageDetails": {}, "costDetails": {}}, None, None, None),
    ],
)  # fmt: skip
async def test_usage(
    api: Api, body: dict[str, Any], usage: dict[str, int] | None, costs: dict[str, float] | None, total: float | None
) -> None:
    """Units and USD are read in every way in which they were ever said."""
    await send(api, event("generation-create", id="g", traceId=T, startTime=at(0), **body))
    found = (await tree(api))["g"]
    assert isinstance(found, Generation)
    assert (found.usage_details, found.cost_details, found.total_cost) == (usage, costs, total)


async def test_scores(api: Api) -> None:
    """Scores are given among events, also by evaluators; sent again they are the same scores."""
    events = [
        event("score-create", 5, id="one", traceId=T, name="n", value=1),
        event("score-create", 6, traceId=T, name="m", value="x", source="EVAL", event_id="e"),
        event("score-create", 7, traceId=T, name="m", value="x", dataType="NUMERIC"),
        event("score-create", 8, traceId=T, name="m", value=1, configId="nobody's"),
    ]
    for _ in range(2):
        answer = await send(api, *events, successes=2)
        assert [(error["id"], error["status"]) for error in answer["errors"]] == [
            ("score-create-7", 400), ("score-create-8", 404),
        ]  # fmt: skip
    assert api.backend.scores is not None
    found = (await api.backend.scores.find("p", ScoreQuery())).items
    assert [(one.score_id, one.timestamp_ns, one.source) for one in found] == [
        ("e", ns(6), "EVAL"), ("one", ns(5), "API"),
    ]  # fmt: skip


async def test_what_is_answered(api: Api) -> None:
    """Each event is answered for in its place; what is wrong is refused by itself, with a reason."""
    good = event("span-create", id="a", traceId=T, startTime=at(0))
    bad: list[Any] = [
        1, None, "x", [], {}, {"id": "only"}, {**good, "type": "span-delete"}, {**good, "id": 1},
        {**good, "body": 1}, {**good, "timestamp": "yesterday"},
        event("span-create", id="", traceId=T, event_id="x" * 801),
        event("span-create", id="x" * 801), event("span-create", id="a", traceId="é" * 401),
        event("span-create", id="a", startTime="now"), event("span-create", id="a", name=1),
        event("generation-create", id="a", usage=1), event("generation-create", id="a", promptVersion=2**70),
        event("observation-create", id="a", type="CAT"), event("trace-create", id=T, public="yes"),
        event("trace-create", id=T, tags="x"), event("score-create", id="s", name="n"),
    ]  # fmt: skip
    answer = await send(api, good, *bad, event("sdk-log", log="hello"), successes=2)
    assert [one["id"] for one in answer["successes"]] == [good["id"], "sdk-log-0"]
    assert {one["status"] for one in answer["successes"]} == {201}
    for error in answer["errors"]:
        assert set(error) == {"id", "status", "message", "error"}
        assert (error["status"], error["message"]) == (400, "Invalid request data")
        assert error["error"]
    assert [error["id"] for error in answer["errors"][:6]] == ["unknown"] * 5 + ["only"]
    assert "span-create, " in answer["errors"][6]["error"]
    assert set(await tree(api)) == {"a", ROOT}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"batch":1}', b'{"batch":[}', b'{"batch":null}', b"\xff", b'{"batch":[' * 50_000]
)
async def test_what_is_no_batch(api: Api, body: bytes) -> None:
    """Garbage is 400 as a whole."""
    answer = await api.p.post("/ingestion", content=body)
    assert answer.status_code == 400, answer.text
    assert (await api.p.post("/ingestion", json={"batch": [1] * 10_001})).status_code == 400
    assert (await api.post("/ingestion", {"batch": []}, 207)) == {"successes": [], "errors": []}


async def test_what_is_cut(api: Api) -> None:
    """Too long texts are cut as everywhere, a strange level is the usual one, and empty texts are none."""
    await send(
        api, event("trace-create", id=T, userId="u" * 300, sessionId="", environment="Langfuse!", name=""),
        event("span-create", id="a", traceId=T, name="n" * 600, level="shout", startTime=at(0), parentObservationId="",
              version="", environment=None),
        event("span-create", id="b", traceId=T, level="warn", startTime="0001-01-01T00:00:00Z", endTime=at(0)),
        event("span-create", id="c", traceId=T, startTime=at(9), endTime=at(3), parentObservationId="c"),
    )  # fmt: skip
    found = await tree(api)
    root = found[ROOT].trace
    assert (root.user_id, root.session_id, root.environment, root.name) == ("u" * 200, None, "default", None)
    assert (len(found["a"].name), found["a"].level, found["a"].parent_id) == (500, "DEFAULT", ROOT)
    assert (found["b"].level, found["b"].start_ns, found["b"].end_ns) == ("WARNING", 0, ns(0))
    assert (found["c"].duration_ns, found["c"].parent_id) == (0, ROOT)


async def test_payloads_are_kept_as_they_are(api: Api) -> None:
    """Numbers keep their spelling and payloads their bytes, in any script, media in them too."""
    payload = '{"n":1.50,"big":123456789012345678901234567890,"t":"a\\u00e9世","m":"data:image/png;base64,AAAA"}'
    body = f'{{"id":"a","traceId":"{T}","startTime":"{at(0)}","input":{payload},"output":"x"}}'
    data = f'{{"batch":[{{"id":"1","type":"span-create","timestamp":"{at(0)}","body":{body}}}]}}'
    assert (await api.p.post("/ingestion", content=data.encode())).status_code == 207
    assert bytes((await tree(api))["a"].input) == payload.encode()


async def test_half_a_surrogate_pair_costs_nothing(api: Api) -> None:
    """A text that was cut in the middle of an emoji, as JavaScript does, costs no batch."""
    body = rf'{{"id":"a","traceId":"{T}","startTime":"{at(0)}","name":"cut \ud83d","input":{{"t":"\ude00"}}}}'
    data = f'{{"batch":[{{"id":"1","type":"span-create","timestamp":"{at(0)}","body":{body}}}]}}'
    answer = await api.p.post("/ingestion", content=data.encode())
    assert (answer.status_code, len(answer.json()["successes"])) == (207, 1)
    assert (await tree(api))["a"].name == "cut \\ud83d"


async def test_who_sent_it(api: Api) -> None:
    """Provenance names the door, the key and the SDK, by its headers or by what the batch says."""
    metadata = {"sdk_name": "python", "sdk_version": "2.60.0", "batch_size": 1}
    body = {"batch": [event("span-create", id="a", traceId=T, startTime=at(0))], "metadata": metadata}
    await api.post("/ingestion", body, 207)
    said = (await tree(api))["a"].provenance
    assert said is not None
    assert (said.source, said.sdk_name, said.sdk_version) == ("ingestion", "python", "2.60.0")
    assert said.api_key is not None
    other = {"batch": [event("span-create", id="b", traceId=T, startTime=at(0))], "metadata": [1]}
    headers = {"x-langfuse-sdk-name": "js", "x-langfuse-sdk-version": "3"}
    assert (await api.p.post("/ingestion", json=other, headers=headers)).status_code == 207
    said = (await tree(api))["b"].provenance
    assert said is not None
    assert (said.sdk_name, said.sdk_version) == ("js", "3")


async def test_a_key_for_scores_alone(api: Api) -> None:
    """It sends scores among events, and nothing else of its batch is kept."""
    async with await api.client("p", "scores") as http:
        batch = [
            event("score-create", id="s", traceId=T, name="n", value=1), event("trace-create", id=T),
            event("sdk-log", log=1),
        ]  # fmt: skip
        answer = await http.post("/ingestion", json={"batch": batch})
    assert answer.status_code == 207
    assert [one["id"] for one in answer.json()["successes"]] == ["score-create-0", "sdk-log-0"]
    [error] = answer.json()["errors"]
    assert (error["status"], error["message"]) == (401, "Authentication error")
    assert await tree(api) == {}
    async with await api.client("p", "read") as http:
        assert (await http.post("/ingestion", json={"batch": batch})).status_code == 403


async def test_projects_do_not_meet(api: Api) -> None:
    """The same ids in two projects are two traces; an update finds nothing of another project."""
    await send(api, event("span-create", id="a", traceId=T, name="mine", startTime=at(0)))
    theirs = {"batch": [event("span-update", 1, id="a", name="theirs"), event("trace-create", id=T, name="theirs")]}
    assert (await api.q.post("/ingestion", json=theirs)).status_code == 207
    assert {name: one.name for name, one in (await tree(api)).items()} == {"a": "mine", ROOT: ""}
    assert set(await tree(api, T, "q")) == {ROOT}
    assert set(await tree(api, "a", "q")) == {"a", "t-a"}


async def test_spans_that_came_another_way(api: Api) -> None:
    """An event about a span of OpenTelemetry adds to it, and leaves its place and its trace as they are."""
    await api.server.state.writer.write([
        Generation("p", T, "a", "otel", ns(1), duration_ns=5, trace=TraceAttributes(session_id="s"), model="m"),
        Span("p", T, "b", "other", ns(1), duration_ns=5),
    ])  # fmt: skip
    await send(api, event("span-update", 9, id="a", traceId=T, statusMessage="seen"))
    found = await tree(api)
    assert set(found) == {"a", "b"}
    assert (found["a"].parent_id, found["a"].name, found["a"].status_message) == (None, "otel", "seen")
    assert (type(found["a"]), found["a"].trace.session_id, found["b"].trace.session_id) == (Generation, "s", None)
    await send(api, event("trace-create", 10, id=T, sessionId="new"))
    assert {name: one.trace.session_id for name, one in (await tree(api)).items()} == {
        "a": "s", "b": None, ROOT: "new",
    }  # fmt: skip


async def test_at_once(api: Api) -> None:
    """Creates and updates that come at the same moment in many requests lose nothing of each other."""

    async def post(*events: Any) -> None:
        await send(api, *events)

    async with anyio.create_task_group() as group:
        for number in range(10):
            name = f"o{number}"
            group.start_soon(post, event("span-update", 2, id=name, traceId=T, endTime=at(9), output=number))
            group.start_soon(post, event("span-create", 1, id=name, traceId=T, startTime=at(number / 100), name=name))
            group.start_soon(post, event("trace-create", number, id=T, metadata={name: number}))
            group.start_soon(post, event("span-update", 3, id=name, traceId=T, metadata={"u": 1}))
    found = await tree(api)
    for number in range(10):
        one = found[f"o{number}"]
        assert (one.name, one.start_ns, one.end_ns, bytes(one.output), bytes(one.metadata)) == (
            f"o{number}", ns(number / 100), ns(9), str(number).encode(), b'{"u":1}',
        )  # fmt: skip
    assert len(json.loads(bytes(found[ROOT].trace.metadata))) == 10


async def test_what_a_store_refuses_costs_itself_only(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the backend will never take one record, the others of the batch are kept and it is answered for."""
    write = api.backend.write

    async def refuse(batch: Batch) -> Any:
        if any(isinstance(one, Span) and one.span_id == "bad" for one in batch):
            raise BackendRejected("this one never")
        return await write(batch)

    monkeypatch.setattr(api.backend, "write", refuse)
    events = [event("span-create", id=name, traceId=T, startTime=at(0), event_id=name) for name in ("a", "bad", "b")]
    answer = await send(api, *events, successes=2)
    assert [(error["id"], error["status"]) for error in answer["errors"]] == [("bad", 400)]
    assert "this one never" in answer["errors"][0]["error"]
    assert set(await tree(api)) == {"a", "b", ROOT}


async def test_what_cannot_be_written_now_may_be_sent_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the backend cannot write, the whole batch is answered with 503."""
    batch = {"batch": [event("span-create", id="a", traceId=T, startTime=at(0))]}

    async def fail(_: object) -> None:
        raise BackendUnavailable("the disk is away")

    with monkeypatch.context() as broken:
        broken.setattr(api.backend, "write", fail)
        assert (await api.p.post("/ingestion", json=batch)).status_code == 503
    assert await tree(api) == {}
    await api.post("/ingestion", batch, 207)
    assert set(await tree(api)) == {"a", ROOT}


async def test_how_it_is_read_again(api: Api) -> None:
    """The list of now shows the span that stands for the trace; those of before show a trace without it."""
    await send(api, event("trace-create", id=T, name="n"), event("span-create", id="a", traceId=T, startTime=at(1)))
    new = (await api.get("/v2/observations", traceId=T))["data"]
    assert {(one["id"], one["parentObservationId"]) for one in new} == {(ROOT, None), ("a", ROOT)}
    old = await api.get(f"/traces/{T}")
    assert [(one["id"], one["parentObservationId"]) for one in old["observations"]] == [("a", None)]
    listed = await api.get("/observations", traceId=T)
    assert ([one["id"] for one in listed["data"]], listed["meta"]["totalItems"]) == (["a"], 1)
    assert [one["id"] for one in (await api.get("/observations"))["data"]] == ["a"]
    assert (await api.p.get(f"/observations/{ROOT}")).status_code == 404


async def test_many_observations_of_one_trace(api: Api) -> None:
    """More of a trace than one page holds is told what is said of it later."""
    batch = [event("span-create", id=f"o{number}", traceId=T, startTime=at(number)) for number in range(1100)]
    await send(api, *batch)
    await send(api, event("trace-create", 2000, id=T, userId="u"))
    assert {one.trace.user_id for one in (await tree(api)).values()} == {"u"}
