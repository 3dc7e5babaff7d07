"""One span as one record: every field out of the place that the table gives it, what is left in the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tracecore.records import (
    ABSENT,
    GENERATION_TYPES,
    ErrorInfo,
    Event,
    Experiment,
    Generation,
    Level,
    Observation,
    ObservationType,
    Span,
    Status,
    TraceAttributes,
)
from tracecore.server.otlp.kinds import kind_of
from tracecore.server.otlp.mapping import DEBUG_NAMES, EXPERIMENT, FIELDS
from tracecore.server.otlp.messages import input_of, others_of, output_of, take_in
from tracecore.server.otlp.metadata import said_of, with_others
from tracecore.server.otlp.models import model_fields
from tracecore.server.otlp.names import EventNames, LiveKit, OpenTelemetry
from tracecore.server.otlp.origins import Origin
from tracecore.server.otlp.payloads import payload_of, text_of
from tracecore.server.otlp.reading import (
    environment_of,
    flag_of,
    level_of,
    milliseconds_of,
    short_text_of,
    status_of,
    tags_of,
    time_of,
)
from tracecore.server.otlp.received import Destination, Happening, Received
from tracecore.server.otlp.sorting import Sorted
from tracecore.server.otlp.times import times_of
from tracecore.server.otlp.tools import calls_of, definitions_of

__all__ = ["record_of"]

_ERROR: Final = 2
"""``Status.StatusCode.STATUS_CODE_ERROR``."""


def record_of(span: Received, origin: Origin, into: Destination) -> Observation:
    """Return the record of a span."""
    attributes = Sorted(span.attributes)
    if span.events:
        take_in(attributes, span.events)
    kind = kind_of(span, attributes, origin)
    times = times_of(span.start_ns, span.end_ns, into.received_ns)
    failed = span.status == _ERROR
    level = _level(span, attributes, origin)
    app_root = _is_app_root(attributes)
    is_root = span.parent_id is None or app_root
    payload = input_of(attributes, is_root=is_root)
    answer = output_of(attributes, is_root=is_root)
    calls, called = calls_of(attributes, answer)
    error, events = _error(span, failed=failed or level == "ERROR")
    fields: dict[str, Any] = {
        "project": into.project,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "name": attributes.take("name", text_of) if attributes.has("name") else span.name,
        "start_ns": times.start_ns,
        "parent_id": span.parent_id,
        "type": kind,
        "duration_ns": times.duration_ns,
        "status": _status(attributes, failed=failed, running=times.duration_ns is None),
        "level": level,
        "status_message": attributes.take("status_message", text_of) or span.message or None,
        "input": payload,
        "output": answer,
        "error": error,
        "version": attributes.take("version", text_of),
        "app_root": app_root,
        "completion_start_ns": _completion_start(attributes, times.start_ns),
        "tool_definitions": definitions_of(attributes, payload),
        "tool_calls": calls,
        "tool_call_names": called,
        "experiment": _experiment(attributes),
        "provenance": origin.provenance,
        "received_ns": into.received_ns,
    }
    fields["trace"] = _trace(attributes, origin, fields["version"])
    if kind in GENERATION_TYPES:
        fields.update(model_fields(attributes))
    else:
        attributes.drop("prompt_name")  # whatever is propagated: only a generation has a prompt
        attributes.drop("prompt_version")
    said = said_of(attributes, "metadata", origin)
    others = others_of(attributes, events)
    fields["metadata"] = with_others(said, span, origin, attributes.leave(), others, times.wrong)
    return _made(kind, fields)


def _made(kind: ObservationType, fields: dict[str, Any]) -> Observation:
    if kind in GENERATION_TYPES:
        return Generation(**fields)
    if kind != "event":
        return Span(**fields)
    if fields["duration_ns"]:
        fields["duration_ns"] = 0
    return Event(**fields)


def _level(span: Received, attributes: Sorted, origin: Origin) -> Level:
    said = attributes.take("level", level_of) if attributes.has("level") else None
    if said is not None:
        return said
    if span.status == _ERROR:
        return "ERROR"
    return "DEBUG" if origin.scope_name == LiveKit.SCOPE and span.name in DEBUG_NAMES else "DEFAULT"


def _status(attributes: Sorted, *, failed: bool, running: bool) -> Status:
    if running:
        return "running"
    return attributes.take("status", status_of) or ("error" if failed else "ok")


def _is_app_root(attributes: Sorted) -> bool:
    is_first = attributes.take("app_root", flag_of) or False
    return attributes.take("as_root", flag_of) or is_first


def _completion_start(attributes: Sorted, start_ns: int) -> int | None:
    said = attributes.take("completion_start", time_of)
    if said is not None or not attributes.has("first_chunk_ms"):
        return said
    waited = attributes.take("first_chunk_ms", milliseconds_of)
    return None if waited is None else start_ns + waited


def _error(span: Received, *, failed: bool) -> tuple[ErrorInfo | None, Sequence[Happening]]:
    """Return the exception that ended a span, and the other events. One that did not end it is an event like others."""
    if not failed:
        return None, span.events
    for number in range(len(span.events) - 1, -1, -1):
        event = span.events[number]
        if event.name == EventNames.EXCEPTION:
            said = event.attributes
            found = ErrorInfo(
                type=text_of(said.get(OpenTelemetry.EXCEPTION_TYPE)) or "",
                message=text_of(said.get(OpenTelemetry.EXCEPTION_MESSAGE)) or "",
                stack=text_of(said.get(OpenTelemetry.EXCEPTION_STACK)) or "",
            )
            return found, [*span.events[:number], *span.events[number + 1 :]]
    name = text_of(span.attributes.get(OpenTelemetry.ERROR_TYPE))
    return (ErrorInfo(type=name, message=span.message) if name else None), span.events


def _trace(attributes: Sorted, origin: Origin, version: str | None) -> TraceAttributes:
    said = said_of(attributes, "trace_metadata", origin)
    return TraceAttributes(
        name=attributes.take("trace_name", text_of),
        user_id=attributes.take("user", short_text_of),
        session_id=attributes.take("session", short_text_of),
        tags=attributes.take("tags", tags_of) or (),
        metadata=payload_of(said) if said else ABSENT,
        release=attributes.take("release", text_of) or origin.release,
        version=version or origin.service_version,
        environment=_environment(attributes, origin),
        public=attributes.take("public", flag_of),
    )


def _environment(attributes: Sorted, origin: Origin) -> str | None:
    """Return the environment by its names in order: each looked for in the span, then in the resource."""
    key = attributes.key_of("environment")
    rank = len(FIELDS["environment"]) if key is None else FIELDS["environment"].index(key)
    best = min(origin.environments, default=rank)
    if best < rank:
        return origin.environments[best]
    return attributes.take("environment", environment_of)


def _experiment(attributes: Sorted) -> Experiment | None:
    """Return the experiment that a span belongs to; one without an id is none."""
    if "experiment.*" not in attributes.groups:
        return None
    group = attributes.groups["experiment.*"]
    texts = {name: text_of(attributes.value(full)) for full, name in group.items()}
    identity = texts.get("id")
    if identity is None:
        return None
    said = attributes.members("experiment.*")
    payloads = {name: payload_of(value) if value not in (None, "") else ABSENT for name, value in said.items()}
    for full, name in group.items():
        if name not in EXPERIMENT:
            attributes.rest[full] = said[name]
    return Experiment(
        id=identity,
        name=texts.get("name"),
        description=texts.get("description"),
        metadata=payloads.get("metadata", ABSENT),
        dataset_id=texts.get("dataset.id"),
        item_id=texts.get("item.id"),
        item_version=texts.get("item.version"),
        item_expected_output=payloads.get("item.expected_output", ABSENT),
        item_metadata=payloads.get("item.metadata", ABSENT),
        item_root_span_id=texts.get("item.root_observation_id"),
    )
