"""What the Langfuse Python SDK traces is there, as it said it, through its own client and through plain HTTP."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_tracing", server)


def named(observations: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return observations by their names."""
    return {one["name"]: one for one in observations}


def test_key(told: Told, server: Server) -> None:
    """The key is good for one project, whose page the SDK can name; everything is healthy."""
    saw = told["key"]
    [project] = saw["projects"]["data"]
    assert saw["ok"] is True
    assert (project["name"], saw["health"]["status"]) == ("compat", "OK")
    assert saw["url"] == f"{server.url}/project/{project['id']}/traces/{saw['trace_id']}"


def test_a_wrong_key_is_unauthorized(told: Told) -> None:
    """A wrong secret and an unknown key get the same answer, that the client knows as its own error."""
    answers = list(told["wrong_key"].values())
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert answers[0][:2] == ["UnauthorizedError", 401]


def test_decorated(told: Told, server: Server) -> None:
    """Functions, coroutines and generators are observed with arguments and results, nested as they called."""
    saw = told["decorated"]
    spans = server.by_name(saw["trace_id"])
    assert named(saw["typed"]).keys() == spans.keys()
    root = spans["decorated"]
    assert {name: spans[name]["parentObservationId"] for name in spans} == {
        "decorated": None, "awaited": root["id"], "plain_function": spans["awaited"]["id"], "letters": root["id"],
        "numbers": root["id"], "silent": root["id"],
    }  # fmt: skip
    assert (spans["awaited"]["type"], spans["plain_function"]["type"]) == ("CHAIN", "SPAN")
    assert json.loads(spans["plain_function"]["input"]) == {"args": ["why"], "kwargs": {"depth": 2}}
    assert json.loads(spans["plain_function"]["output"]) == {"answer": "WHY", "depth": 2}
    assert (spans["awaited"]["output"], spans["letters"]["output"]) == ("why!", "abcd")
    assert json.loads(spans["numbers"]["output"]) == [0, 1, 2]
    assert (spans["silent"]["input"], spans["silent"]["output"]) == (None, None)
    assert [one["name"] for one in spans.values() if one["isRootObservation"]] == ["decorated"]
    assert {one["environment"] for one in spans.values()} == {"staging"}
    assert {one["release"] for one in spans.values()} == {"r-7"}


def test_types(told: Told, server: Server) -> None:
    """Every type of observation arrives as that type, an event with its message."""
    saw = told["types"]
    spans = server.by_name(saw["trace_id"])
    assert {name.split()[-1].upper(): one["type"] for name, one in spans.items()} == {
        kind: kind for kind in (
            "AGENT", "CHAIN", "TOOL", "RETRIEVER", "EMBEDDING", "GUARDRAIL", "EVALUATOR", "SPAN", "EVENT", "GENERATION",
        )
    }  # fmt: skip
    event = spans["an event"]
    assert (event["level"], event["statusMessage"], event["input"]) == ("WARNING", "look", "happened")
    assert event["metadata"]["n"] in {1, "1"}
    assert json.loads(spans["an agent"]["input"]) == {"goal": "help"}
    assert json.loads(spans["a tool"]["output"]) == ["tool"]
    assert {one["type"] for one in saw["typed"]} == {one["type"] for one in spans.values()}


def test_generation(told: Told, server: Server) -> None:
    """A generation keeps model, parameters, usage, cost, times, version and the prompt it was made with."""
    saw = told["generation"]
    spans = server.by_name(saw["trace_id"])
    call = spans["complete"]
    assert (call["type"], call["model"], call["version"]) == ("GENERATION", "gpt-4o-mini", "v2")
    assert (call["promptName"], call["promptVersion"]) == ("compat/linked", 1)
    parameters = call["modelParameters"]
    assert (json.loads(parameters) if isinstance(parameters, str) else parameters) == {"temperature": 0.5, "stop": "x"}
    assert {key: call["usageDetails"][key] for key in ("input", "output", "input_cached_tokens")} == {
        "input": 100, "output": 20, "input_cached_tokens": 30,
    }  # fmt: skip
    assert (call["costDetails"]["input"], call["costDetails"]["output"]) == (0.01, 0.02)
    assert call["totalCost"] == pytest.approx(0.03)
    assert call["timeToFirstToken"] == pytest.approx(1.0, abs=0.5)
    assert json.loads(call["input"]) == [{"role": "user", "content": "hi"}]
    assert json.loads(call["output"]) == {"role": "assistant", "content": "hello"}
    assert call["metadata"]["text"] == "word"
    typed = named(saw["typed"])["complete"]
    assert (typed["promptName"], typed["usageDetails"], typed["totalCost"]) == (
        call["promptName"], call["usageDetails"], call["totalCost"],
    )  # fmt: skip


