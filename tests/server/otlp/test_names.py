"""Our copies of names, held against the packages that define them."""

from __future__ import annotations

from typing import Any

import pytest
from openinference.semconv.resource import ResourceAttributes
from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes
from opentelemetry.semconv._incubating.attributes import (
    deployment_attributes,
    error_attributes,
    exception_attributes,
    gen_ai_attributes,
    service_attributes,
    session_attributes,
    telemetry_attributes,
    user_attributes,
)

from tracecore.server.otlp import names
from tracecore.server.otlp.mapping import FIELDS, KNOWN, TYPES, group_of

_OLDER = {"gen_ai.usage.cost"}
"""Names that Langfuse reads and OpenTelemetry never had."""
_GROUPS = {"gen_ai.request", "gen_ai.usage", "gen_ai.prompt", "gen_ai.completion", "llm.token_count"}
"""What names begin with."""


def _named(holder: Any) -> set[str]:
    return {value for name, value in vars(holder).items() if name.isupper() and isinstance(value, str)}


def test_names_of_genai_are_those_of_opentelemetry() -> None:
    """Each is defined there, or the beginning of some that are."""
    defined = _named(gen_ai_attributes)
    for name in _named(names.GenAI) - _OLDER:
        assert name in defined or (name in _GROUPS and any(one.startswith(f"{name}.") for one in defined)), name


def test_general_names_are_those_of_opentelemetry() -> None:
    """User, session, service, environment, SDK, exceptions."""
    modules = (
        deployment_attributes, error_attributes, exception_attributes, service_attributes, session_attributes,
        telemetry_attributes, user_attributes,
    )  # fmt: skip
    defined = set[str]().union(*map(_named, modules))
    assert _named(names.OpenTelemetry) <= defined


def test_names_of_openinference_are_those_of_its_package() -> None:
    """Each is defined there, or the beginning of some that are."""
    defined = _named(SpanAttributes) | _named(ResourceAttributes)
    for name in _named(names.OpenInference):
        assert name in defined or (name in _GROUPS and any(one.startswith(f"{name}.") for one in defined)), name


def test_every_kind_of_openinference_is_known() -> None:
    """But for those that Langfuse has no type for."""
    known = {kind.value for kind in OpenInferenceSpanKindValues if kind.value.lower() in TYPES}
    assert {kind.value for kind in OpenInferenceSpanKindValues} - known <= {"UNKNOWN", "RERANKER", "PROMPT", "DECISION"}


def test_every_count_that_conventions_define_is_read() -> None:
    """Whatever OpenTelemetry and OpenInference call a number of tokens is usage."""
    counts = {name for name in _named(gen_ai_attributes) if name.startswith("gen_ai.usage.")}
    counts |= {name for name in _named(SpanAttributes) if name.startswith("llm.token_count.")}
    for name in counts:
        place = group_of(name)
        assert place is not None
        assert place[0] == "usage.*"


def test_no_name_fills_two_fields() -> None:
    """Each is in the table once: what it means does not depend on who asks."""
    plain = [
        name for field in FIELDS.values() for name in field if not name.startswith("@") and not name.endswith(".*")
    ]
    assert len(plain) == len(set(plain))
    assert set(plain) <= set(KNOWN)
    assert len(plain) >= 60


@pytest.mark.parametrize(
    ("key", "group", "rest"),
    [
        ("langfuse.observation.metadata.a.b", "metadata.*", "a.b"),
        ("langfuse.trace.metadata.k", "trace_metadata.*", "k"),
        ("gen_ai.prompt.0.content", "gen_ai.prompt.*", "0.content"),
        ("gen_ai.request.top_p", "gen_ai.request.*", "top_p"),
        ("ai.settings.maxRetries", "gen_ai.request.*", "maxRetries"),
        ("llm.tools.0.tool.json_schema", "llm.tools.*", "0.tool.json_schema"),
        ("gen_ai.promptly.x", None, None), ("langfuse.observation.metadatas.x", None, None), ("nothing", None, None),
    ],
)  # fmt: skip
def test_groups(key: str, group: str | None, rest: str | None) -> None:
    """A group is known by what a name begins with, up to a dot."""
    found = group_of(key)
    assert (None if found is None else (found[0], found[2])) == (None if group is None else (group, rest))
