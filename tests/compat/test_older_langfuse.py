"""Programs with a Langfuse SDK of before OpenTelemetry send batches of events, and their traces are there too.

First with the SDK 2 itself, then with bodies as it sends them (``langfuse/client.py`` of its wheel), where a test needs
what the SDK does not do: to say wrong things, and to say things twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.compat.programs import GENERATIONS, Told, tell_python
from tests.compat.serving import Server

BEGAN = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)


def event(kind: str, after_ms: int = 0, **body: Any) -> dict[str, Any]:
    """Return an event as the SDK makes it."""
    moment = (BEGAN + timedelta(milliseconds=after_ms)).isoformat().replace("+00:00", "Z")
    return {"id": str(uuid4()), "type": kind, "timestamp": moment, "body": body, "metadata": None}


def at(after_ms: int) -> str:
    """Return a moment as text."""
    return (BEGAN + timedelta(milliseconds=after_ms)).isoformat()


def batch_of(trace: str) -> list[dict[str, Any]]:
    """Return a whole trace: made, added to, and scored."""
    call = f"{trace}-call"
    return [
        event(
            "trace-create", id=trace, timestamp=at(0), name="an old trace", userId="user-o", sessionId="session-o",
            input={"q": "世"}, metadata={"k": "v"}, tags=["old"], release="r1", version="v1", environment="old-env",
            public=False,
        ),
        event(
            "span-create", id=f"{trace}-span", traceId=trace, name="a span", startTime=at(1), input={"x": 1},
            level="WARNING", statusMessage="slow", environment="old-env",
        ),
        event("span-update", 1, id=f"{trace}-span", traceId=trace, endTime=at(50), output={"y": 2}),
        event(
            "generation-create", id=call, traceId=trace, parentObservationId=f"{trace}-span", name="a call",
            startTime=at(2), model="gpt-4o-mini", modelParameters={"temperature": 0.1}, input=[{"role": "user"}],
            environment="old-env",
        ),
        event(
            "generation-update", 2, id=call, traceId=trace, endTime=at(40), completionStartTime=at(12), output="done",
            usage={"input": 10, "output": 5, "total": 15, "unit": "TOKENS"},
        ),
        event("event-create", id=f"{trace}-event", traceId=trace, name="an event", startTime=at(3)),
        event("score-create", id=f"{trace}-score", traceId=trace, name="an old score", value=0.5, dataType="NUMERIC"),
        event("trace-create", 3, id=trace, output={"a": "later"}, timestamp=at(0)),
    ]  # fmt: skip


def send(server: Server, batch: list[Any]) -> dict[str, Any]:
    """Send a batch; the answer has to be 207."""
    metadata = {"batch_size": len(batch), "sdk_name": "python", "sdk_version": "2.60.0", "public_key": "pk-lf-compat"}
    answer = server.ask("POST", "/ingestion", json={"batch": batch, "metadata": metadata})
    assert answer.status_code == 207, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_older", server, GENERATIONS[2])


def test_the_older_sdk_traces(told: Told, server: Server) -> None:
    """What the SDK 2 makes step by step is there as one trace, and its own client reads it."""
    saw = told["traced"]
    spans = server.by_name(saw["trace_id"])
    assert {name: one["type"] for name, one in spans.items() if one["type"] != "SPAN"} == {
        "a call": "GENERATION", "an event": "EVENT",
    }  # fmt: skip
    call = spans["a call"]
    assert (call["model"], call["parentObservationId"]) == ("gpt-4o-mini", spans["a span"]["id"])
    assert (call["usageDetails"]["input"], call["usageDetails"]["output"], call["output"]) == (10, 5, "grüßt 世")
    assert call["totalCost"] > 0
    assert {(one["userId"], one["sessionId"]) for one in spans.values()} == {("user-2", "session-2")}
    assert (saw["trace"]["name"], saw["trace"]["input"], saw["trace"]["output"]) == ("v2 trace", {"q": "世"}, "done")
    assert {one["name"] for one in saw["trace"]["observations"]} == {"a span", "a call", "an event"}
    assert {(one["name"], one["value"]) for one in saw["trace"]["scores"]} == {("good", 0.5)}
    assert [one["id"] for one in saw["traces"]] == [saw["trace_id"]]
    assert [one["name"] for one in saw["generations"]] == ["a call"]
    assert "session-2" in [one["id"] for one in saw["sessions"]]


def test_the_older_decorator(told: Told, server: Server) -> None:
    """The decorator of the SDK 2 makes a trace with its spans, an error among them."""
    saw = told["decorated"]
    spans = server.by_name(saw["trace_id"])
    assert {"inner", "failing"} <= set(spans)
    assert (spans["failing"]["level"], spans["failing"]["statusMessage"]) == ("ERROR", "no such thing")
    assert spans["inner"]["level"] == "DEFAULT"


def test_the_older_prompts(told: Told, server: Server) -> None:
    """Texts and chats are made, read, labelled and linked to what was made with them as they were then."""
    saw = told["prompts"]
    assert (saw["compiled"], saw["version"], saw["labels"]) == ("Hello Ada", 1, ["latest", "production"])
    [call] = [one for one in server.observations(saw["trace_id"]) if one["name"] == "linked call"]
    assert (call["promptName"], call["promptVersion"]) == ("older", 1)
    assert [message["content"] for message in saw["chat"]] == ["y"]
    assert (saw["moved"], saw["one"], saw["latest"]) == ([2, ["latest", "production"]], [], {"a": 1})
    assert saw["fallback"] == [True, "Hello Ada"]


def test_the_older_datasets(told: Told) -> None:
    """Runs over a dataset whose items are linked one by one work as they did."""
    saw = told["dataset_run"]
    assert saw["items"] == ["old-1", "old-2"]
    assert saw["run"]["name"] == "run 1"
    assert sorted(one["datasetItemId"] for one in saw["run"]["datasetRunItems"]) == ["old-1", "old-2"]
    assert [one["name"] for one in saw["runs"]] == ["run 1"]


def test_a_whole_trace(server: Server) -> None:
    """Created and updated apart, everything is put together; each event is answered for."""
    trace = uuid4().hex
    batch = batch_of(trace)
    told = send(server, batch)
    assert told["errors"] == []
    assert [one["id"] for one in told["successes"]] == [one["id"] for one in batch]
    assert {one["status"] for one in told["successes"]} == {201}
    spans = {one["name"]: one for one in server.observations(trace)}
    span, call = spans["a span"], spans["a call"]
    assert (span["level"], span["statusMessage"], span["latency"]) == ("WARNING", "slow", pytest.approx(0.049))
    assert (call["type"], call["model"], call["parentObservationId"]) == ("GENERATION", "gpt-4o-mini", span["id"])
    assert (call["usageDetails"]["input"], call["usageDetails"]["output"]) == (10, 5)
    assert call["output"] == "done"
    assert call["timeToFirstToken"] == pytest.approx(0.010)
    assert spans["an event"]["type"] == "EVENT"
    assert {one["sessionId"] for one in spans.values()} == {"session-o"}
    assert server.scores(traceId=trace)["an old score"]["value"] == 0.5


def test_the_older_routes_read_it(server: Server) -> None:
    """Traces, observations, sessions and scores are read as an older SDK reads them."""
    trace = uuid4().hex
    send(server, batch_of(trace))
    got = server.get(f"/traces/{trace}")
    assert (got["name"], got["userId"], got["sessionId"], got["tags"]) == (
        "an old trace", "user-o", "session-o", ["old"],
    )  # fmt: skip
    assert (got["input"], got["output"]) == ({"q": "世"}, {"a": "later"})
    assert {one["name"] for one in got["observations"]} >= {"a span", "a call", "an event"}
    assert [one["name"] for one in got["scores"]] == ["an old score"]
    listed = server.get("/traces", userId="user-o", limit=10)
    assert trace in [one["id"] for one in listed["data"]]
    assert listed["meta"]["page"] == 1
    call = server.get(f"/observations/{trace}-call")
    assert (call["traceId"], call["type"], call["usage"]["input"]) == (trace, "GENERATION", 10)
    assert server.get("/observations", traceId=trace, type="EVENT")["meta"]["totalItems"] == 1
    assert trace in [one["id"] for one in server.get("/sessions/session-o")["traces"]]
    assert "session-o" in [one["id"] for one in server.get("/sessions")["data"]]


def test_one_bad_event_costs_itself_only(server: Server) -> None:
    """What cannot be an event is answered with its reason, and the others of the batch are stored."""
    trace = uuid4().hex
    bad = event("span-create", traceId=trace, name="no id and no sense", startTime="not a time")
    told = send(server, [*batch_of(trace), bad, event("no-such-type", id="x")])
    assert {one["id"] for one in told["errors"]} >= {bad["id"]}
    assert all(one["status"] == 400 and one["message"] for one in told["errors"])
    assert len(told["successes"]) == len(batch_of(trace))
    assert "a call" in {one["name"] for one in server.observations(trace)}


def test_sent_twice_is_stored_once(server: Server) -> None:
    """A batch that is sent again, because nobody saw the answer, changes nothing."""
    trace = uuid4().hex
    batch = batch_of(trace)
    send(server, batch)
    before = server.observations(trace)
    send(server, batch)
    after = server.observations(trace)
    assert [(one["id"], one["name"], one["usageDetails"]) for one in after] == [
        (one["id"], one["name"], one["usageDetails"]) for one in before
    ]
