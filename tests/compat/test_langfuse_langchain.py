"""A LangChain run with the Langfuse handler is one tree, with the model's usage and who asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_langchain", server)


def generation_of(saw: dict[str, Any]) -> dict[str, Any]:
    """Return the one call of the model in a run."""
    [call] = [one for one in saw["typed"] if one["type"] == "GENERATION"]
    return call


def test_invoked(told: Told, server: Server) -> None:
    """Chain, prompt, model and tool are below one root, and all of them say whose they are."""
    saw = told["invoked"]
    spans = server.observations(saw["trace_id"])
    [root] = [one for one in spans if one["parentObservationId"] is None]
    assert (root["name"], root["type"], root["isRootObservation"]) == ("the chain", "CHAIN", True)
    assert {one["type"] for one in spans} >= {"CHAIN", "GENERATION", "TOOL"}
    known = {one["id"] for one in spans}
    assert all(one["parentObservationId"] in known for one in spans if one is not root)
    assert {(one["userId"], one["sessionId"], one["traceName"]) for one in spans} == {("user-l", "session-l", "jokes")}
    assert set(root["tags"]) == {"lc", "plain"}
    assert "A JOKE OF 世" in root["output"]


@pytest.mark.parametrize("case", ["invoked", "streamed"])
def test_usage(told: Told, case: str) -> None:
    """What the model reports to have used is there, streamed or not, in buckets that add up."""
    call = generation_of(told[case])
    usage = call["usageDetails"]
    inputs = sum(count for key, count in usage.items() if "input" in key)
    outputs = sum(count for key, count in usage.items() if "output" in key)
    assert (inputs, outputs, usage["total"]) == (12, 5, 17), usage
    assert call["model"] == "fake-chat-1"
    assert "a joke of 世" in call["output"]


def test_failed(told: Told) -> None:
    """A model that raises is an error, and so is the chain around it."""
    saw = told["failed"]
    assert saw["raised"] == "the model exploded"
    call = generation_of(saw)
    assert (call["level"], "exploded" in call["statusMessage"]) == ("ERROR", True)
    assert [one["level"] for one in saw["typed"] if one["parentObservationId"] is None] == ["ERROR"]