def test_the_server_prices_what_has_no_cost(told: Told, server: Server) -> None:
    """A call of a known model with usage and no cost has a cost; what the program updated later is there."""
    spans = server.by_name(told["generation"]["trace_id"])
    priced = spans["priced by the server"]
    assert priced["id"] == told["generation"]["priced"]
    assert priced["totalCost"] > 0
    assert priced["totalCost"] == pytest.approx(priced["costDetails"]["input"] + priced["costDetails"]["output"])
    updated = spans["no generation"]
    assert (updated["level"], updated["statusMessage"], updated["promptName"]) == ("DEBUG", "fine", None)
    assert updated["metadata"]["late"] in {True, "true"}


def test_propagated(told: Told, server: Server) -> None:
    """What is said once is on every observation below, and finds them."""
    saw = told["propagated"]
    spans = server.by_name(saw["trace_id"])
    for one in spans.values():
        assert (one["userId"], one["sessionId"], one["version"], one["traceName"], one["environment"]) == (
            "user-1", "session-1", "7.1", "a trace", "blue",
        )  # fmt: skip
        assert one["metadata"]["tenant"] == "acme"
        assert (sorted(one["tags"]), one["metadata"]["more"]) == (["a", "b", "c"], "yes")
    assert spans["inner"]["public"] is True
    for found in ("by_session", "by_user"):
        assert {one["name"] for one in saw[found]["data"]} == {"outer", "inner"}


def test_errors(told: Told, server: Server) -> None:
    """An exception is an error with its message, and so is what the program says is one."""
    spans = server.by_name(told["errors"]["trace_id"])
    assert (spans["failing"]["level"], spans["failing"]["statusMessage"]) == ("ERROR", "no such thing: 42")
    assert (spans["marked"]["level"], spans["marked"]["statusMessage"]) == ("ERROR", "said so")
    assert spans["root"]["level"] == "DEFAULT"


def test_ids(told: Told, server: Server) -> None:
    """A seed is an id, a parent that is not here is kept, and its child is the root that is seen."""
    saw = told["ids"]
    assert saw["trace_id"] == saw["again"] == hashlib.sha256(b"order-17").hexdigest()[:32]
    spans = server.observations(saw["trace_id"])
    child = next(one for one in spans if one["name"] == "remote child")
    assert (child["id"], child["parentObservationId"], child["isRootObservation"]) == (
        saw["child"], "00f067aa0ba902b7", True,
    )  # fmt: skip
    assert [one["parentObservationId"] for one in spans if one["name"] == "plain_function"] == [child["id"]] * 2
    [rootless] = server.observations(saw["rootless"])
    assert rootless["isRootObservation"] is True
    assert [one["id"] for one in saw["typed_rootless"]] == [rootless["id"]]


def test_unusual(told: Told, server: Server) -> None:
    """Any script, emoji, number and time comes back as the SDK sent it, and a name or a key as any text."""
    saw = told["unusual"]
    spans = server.by_name(saw["trace_id"])
    root = spans[saw["scripts"]]
    values = json.loads(root["input"])
    assert values["scripts"] == root["output"] == saw["scripts"]
    assert root["metadata"][saw["scripts"]] == saw["scripts"]
    assert [str(values[key]) for key in ("big", "huge", "negative", "exact")] == [
        str(2**63), str(10**40), str(-(2**63) - 1), str(2**53 + 1),
    ]  # fmt: skip
    assert (values["float"], values["tiny"], values["none"], values["empty"]) == (0.1 + 0.2, 5e-324, None, [{}, [], ""])
    assert (values["nan"], values["infinite"]) == ("NaN", ["Infinity", "-Infinity"])
    assert (values["nul"], values["deep"]) == ("a\x00b", {"a": {"b": {"c": {"d": [[[[1]]]]}}}})
    text = spans["numbers as text"]
    assert (text["input"], text["output"]) == ("123", "null")
    assert named(saw["typed"])[saw["scripts"]]["input"] == root["input"]


def test_large(told: Told) -> None:
    """A text of a million characters comes back to the last; one of ten is cut, and says how long it was."""
    saw = told["large"]
    assert saw["whole"] is True
    cut = json.loads(saw["cut"])["$truncated"]
    assert "10000000" in str(cut)
    assert saw["text"].startswith(cut["head"])
    assert saw["text"].endswith(cut["tail"])


def test_burst(told: Told) -> None:
    """Each of 701 spans that arrive in several requests is found once, page by page."""
    saw = told["burst"]
    assert sorted(saw["names"]) == sorted(["burst", *(f"step {number}" for number in range(700))])
    assert saw["pages"] == 3


def test_asynchronous(told: Told) -> None:
    """The asynchronous client reads the same."""
    [one] = told["asynchronous"]["typed"]["data"]
    assert (one["name"], one["traceId"]) == ("read by await", told["asynchronous"]["trace_id"])


def test_deleted(told: Told, server: Server) -> None:
    """A trace that is deleted is gone."""
    assert told["deleted"]["before"] == 1
    assert told["deleted"]["answer"]["message"]
    assert server.observations(told["deleted"]["trace_id"]) == []
