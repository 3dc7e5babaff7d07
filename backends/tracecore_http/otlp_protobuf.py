"""OTLP as protobuf, through the generated classes of ``opentelemetry-proto``. Imported when a backend is opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tracecore_http.resources import Export
from tracecore_http.resources import ResourceSpans as Resources
from tracecore_http.spans import Attributes, ExportedSpan, Value

__all__ = ["encode_export", "rejected_in"]

_KINDS: Final[dict[int, Span.SpanKind.ValueType]] = {
    int(kind): Span.SpanKind.ValueType(kind) for kind in Span.SpanKind.values()
}
_CODES: Final[dict[int, Status.StatusCode.ValueType]] = {
    int(code): Status.StatusCode.ValueType(code) for code in Status.StatusCode.values()
}


def encode_export(export: Export) -> Iterator[bytes]:
    """Yield an ``ExportTraceServiceRequest`` piece by piece: messages of one kind, one behind the other, are one."""
    attributes = _attributes(export.scope_attributes)
    scope = InstrumentationScope(name=export.dialect.scope_name, version=export.scope_version, attributes=attributes)
    for resources in export.slices():
        found = [_resource_spans(resource, scope) for resource in resources]
        yield ExportTraceServiceRequest(resource_spans=found).SerializeToString()


def rejected_in(body: bytes) -> tuple[int, str]:
    """Return how many spans an ``ExportTraceServiceResponse`` rejects, and why: 0 where it cannot be read."""
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except Exception:  # noqa: BLE001 - the driver's own DecodeError, which has no types
        return 0, ""
    return partial.rejected_spans, partial.error_message


def _resource_spans(resource: Resources, scope: InstrumentationScope) -> ResourceSpans:
    spans = ScopeSpans(scope=scope, spans=[_span(span) for span in resource.spans])
    return ResourceSpans(resource=Resource(attributes=_attributes(resource.attributes)), scope_spans=[spans])


def _span(span: ExportedSpan) -> Span:
    return Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=b"" if span.parent_id is None else bytes.fromhex(span.parent_id),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        events=[
            Span.Event(time_unix_nano=event.time_ns, name=event.name, attributes=_attributes(event.attributes))
            for event in span.events
        ],
        status=Status(code=_CODES[span.status], message=span.message),
    )


def _attributes(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes]


def _value(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))
