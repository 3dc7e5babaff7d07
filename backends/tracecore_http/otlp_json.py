"""OTLP as JSON: names in camel case, ids in hexadecimal, 64-bit integers as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from tracecore_http.resources import Export
from tracecore_http.spans import Attributes, ExportedSpan, Value, exported

__all__ = ["encode_export", "rejected_in"]


_encode: Final = msgspec.json.Encoder().encode


class _KeyValue(Struct, frozen=True, gc=False):
    key: str
    value: dict[str, Any]


class _Event(Struct, frozen=True, rename="camel"):
    time_unix_nano: str
    name: str
    attributes: list[_KeyValue]


class _Span(Struct, frozen=True, rename="camel", omit_defaults=True):
    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[_KeyValue]
    parent_span_id: str = ""
    events: list[_Event] = []
    status: dict[str, Any] = {}


class _Partial(Struct, rename="camel"):
    rejected_spans: int | str = 0
    error_message: str = ""


class _Answer(Struct, rename="camel"):
    partial_success: _Partial | None = None


def encode_export(export: Export) -> Iterator[bytes]:
    """Yield an ``ExportTraceServiceRequest`` piece by piece."""
    dialect = export.dialect
    scope = _encode(
        {
            "name": dialect.scope_name,
            "version": export.scope_version,
            "attributes": _attributes(export.scope_attributes),
        }
    )
    before = b'{"resourceSpans":['
    for attributes, observations in export.slices():
        resource = _encode({"attributes": _attributes(attributes)})
        # One by one: what is let go of at once gives the garbage collector no reason to stop everybody.
        spans = b",".join([_encode(_span(exported(record, dialect))) for record in observations])
        yield b'%b{"resource":%b,"scopeSpans":[{"scope":%b,"spans":[%b]}]}' % (before, resource, scope, spans)
        before = b","
    yield b"]}" if before == b"," else before + b"]}"


def rejected_in(body: bytes) -> tuple[int, str]:
    """Return how many spans an ``ExportTraceServiceResponse`` rejects, and why: 0 where it cannot be read."""
    try:
        partial = msgspec.json.decode(body, type=_Answer).partial_success or _Partial()
        return int(partial.rejected_spans), partial.error_message
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return 0, ""


def _span(span: ExportedSpan) -> _Span:
    return _Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id or "",
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=str(span.start_ns),
        end_time_unix_nano=str(span.end_ns),
        attributes=_attributes(span.attributes),
        events=[_Event(str(event.time_ns), event.name, _attributes(event.attributes)) for event in span.events],
        status={"code": span.status, "message": span.message} if span.status else {},
    )


def _attributes(attributes: Attributes) -> list[_KeyValue]:
    return [_KeyValue(key, _value(value)) for key, value in attributes]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [{"stringValue": item} for item in value]}}
