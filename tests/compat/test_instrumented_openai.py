"""Instrumented OpenAI calls are generations, whichever convention the instrumentation follows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server

ANSWER = "Grüße aus 世界"
MODEL = "gpt-4o-mini-2024-07-18"


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("instrumented_openai", server)


@pytest.fixture(params=["openinference", "genai"])
def traces(request: pytest.FixtureRequest, told: Told) -> dict[str, str]:
    """Return the traces of the calls that one instrumentation saw."""
    found: dict[str, str] = told[request.param]
    return found


def call_of(server: Server, trace_id: str) -> dict[str, Any]:
    """Return the one observation below the root of a trace."""
    [call] = [one for one in server.observations(trace_id) if one["name"] != "program"]
    assert call["parentObservationId"] is not None
    return call


@pytest.mark.parametrize("kind", ["chat", "streamed", "tools"])
def test_calls(traces: dict[str, str], server: Server, kind: str) -> None:
    """A call is a generation with the model that answered, what it used, what that cost, and the question."""
    call = call_of(server, traces[kind])
    assert (call["type"], call["model"], call["level"]) == ("GENERATION", MODEL, "DEFAULT")
    usage = call["usageDetails"]
    inputs = sum(count for key, count in usage.items() if "input" in key)
    outputs = sum(count for key, count in usage.items() if "output" in key)
    assert (inputs, outputs) == (19, 7), usage
    assert call["totalCost"] > 0
    assert "世界" in call["input"]


def test_the_answer_is_the_output(traces: dict[str, str], server: Server) -> None:
    """What the model said is the output, and a tool that it calls is named there."""
    assert ANSWER in call_of(server, traces["chat"])["output"]
    assert ANSWER in call_of(server, traces["streamed"])["output"]
    assert "weather" in call_of(server, traces["tools"])["output"]


def test_parameters(traces: dict[str, str], server: Server) -> None:
    """Parameters of the call are model parameters."""
    assert "0.3" in str(call_of(server, traces["chat"])["modelParameters"])


def test_embeddings(traces: dict[str, str], server: Server) -> None:
    """An embedding is one, with its tokens."""
    call = call_of(server, traces["embedded"])
    assert (call["type"], call["model"]) == ("EMBEDDING", "text-embedding-3-small")
    assert call["usageDetails"]["input"] == 5


def test_failed(traces: dict[str, str], server: Server) -> None:
    """A call that fails is an error with its message."""
    call = call_of(server, traces["failed"])
    assert call["level"] == "ERROR"
    assert "no-such-model" in call["statusMessage"]
