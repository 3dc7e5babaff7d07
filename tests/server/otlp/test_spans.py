"""How a span ended, what happened in it, and what it belongs to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.otlp.otlp_requests import START, one, plain, said
from tracecore.records import ErrorInfo

EXCEPTION = (
    "exception", {"exception.type": "ValueError", "exception.message": "bad", "exception.stacktrace": "Traceback"},
)  # fmt: skip


def test_a_span_that_failed() -> None:
    """Code 2 is an error, its message the message of the status, its last exception the error."""
    first = ("exception", {"exception.type": "KeyError"})
    record = one({}, code=2, message="no such city", events=[first, ("retry", {"n": 1}), EXCEPTION])
    assert (record.status, record.level, record.status_message) == ("error", "ERROR", "no such city")
    assert record.error == ErrorInfo("ValueError", "bad", "Traceback")
    assert plain(record)["metadata"]["events"] == [
        {"name": "exception", "timeUnixNano": START, "attributes": {"exception.type": "KeyError"}},
        {"name": "retry", "timeUnixNano": START + 1, "attributes": {"n": 1}},
    ]


def test_an_exception_that_did_not_end_a_span_is_an_event() -> None:
    """It was caught: the span is fine."""
    record = one({}, code=1, events=[EXCEPTION])
    assert (record.status, record.level, record.error) == ("ok", "DEFAULT", None)
    assert plain(record)["metadata"]["events"][0]["attributes"]["exception.type"] == "ValueError"


def test_the_type_of_an_error_without_an_exception() -> None:
    """``error.type`` says what kind of error it was."""
    record = one({"error.type": "timeout"}, code=2, message="too slow")
    assert record.error == ErrorInfo("timeout", "too slow")
    assert one({}, code=2).error is None


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("TRACE", "DEBUG"), ("verbose", "DEBUG"), ("debug", "DEBUG"), ("Info", "DEFAULT"), ("LOG", "DEFAULT"),
        ("NOTICE", "DEFAULT"), ("OK", "DEFAULT"), ("SUCCESS", "DEFAULT"), ("warn", "WARNING"), ("WARNING", "WARNING"),
        ("FATAL", "ERROR"), ("CRITICAL", "ERROR"), ("ERROR", "ERROR"), ("odd", "DEFAULT"), (3, "DEFAULT"),
    ],
)  # fmt: skip
def test_levels_and_their_other_names(level: Any, expected: str) -> None:
    """In any case; what is no level is kept as an attribute."""
    record = one({"langfuse.observation.level": level})
    assert record.level == expected
    assert ("metadata" in said(record)) is (level in {"odd", 3})


def test_a_level_that_is_said_comes_before_the_status() -> None:
    """A span can fail with a warning; a level ERROR alone is no failure."""
    record = one({"langfuse.observation.level": "WARNING"}, code=2)
    assert (record.status, record.level) == ("error", "WARNING")
    record = one({"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "own"}, message="other")
    assert (record.status, record.level, record.status_message) == ("ok", "ERROR", "own")


def test_a_span_that_has_not_ended_is_running() -> None:
    """Its end is 0; what it says of its status is not yet true."""
    record = one({"tracecore.status": "cancelled"}, end=0, code=2)
    assert (record.status, record.duration_ns) == ("running", None)


@pytest.mark.parametrize("status", ["cancelled", "abandoned"])
def test_what_opentelemetry_has_no_word_for(status: str) -> None:
    """Tracecore's own exporter says how such a span ended."""
    assert one({"tracecore.status": status}, code=2).status == status
    assert one({"tracecore.status": "odd"}, code=2).status == "error"


@pytest.mark.parametrize(
    ("span", "resource", "expected"),
    [
        ({"langfuse.environment": "Production"}, {}, "production"),
        ({}, {"langfuse.environment": "staging"}, "staging"),
        ({"deployment.environment": "a"}, {"langfuse.environment": "b"}, "b"),
        ({"deployment.environment.name": "a"}, {"deployment.environment": "b"}, "a"),
        ({"deployment.environment": "a"}, {"deployment.environment": "b"}, "a"),
        ({"langfuse.environment": "langfuse-evil"}, {}, "default"),
        ({"langfuse.environment": "has blank"}, {}, "default"),
        ({"langfuse.environment": "x" * 41}, {}, "default"),
        ({"langfuse.environment": "x" * 40}, {}, "x" * 40),
        ({}, {}, None),
    ],
)
def test_environments(span: dict[str, Any], resource: dict[str, Any], expected: str | None) -> None:
    """Name by name, each in the span and then in the resource; one that is not allowed is ``default``."""
    assert one(span, given={"resource": resource}).trace.environment == expected


