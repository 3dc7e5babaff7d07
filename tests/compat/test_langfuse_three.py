"""The Langfuse SDK of the third generation, which most programs still have: what it sends, and how it reads."""

from __future__ import annotations

import pytest

from tests.compat.programs import GENERATIONS, Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_three", server, GENERATIONS[3])


def test_traced(told: Told, server: Server) -> None:
    """Spans are there, with what was said of the trace as a whole on the one of which it was said."""
    saw = told["traced"]
    spans = server.by_name(saw["trace_id"])
    assert set(spans) == {"root", "shout", "a call"}
    root, call = spans["root"], spans["a call"]
    assert (root["traceName"], root["userId"], root["sessionId"]) == ("v3 trace", "user-3", "session-3")
    assert {(one["environment"], one["release"]) for one in spans.values()} == {("staging", "r-3")}
    assert (call["model"], call["parentObservationId"], call["output"]) == ("gpt-4o-mini", root["id"], "grüßt 世")
    assert (call["usageDetails"]["input"], call["usageDetails"]["output"]) == (10, 5)
    assert call["totalCost"] > 0
    assert call["metadata"]["plain"] == "text"
    assert (spans["shout"]["type"], spans["shout"]["output"]) == ("TOOL", "X")


def test_the_older_reads(told: Told) -> None:
    """Its client reads the trace with its own input, output and totals, its session, observations and scores."""
    saw = told["traced"]
    trace = saw["trace"]
    assert (trace["name"], trace["userId"], trace["sessionId"], trace["public"]) == (
        "v3 trace", "user-3", "session-3", True,
    )  # fmt: skip
    assert (trace["input"], trace["output"], trace["version"]) == ({"whole": 1}, "done", "v9")
    assert set(trace["tags"]) == {"three", "from inside"}
    assert (trace["metadata"]["k"], trace["metadata"]["inner"]) == ("v", "yes")
    assert trace["totalCost"] > 0
    assert {one["name"] for one in trace["observations"]} == {"root", "shout", "a call"}
    assert {(one["name"], one["value"]) for one in trace["scores"] if one["dataType"] == "NUMERIC"} == {("good", 0.5)}
    assert [one["id"] for one in saw["traces"]["data"]] == [saw["trace_id"]]
    assert [one["id"] for one in saw["session"]["traces"]] == [saw["trace_id"]]
    assert {one["id"] for one in saw["observations"]["data"]} >= {saw["root"], saw["call"]}
    assert (saw["observation"]["model"], saw["observation"]["input"]) == (
        "gpt-4o-mini", [{"role": "user", "content": "hi"}],
    )  # fmt: skip
    scores = {one["name"]: one for one in saw["scores"]["data"]}
    assert (scores["fine"]["stringValue"], scores["fine"]["observationId"]) == ("yes", saw["call"])


def test_dataset_run(told: Told) -> None:
    """Traces that the SDK links to items are the items of a run."""
    run = told["dataset_run"]["run"]
    assert (run["name"], run["description"], run["metadata"]) == ("run 3", "by hand", {"k": "v"})
    assert sorted(one["datasetItemId"] for one in run["datasetRunItems"]) == ["three-1", "three-2"]
    assert [one["name"] for one in told["dataset_run"]["runs"]["data"]] == ["run 3"]


def test_experiment(told: Told) -> None:
    """An experiment is a run of the dataset too, with scores of its items and of itself."""
    saw = told["experiment"]
    assert (saw["outputs"], saw["run"]["id"]) == (["EINS", "ZWEI"], saw["id"])
    assert len(saw["run"]["datasetRunItems"]) == 2
    assert [one["name"] for one in saw["scores"]["data"]] == ["exact"]
    assert [(one["name"], one["value"]) for one in saw["run_scores"]["data"]] == [("count", 2)]


def test_prompts(told: Told, server: Server) -> None:
    """Prompts are made and used, and linked to what was made with them."""
    [call] = server.observations(told["prompts"]["trace_id"])
    assert (call["promptName"], call["promptVersion"], told["prompts"]["compiled"]) == ("three", 1, "Hello Ada")
    saw = told["prompts"]
    assert [message["content"] for message in saw["chat"]] == ["y", "before"]
    assert (saw["moved"], saw["one"], saw["blue"]) == ([2, ["blue", "latest", "production"]], [], {"a": 1})
    assert saw["fallback"] == [True, "Hello Ada"]
