"""The Langfuse SDK for JavaScript of before OpenTelemetry: its batches are stored, and it reads what it sent."""

from __future__ import annotations

import pytest

from tests.compat.programs import Told, tell_js
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_js("older", server)


def test_traced(told: Told, server: Server) -> None:
    """What is made step by step is there as one trace."""
    spans = server.by_name(told["traced"]["trace_id"])
    span, call = spans["a span"], spans["a call"]
    assert (span["level"], span["statusMessage"], spans["an event"]["type"]) == ("WARNING", "slow", "EVENT")
    assert (call["type"], call["model"], call["parentObservationId"]) == ("GENERATION", "gpt-4o-mini", span["id"])
    assert (call["usageDetails"]["input"], call["usageDetails"]["output"], call["output"]) == (10, 5, "grüßt 世")
    assert call["totalCost"] > 0
    assert {(one["userId"], one["sessionId"]) for one in spans.values()} == {("user-oj", "session-oj")}


def test_read(told: Told) -> None:
    """The client finds it in every way that it knows."""
    saw = told["traced"]
    trace = saw["trace"]
    assert (trace["name"], trace["input"], trace["output"]) == ("old JS trace", {"q": "世"}, "done")
    assert {one["name"] for one in trace["observations"]} == {"a span", "a call", "an event"}
    assert [(one["name"], one["value"]) for one in trace["scores"]] == [("good", 0.5)]
    assert (saw["traces"], saw["generations"]) == ([saw["trace_id"]], ["a call"])
    assert saw["observation"]["usage"]["input"] == 10
    assert "session-oj" in saw["sessions"]


def test_prompts_and_datasets(told: Told) -> None:
    """Prompts, and runs over a dataset whose items are linked one by one, work as they did."""
    assert told["prompts"] == {"compiled": "Hello Ada", "version": 1, "config": {"a": 1}, "missing": "missing"}
    saw = told["dataset_run"]
    assert saw["items"] == ["older-js-1"]
    assert (saw["run"]["name"], [one["datasetItemId"] for one in saw["run"]["datasetRunItems"]]) == (
        "run 1", ["older-js-1"],
    )  # fmt: skip