def test_release_and_version_of_the_resource() -> None:
    """They hold where the span says nothing."""
    resource = {"langfuse.release": "r1", "service.version": "7"}
    assert (one({}, given={"resource": resource}).trace.release, one({}, given={"resource": resource}).version) == (
        "r1", None,
    )  # fmt: skip
    record = one({"langfuse.release": "r2", "langfuse.version": "8"}, given={"resource": resource})
    assert (record.trace.release, record.version, record.trace.version) == ("r2", "8", "8")


@pytest.mark.parametrize("key", ["langfuse.internal.is_app_root", "langfuse.internal.as_root"])
def test_roots_of_an_application(key: str) -> None:
    """Below a foreign parent, whose id is kept although nobody will ever send it."""
    record = one({key: True})
    assert (record.app_root, record.parent_id) == (True, "00f067aa0ba902b7")
    assert not one({key: False}).app_root


def test_a_parent_of_zeros_is_none() -> None:
    """So some exporters write a root."""
    assert one({}, parent_id="0" * 16).parent_id is None
    assert one({}, parent_id="").parent_id is None


def test_links_and_trace_state_are_kept() -> None:
    """They have no field, and are in the metadata."""
    link = ("0a" * 16, "0b" * 8, {"kind": "batch"})
    metadata = plain(one({}, links=[link], trace_state="a=1"))["metadata"]
    assert metadata["links"] == [{"traceId": "0a" * 16, "spanId": "0b" * 8, "attributes": {"kind": "batch"}}]
    assert metadata["otel"] == {"traceState": "a=1"}


def test_what_an_exporter_left_out_is_counted() -> None:
    """Its own counts are added to ours."""
    record = one({}, dropped_attributes_count=3, dropped_links_count=1)
    assert plain(record)["metadata"]["tracecore.dropped"] == {"attributes": 3, "links": 1}


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ('{"tool_calls": [{"id": "1", "type": "function", "function": {"name": "a", "arguments": "{}"}}]}', ["a"]),
        ('{"choices": [{"message": {"tool_calls": [{"id": "1", "function": {"name": "a", "arguments": ""}}]}}]}',
         ["a"]),
        ('[{"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"}]', ["a"]),
        ('{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {}}]}', ["a"]),
        ('{"additional_kwargs": {"tool_calls": [{"id": "1", "function": {"name": "a", "arguments": "x"}}]}}', ["a"]),
        ('[{"toolCallId": "1", "toolName": "a", "args": {"q": 1}}, {"toolCallId": "2", "toolName": "b", "args": 1}]',
         ["a", "b"]),
        (('{"tool_calls": [{"id": "1", "name": "a"}], "content": [{"type": "tool_use", "id": "1", "name": "a",'
         ' "input": 1}]}'), ["a"]),
        ('{"tool_calls": "[{\\"id\\": \\"1\\", \\"name\\": \\"a\\"}]"}', ["a"]),
        ('{"type": "tool-result", "toolName": "a", "args": 1}', None),
        ('{"text": "I have no tool_calls"}', None),
        ("tool_calls", None),
    ],
)  # fmt: skip
def test_calls_of_tools_in_an_output(output: str, names: list[str] | None) -> None:
    """In whatever shape a framework writes them; each once, and what only talks of them is none."""
    found = said(one({"langfuse.observation.output": output}))
    assert found.get("tool_call_names") == names
    assert [call["name"] for call in found.get("tool_calls", [])] == (names or [])


def test_tools_that_a_model_was_offered() -> None:
    """As the standard attribute they stay as they are; in an input they are found."""
    tools = [{"type": "function", "function": {"name": "a"}}]
    found = said(one({"langfuse.observation.input": json.dumps({"tools": tools, "messages": []})}))
    assert found["tool_definitions"] == tools
    own = said(one({"gen_ai.tool.definitions": '{"a": {"description": "d"}}'}))
    assert own["tool_definitions"] == {"a": {"description": "d"}}
