"""What Langfuse's SDKs send, attribute by attribute, and what becomes of it."""

from __future__ import annotations

from typing import Any

from tests.server.otlp.otlp_requests import (
    INTO,
    PYTHON,
    SPAN_ID,
    START,
    TRACE_ID,
    both,
    one,
    plain,
    request,
    said,
    span,
)
from tracecore.records import Event, Generation, Provenance, Span
from tracecore.server.otlp import Destination

SDK: dict[str, Any] = {
    "scope": "langfuse-sdk", "version": "5.0.4", "resource": PYTHON, "scope_attributes": {"public_key": "pk-lf-1"},
}  # fmt: skip


def test_a_generation_of_the_python_sdk_is_mapped_whole() -> None:
    """Every key that version 5 writes fills its field; nothing is left over in the attributes."""
    record = one(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": '[{"role": "user", "content": "Gr\\u00fc\\u00dfe"}]',
            "langfuse.observation.output": "Hallo",
            "langfuse.observation.metadata.customer": '"acme"',
            "langfuse.observation.metadata.attempt": "2",
            "langfuse.observation.metadata.plan": '{"tier":"gold"}',
            "langfuse.observation.level": "WARNING",
            "langfuse.observation.status_message": "slow",
            "langfuse.observation.completion_start_time": '"2026-09-21T14:13:20.373456Z"',
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.model.parameters": '{"temperature": 0.2, "max_tokens": "Infinity"}',
            "langfuse.observation.usage_details": '{"input": 10, "output": 5, "total": 15}',
            "langfuse.observation.cost_details": '{"input": 0.25, "output": 0.5}',
            "langfuse.observation.prompt.name": "greet",
            "langfuse.observation.prompt.version": 3,
            "langfuse.trace.name": "chat",
            "langfuse.trace.tags": ["web", "beta"],
            "langfuse.trace.metadata.team": '"a"',
            "langfuse.trace.public": True,
            "user.id": "user-1",
            "session.id": "session-1",
            "langfuse.version": "1.2",
            "langfuse.environment": "staging",
            "langfuse.release": "r1",
            "langfuse.internal.is_app_root": True,
        },
        given=SDK, name="llm",
    )  # fmt: skip
    assert type(record) is Generation
    assert said(record) == {
        "name": "llm",
        "parent_id": "00f067aa0ba902b7",
        "type": "generation",
        "input": [{"role": "user", "content": "Grüße"}],
        "output": "Hallo",
        "metadata": {"customer": "acme", "attempt": 2, "plan": {"tier": "gold"}},
        "level": "WARNING",
        "status_message": "slow",
        "completion_start_ns": 1_790_000_000_373_456_000,
        "model": "gpt-4o",
        "model_parameters": {"temperature": 0.2, "max_tokens": "Infinity"},
        "usage_details": {"input": 10, "output": 5, "total": 15},
        "cost_details": {"input": 0.25, "output": 0.5},
        "prompt_name": "greet",
        "prompt_version": 3,
        "version": "1.2",
        "app_root": True,
        "trace": {
            "name": "chat", "user_id": "user-1", "session_id": "session-1", "tags": ["web", "beta"],
            "metadata": {"team": "a"}, "release": "r1", "version": "1.2", "environment": "staging", "public": True,
        },
    }  # fmt: skip
    assert (record.trace_id, record.span_id, record.start_ns, record.duration_ns) == (
        TRACE_ID, SPAN_ID, START, 1_000_000_000,
    )  # fmt: skip


def test_resource_and_scope_are_in_the_metadata_and_in_the_provenance() -> None:
    """As on Langfuse's server: ``resourceAttributes`` and ``scope``; headers say which SDK it is."""
    into = Destination(project="p", api_key="pk", received_ns=1, sdk_name="python", sdk_version="5.0.4")
    resource = {**PYTHON, "service.version": "7", "service.instance.id": "i", "count": 2}
    (record,) = both(request(span({}), **{**SDK, "resource": resource}), into).records
    assert plain(record)["metadata"] == {
        "resourceAttributes": resource,
        "scope": {"name": "langfuse-sdk", "version": "5.0.4", "attributes": {"public_key": "pk-lf-1"}},
    }
    assert record.provenance == Provenance(
        "otel", "pk", "python", "5.0.4", "python", "shop", "7", "langfuse-sdk", "5.0.4", "i"
    )
    assert (record.project, record.received_ns, record.trace.version) == ("p", 1, "7")


