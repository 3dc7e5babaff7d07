"""The Langfuse SDK for JavaScript: its traces, scores, prompts, datasets, experiments and media are where it looks."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.compat.programs import Told, tell_js
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_js("langfuse", server)


def test_key(told: Told, server: Server) -> None:
    """The key opens one project, and the SDK can name the page of a trace."""
    [project] = told["key"]["projects"]["data"]
    assert project["name"] == "compat"
    assert told["key"]["url"] == f"{server.url}/project/{project['id']}/traces/{'a' * 32}"


def test_traced(told: Told, server: Server) -> None:
    """Every type of observation arrives with what was said of it, and with what was said once for all."""
    saw = told["traced"]
    spans = server.by_name(saw["trace_id"])
    assert {one["type"] for one in spans.values()} == {
        "SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EMBEDDING", "GUARDRAIL", "EVALUATOR",
    }  # fmt: skip
    for one in spans.values():
        assert (one["userId"], one["sessionId"], one["version"], one["traceName"]) == (
            "user-j", "session-j", "7.2", "a JS trace",
        )  # fmt: skip
        assert (one["environment"], one["release"]) == ("staging", "r-8")
        assert sorted(one["tags"]) == ["b", "js"]
        assert one["metadata"]["tenant"] == "acme"
    root, call = spans["root"], spans["call"]
    assert json.loads(root["input"]) == {"question": saw["scripts"]}
    assert root["output"] == saw["scripts"]
    assert (call["model"], call["promptName"], call["parentObservationId"]) == ("gpt-4o-mini", None, root["id"])
    assert {key: call["usageDetails"][key] for key in ("input", "output", "input_cached_tokens")} == {
        "input": 100, "output": 20, "input_cached_tokens": 30,
    }  # fmt: skip
    assert call["totalCost"] == pytest.approx(0.03)
    assert (spans["an event"]["level"], spans["an event"]["statusMessage"]) == ("WARNING", "look")
    assert spans["inner"]["public"] is True
    assert len(saw["typed"]) == len(spans)


def test_decorated(told: Told, server: Server) -> None:
    """Observed functions have arguments and results, and an exception is an error."""
    spans = server.by_name(told["decorated"]["trace_id"])
    assert (json.loads(spans["adding"]["input"]), spans["adding"]["type"]) == ([1, 2], "TOOL")
    assert spans["adding"]["output"] == "3"
    assert spans["failing"]["level"] == "ERROR"
    assert "no such thing" in spans["failing"]["statusMessage"]


def test_ids(told: Told, server: Server) -> None:
    """A seed is an id, and the child of a parent that is not here is the root that is seen."""
    saw = told["ids"]
    assert saw["trace_id"] == hashlib.sha256(b"order-19").hexdigest()[:32]
    [child] = server.observations(saw["trace_id"])
    assert (child["parentObservationId"], child["isRootObservation"]) == ("00f067aa0ba902b7", True)


def test_scores(told: Told, server: Server) -> None:
    """Scores of every type on every subject are found again."""
    saw = told["scores"]
    assert {one["name"]: (one["dataType"], one["value"]) for one in saw["typed"]} == {
        "number": ("NUMERIC", 0.75), "truth": ("BOOLEAN", True), "class": ("CATEGORICAL", "好"), "span": ("NUMERIC", 3),
    }  # fmt: skip
    scores = server.scores(traceId=saw["trace_id"])
    assert (scores["number"]["comment"], scores["number"]["metadata"]) == ("grüßt", {"judge": 1})
    assert scores["span"]["subject"]["id"] == saw["span"]
    assert [one["subject"]["kind"] for one in saw["session"]] == ["session"]


def test_prompts(told: Told) -> None:
    """Versions, labels, placeholders, fallbacks and links of prompts work."""
    saw = told["prompts"]
    assert (saw["first"]["version"], saw["first"]["config"], saw["compiled"]) == (1, {"model": "m"}, "Hello Ada")
    assert (saw["latest"], saw["moved"], saw["fallback"]) == (2, 2, [True, "Hello x"])
    assert [message["content"] for message in saw["chat"]] == ["You are kind", "before"]
    assert "404" in saw["missing"] or "not found" in saw["missing"].lower()
    [linked] = saw["linked"]
    assert (linked["promptName"], linked["promptVersion"]) == ("js/greeting ü", 1)


def test_experiment(told: Told) -> None:
    """An experiment over a dataset is found with its items and their scores, and with those of the run."""
    saw = told["experiment"]
    assert saw["items"] == ["js-drei", "js-eins", "js-zwei"]
    assert sorted(saw["results"]) == [["DREI", 1], ["EINS", 1], ["ZWEI", 1]]
    assert saw["dataset_run"] == saw["id"]
    [listed] = saw["listed"]["data"]
    assert (listed["id"], listed["itemCount"]) == (saw["id"], 3)
    assert [(one["name"], one["value"]) for one in listed["scores"]] == [("count", 3)]
    found = saw["found"]["data"]
    assert {one["experimentItemId"] for one in found} == set(saw["items"])
    assert {(one["name"], one["value"]) for item in found for one in item["scores"]} == {("exact", 1)}


def test_linked_run(told: Told) -> None:
    """A run that a program links by hand is a run of the dataset."""
    saw = told["linked_run"]
    assert (saw["made"]["datasetRunName"], saw["made"]["traceId"]) == ("a linked run", saw["trace_id"])
    assert [one["name"] for one in saw["runs"]["data"]] == ["a linked run"]
    assert [one["datasetItemId"] for one in saw["run"]["datasetRunItems"]] == ["js-linked"]


def test_media(told: Told) -> None:
    """A picture in a span is uploaded, referred to, and resolved."""
    saw = told["media"]
    assert f"id={saw['id']}" in saw["input"]
    assert saw["media"]["contentType"] == "image/png"
    assert saw["uri"] in saw["resolved"]


def test_older_reads(told: Told) -> None:
    """The reads that the SDK still has for traces and sessions find what was sent by OpenTelemetry."""
    saw = told["older_reads"]
    assert (saw["trace"]["id"], saw["trace"]["userId"]) == (saw["trace_id"], "user-old")
    assert [one["name"] for one in saw["trace"]["observations"]] == ["read the old way"]
    assert [one["id"] for one in saw["traces"]["data"]] == [saw["trace_id"]]
    assert saw["observation"]["input"] == {"q": 1}
    assert [one["id"] for one in saw["session"]["traces"]] == [saw["trace_id"]]
