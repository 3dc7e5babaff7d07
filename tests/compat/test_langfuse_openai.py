"""Calls of the OpenAI client through the Langfuse drop-in are generations with model, usage, messages and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server

ANSWER = "Grüße aus 世界"
MODEL = "gpt-4o-mini-2024-07-18"


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_openai", server)


def call_of(told: Told, case: str, name: str) -> dict[str, Any]:
    """Return the one observation of a call below the root."""
    [call] = [one for one in told[case]["typed"] if one["name"] == name]
    return call


def assert_used(call: dict[str, Any]) -> None:
    """Assert that usage is in disjoint buckets that add up to what OpenAI said: 19 in, 4 of them cached; 7 out."""
    usage = call["usageDetails"]
    inputs = sum(count for key, count in usage.items() if "input" in key)
    outputs = sum(count for key, count in usage.items() if "output" in key)
    assert (inputs, outputs, usage["total"]) == (19, 7, 26), usage


@pytest.mark.parametrize(("case", "name"), [("chat", "greeting"), ("streamed", "streamed"), ("responses", "response")])
def test_calls(told: Told, case: str, name: str) -> None:
    """A call has the model that answered, what it used, what that cost, and both messages."""
    call = call_of(told, case, name)
    assert told[case]["answer"] == ANSWER
    assert (call["type"], call["model"], call["level"]) == ("GENERATION", MODEL, "DEFAULT")
    assert_used(call)
    assert call["totalCost"] > 0
    assert "世界" in call["input"]
    assert ANSWER in call["output"]


def test_parameters(told: Told) -> None:
    """Model parameters and metadata of the call are kept; a stream has a time to its first token."""
    call = call_of(told, "chat", "greeting")
    parameters = call["modelParameters"]
    parameters = json.loads(parameters) if isinstance(parameters, str) else parameters
    assert parameters["temperature"] == 0.3
    assert call["metadata"]["k"] == "v"
    assert call_of(told, "streamed", "streamed")["timeToFirstToken"] is not None


def test_tools(told: Told) -> None:
    """The call of a tool is in the output."""
    call = call_of(told, "awaited", "with a tool")
    assert json.loads(call["output"])["tool_calls"][0]["function"]["name"] == "weather"
    assert_used(call)


def test_embeddings(told: Told) -> None:
    """An embedding is one, with its tokens."""
    call = call_of(told, "embeddings", "embedded")
    assert (call["type"], call["model"]) == ("EMBEDDING", "text-embedding-3-small")
    assert call["usageDetails"]["input"] == 5


def test_failed(told: Told) -> None:
    """A call that fails is an error with its message, and costs nothing."""
    call = call_of(told, "failed", "refused")
    assert told["failed"]["raised"] == "NotFoundError"
    assert call["level"] == "ERROR"
    assert "no-such-model" in call["statusMessage"]
    assert call["totalCost"] in {0, None}
