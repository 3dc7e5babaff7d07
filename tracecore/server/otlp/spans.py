"""One span as one record: every field out of the place that the table gives it, what is left in the metadata."""

from __future__ import annotations

from typing import Any, Final

from tracecore.records import (
    GENERATION_TYPES,
    ErrorInfo,
    Event,
    Generation,
    Observation,
    ObservationType,
    Span,
)
from tracecore.server.otlp.experiments import experiment_of
from tracecore.server.otlp.kinds import kind_of
from tracecore.server.otlp.mapping import DEBUG_NAMES
from tracecore.server.otlp.messages import complete, prepare, take_in
from tracecore.server.otlp.metadata import metadata_of
from tracecore.server.otlp.names import EventNames, LiveKit, OpenTelemetry, Vercel
from tracecore.server.otlp.origins import Origin
from tracecore.server.otlp.payloads import content_of, object_payload_of, text_of
from tracecore.server.otlp.reading import flag_of, level_of, milliseconds_of, status_of, tags_of, time_of, whole_of
from tracecore.server.otlp.received import Destination, Happening, Received
from tracecore.server.otlp.sorting import Readers, Sorted
from tracecore.server.otlp.times import times_of
from tracecore.server.otlp.tools import fill_tools
from tracecore.server.otlp.traces import about_trace
from tracecore.server.otlp.usage import fill_usage

__all__ = ["record_of"]

_ERROR: Final = 2
"""``Status.StatusCode.STATUS_CODE_ERROR``."""
_OF_SPANS: Final = Readers(
    {
        "input": ("input", content_of),
        "output": ("output", content_of),
        "name": ("name", text_of),
        "level": ("level", level_of),
        "status": ("status", status_of),
        "status_message": ("status_message", text_of),
        "version": ("version", text_of),
        "completion_start": ("completion_start_ns", time_of),
        "first_chunk_ms": ("first_chunk_ns", milliseconds_of),
        "app_root": ("app_root", flag_of),
        "as_root": ("as_root", flag_of),
        "tool_calls": ("tool_calls", content_of),
        "tool_call_names": ("tool_call_names", tags_of),
    }
)
_OF_GENERATIONS: Final = Readers(
    {
        **_OF_SPANS.by_field,
        "model": ("model", text_of),
        "parameters": ("model_parameters", object_payload_of),
        "prompt_name": ("prompt_name", text_of),
        "prompt_version": ("prompt_version", whole_of),
    }
)


def record_of(span: Received, origin: Origin, into: Destination) -> Observation:
    """Return the record of a span."""
    attributes = Sorted(span.attributes)
    if span.events:
        take_in(attributes, span.events)
    prepare(attributes)
    kind = kind_of(span, attributes, origin)
    times = times_of(span.start_ns, span.end_ns, into.received_ns)
    fields = _first(span, kind, times, origin, into)
    name_key, *keys = attributes.key_of("name"), attributes.key_of("input"), attributes.key_of("output")
    attributes.spread(_OF_GENERATIONS if kind in GENERATION_TYPES else _OF_SPANS, fields)
    _compose(fields, span, name_key)
    complete(fields, attributes, keys, is_root=span.parent_id is None or "app_root" in fields)
    fill_tools(fields, attributes)
    if kind in GENERATION_TYPES:
        fill_usage(fields, attributes)
    else:
        attributes.drop("prompt_name")  # whatever is propagated: only a generation has a prompt
        attributes.drop("prompt_version")
    if "experiment.*" in attributes.groups:
        fields["experiment"] = experiment_of(attributes)
    events = _fill_status(fields, span, origin)
    if (about := about_trace(fields.get("version"), attributes, origin)) is not None:
        fields["trace"] = about
    fields["metadata"] = metadata_of(span, attributes, origin, name=fields["name"], events=events, wrong=times[2])
    return _made(kind, fields)


def _first(
    span: Received, kind: ObservationType, times: tuple[int, int | None, str | None], origin: Origin, into: Destination
) -> dict[str, Any]:
    """Return the fields that every record has."""
    return {
        "project": into.project, "trace_id": span.trace_id, "span_id": span.span_id, "parent_id": span.parent_id,
        "name": span.name, "type": kind, "start_ns": times[0], "duration_ns": times[1],
        "provenance": origin.provenance, "received_ns": into.received_ns,
    }  # fmt: skip


def _compose(fields: dict[str, Any], span: Received, name_key: str | None) -> None:
    """Complete what is made of several attributes: a name, the time of the first chunk, being a root."""
    if name_key == Vercel.OPERATION and (function := text_of(span.attributes.get(Vercel.FUNCTION))) is not None:
        fields["name"] = f"{function}:{fields['name']}"
    if "first_chunk_ns" in fields:
        fields.setdefault("completion_start_ns", fields["start_ns"] + fields.pop("first_chunk_ns"))
    if fields.pop("as_root", False):
        fields["app_root"] = True


def _made(kind: ObservationType, fields: dict[str, Any]) -> Observation:
    if kind in GENERATION_TYPES:
        return Generation(**fields)
    if kind != "event":
        return Span(**fields)
    if fields["duration_ns"]:
        fields["duration_ns"] = 0
    return Event(**fields)


def _fill_status(fields: dict[str, Any], span: Received, origin: Origin) -> list[Happening]:
    """Fill in how a span ended; return the events that say something else."""
    failed = span.status == _ERROR
    if failed:
        fields.setdefault("status", "error")
        fields.setdefault("level", "ERROR")
    elif origin.scope_name == LiveKit.SCOPE and span.name in DEBUG_NAMES:
        fields.setdefault("level", "DEBUG")
    if fields["duration_ns"] is None:
        fields["status"] = "running"
    if span.message:
        fields.setdefault("status_message", span.message)
    if not failed and fields.get("level") != "ERROR":
        return span.events  # an exception that did not end the span is an event like others
    fields["error"], events = _error(span)
    return events


def _error(span: Received) -> tuple[ErrorInfo | None, list[Happening]]:
    """Return the exception that ended a span, the last one, and the other events."""
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