def test_the_first_names_the_sdk_of_the_exporter_unless_a_header_does() -> None:
    """Without Langfuse's headers the SDK is OpenTelemetry's."""
    record = one({}, given={"resource": {**PYTHON, "telemetry.sdk.version": "1.45"}})
    assert record.provenance is not None
    assert (record.provenance.sdk_name, record.provenance.sdk_version) == ("opentelemetry", "1.45")


def test_values_of_metadata_are_json_only_since_version_5_for_python() -> None:
    """Older versions, and the SDK for JavaScript, write a text as it is: then only an object or an array is JSON."""
    attributes = {
        "langfuse.observation.metadata.text": '"quoted"', "langfuse.observation.metadata.number": "42",
        "langfuse.observation.metadata.plain": "acme", "langfuse.observation.metadata.list": "[1]",
        "langfuse.observation.metadata.whole": 7, "langfuse.observation.metadata.nested.key": "x",
    }  # fmt: skip
    others = {"plain": "acme", "list": [1], "whole": 7, "nested.key": "x"}
    assert said(one(attributes, given=SDK))["metadata"] == {"text": "quoted", "number": 42, **others}
    as_text = {"text": '"quoted"', "number": "42", **others}
    assert said(one(attributes, given={**SDK, "version": "4.9.1"}))["metadata"] == as_text
    javascript = {**PYTHON, "telemetry.sdk.language": "nodejs"}
    assert said(one(attributes, given={**SDK, "resource": javascript}))["metadata"] == as_text
    assert said(one(attributes, given={**SDK, "scope": "mine"}))["metadata"] == as_text


def test_metadata_that_is_one_value() -> None:
    """An object is the metadata, whose single keys win over it; anything else is kept under ``value``."""
    whole = {"langfuse.observation.metadata": '{"a": 1, "b": 2}', "langfuse.observation.metadata.b": "3"}
    assert said(one(whole, given=SDK))["metadata"] == {"a": 1, "b": 3}
    assert said(one({"langfuse.observation.metadata": "[1, 2]"}, given=SDK))["metadata"] == {"value": [1, 2]}
    assert said(one({"langfuse.trace.metadata": "just so"}, given=SDK))["trace"]["metadata"] == {"value": "just so"}


def test_the_javascript_sdk_writes_texts_as_they_are() -> None:
    """Its spans are those of Python's but for metadata; ids and times come as JSON has them."""
    record = one(
        {
            "langfuse.observation.type": "agent",
            "langfuse.observation.input": '{"question":"why?"}',
            "langfuse.observation.output": "because",
            "langfuse.observation.metadata.customer": "acme",
            "langfuse.trace.tags": ["web"],
            "langfuse.environment": "production",
        },
        given={**SDK, "version": "5.11.0", "resource": {"telemetry.sdk.language": "nodejs", "service.name": "web"}},
        parent_id="",
    )  # fmt: skip
    assert said(record) == {
        "name": "work",
        "type": "agent",
        "input": {"question": "why?"},
        "output": "because",
        "metadata": {"customer": "acme"},
        "trace": {"tags": ["web"], "environment": "production"},
    }


def test_older_names_are_read() -> None:
    """What older SDKs and integrations write fills the same fields."""
    assert said(
        one({
            "langfuse.user.id": "u", "langfuse.session.id": "s", "langfuse.tags": '["a", "b"]',
            "langfuse.public": "true", "langfuse.metadata.k": "v",
        })
    ) == {
        "name": "work", "parent_id": "00f067aa0ba902b7", "metadata": {"k": "v"},
        "trace": {"user_id": "u", "session_id": "s", "tags": ["a", "b"], "public": True},
    }  # fmt: skip
    by_langchain = {
        "langfuse.observation.metadata.langfuse_user_id": "u", "langfuse.trace.metadata.langfuse_session_id": "s",
        "langfuse.observation.metadata.langfuse_tags": "a, b",
    }  # fmt: skip
    assert said(one(by_langchain))["trace"] == {"user_id": "u", "session_id": "s", "tags": ["a", "b"]}


def test_input_and_output_of_the_trace_are_those_of_its_root() -> None:
    """Old SDKs say them of the trace; on another span than the root they are kept as attributes."""
    attributes = {"langfuse.trace.input": '{"q": 1}', "langfuse.trace.output": "answer"}
    root = said(one(attributes, parent_id=""))
    assert (root["input"], root["output"], "metadata" in root) == ({"q": 1}, "answer", False)
    assert said(one(attributes))["metadata"] == {"attributes": attributes}
    both_said = {**attributes, "langfuse.observation.input": "own", "langfuse.observation.output": "own"}
    assert said(one(both_said, parent_id=""))["metadata"] == {"attributes": attributes}


def test_an_empty_input_is_an_empty_text() -> None:
    """It was said, unlike one that is not there."""
    record = one({"langfuse.observation.input": "", "langfuse.observation.output": "{}"})
    assert (bytes(record.input), bytes(record.output)) == (b'""', b"{}")
    assert not one({}).input


def test_only_a_generation_has_a_prompt() -> None:
    """A prompt that is propagated to every span is ignored on others."""
    prompt = {"langfuse.observation.prompt.name": "greet", "langfuse.observation.prompt.version": 3}
    record = one({"langfuse.observation.type": "span", **prompt}, given=SDK)
    assert type(record) is Span
    assert said(record) == {"name": "work", "parent_id": "00f067aa0ba902b7"}
    generation = one({"langfuse.observation.type": "embedding", **prompt}, given=SDK)
    assert isinstance(generation, Generation)
    assert (generation.type, generation.prompt_name, generation.prompt_version) == ("embedding", "greet", 3)
    by_vercel = {
        "langfuse.observation.type": "generation",
        "ai.telemetry.metadata.langfusePrompt": '{"name": "greet", "version": 4, "labels": []}',
    }
    assert said(one(by_vercel))["prompt_version"] == 4


def test_an_event_takes_no_time() -> None:
    """Type ``event`` is an event, whatever its end."""
    record = one({"langfuse.observation.type": "event"}, given=SDK)
    assert type(record) is Event
    assert record.duration_ns == 0


def test_a_span_of_an_old_sdk_that_has_a_model_is_a_generation() -> None:
    """Versions up to 3.3 of the SDK for Python wrote some generations as spans."""
    attributes = {"langfuse.observation.type": "span", "langfuse.observation.model.name": "m"}
    assert one(attributes, given={**SDK, "version": "3.3.0"}).type == "generation"
    kept = one(attributes, given={**SDK, "version": "3.4.0"})
    assert kept.type == "span"
    assert said(kept)["metadata"] == {"attributes": {"langfuse.observation.model.name": "m"}}


def test_an_experiment_of_the_sdk() -> None:
    """Every key fills its field; without an id there is no experiment, and nothing is lost."""
    attributes = {
        "langfuse.experiment.id": "e1", "langfuse.experiment.name": "try", "langfuse.experiment.description": "of it",
        "langfuse.experiment.metadata": '{"m": 1}', "langfuse.experiment.dataset.id": "d1",
        "langfuse.experiment.item.id": "i1", "langfuse.experiment.item.version": "2026-01-01T00:00:00Z",
        "langfuse.experiment.item.expected_output": "yes", "langfuse.experiment.item.metadata": "[1]",
        "langfuse.experiment.item.root_observation_id": SPAN_ID, "langfuse.experiment.new": "x",
    }  # fmt: skip
    found = said(one(attributes, given=SDK))
    assert found["experiment"] == {
        "id": "e1", "name": "try", "description": "of it", "metadata": {"m": 1}, "dataset_id": "d1", "item_id": "i1",
        "item_version": "2026-01-01T00:00:00Z", "item_expected_output": "yes", "item_metadata": [1],
        "item_root_span_id": SPAN_ID,
    }  # fmt: skip
    assert found["metadata"] == {"attributes": {"langfuse.experiment.new": "x"}}
    nameless = {"langfuse.experiment.name": "try"}
    assert said(one(nameless, given=SDK))["metadata"] == {"attributes": nameless}


def test_an_attribute_that_nobody_knows_is_kept() -> None:
    """Also on spans of Langfuse's own scope, and with its type."""
    odd = {"retries": 3, "ratio": 0.5, "flags": ["a", True], "nested": {"k": [1]}, "none": None, "langfuse.new": "x"}
    assert said(one(odd, given=SDK))["metadata"] == {"attributes": odd}


def test_ids_that_are_too_long_are_no_ids() -> None:
    """They are kept as attributes; cut they would be somebody else's."""
    record = one({"user.id": "u" * 201, "session.id": "s" * 200})
    assert (record.trace.user_id, record.trace.session_id) == (None, "s" * 200)
    assert said(record)["metadata"] == {"attributes": {"user.id": "u" * 201}}


def test_the_project_comes_from_the_credential() -> None:
    """What a resource says of a project is metadata."""
    record = one({}, given={"resource": {"tracecore.project": "other", "langfuse.project": "other"}})
    assert record.project == INTO.project
