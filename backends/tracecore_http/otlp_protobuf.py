"""OTLP as protobuf, through the generated classes of ``opentelemetry-proto``; they are imported when first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracecore.backend import Receipt
from tracecore_http.resources import Export, ResourceSpans
from tracecore_http.spans import Attributes, ExportedSpan, Value

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["CONTENT_TYPE", "encode_export", "receipt_of"]

CONTENT_TYPE: Final = "application/x-protobuf"


def encode_export(export: Export) -> bytes:
    """Return an ``ExportTraceServiceRequest``."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - see the module docstring
        ExportTraceServiceRequest,
    )
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope  # noqa: PLC0415 - as above

    scope = InstrumentationScope(
        name=export.scope_name, version=export.scope_version, attributes=_attributes(export.scope_attributes)
    )
    return ExportTraceServiceRequest(
        resource_spans=[_resource_spans(resource, scope) for resource in export.resources]
    ).SerializeToString()


def receipt_of(body: bytes) -> Receipt | None:
    """Return what an ``ExportTraceServiceResponse`` says was rejected; one that cannot be read says nothing."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - see the module docstring
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - as above
        ExportTraceServiceResponse,
    )

    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return None
    rejected = int(partial.rejected_spans)
    return Receipt(rejected, str(partial.error_message) or None) if rejected > 0 else None


def _resource_spans(resource: ResourceSpans, scope: Any) -> Any:
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource  # noqa: PLC0415 - as above
    from opentelemetry.proto.trace.v1 import trace_pb2  # noqa: PLC0415 - as above

    return trace_pb2.ResourceSpans(
        resource=Resource(attributes=_attributes(resource.attributes)),
        scope_spans=[trace_pb2.ScopeSpans(scope=scope, spans=[_span(span) for span in resource.spans])],
    )


def _span(span: ExportedSpan) -> Span:
    from opentelemetry.proto.trace.v1 import trace_pb2  # noqa: PLC0415 - as above

    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=b"" if span.parent_id is None else bytes.fromhex(span.parent_id),
        name=span.name,
        kind=span.kind,  # type: ignore[arg-type]  # an enum is an int on the wire
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        events=[
            trace_pb2.Span.Event(
                time_unix_nano=event.time_ns, name=event.name, attributes=_attributes(event.attributes)
            )
            for event in span.events
        ],
        status=trace_pb2.Status(code=span.status, message=span.message),  # type: ignore[arg-type]  # as above
    )


def _attributes(attributes: Attributes) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue  # noqa: PLC0415 - as above

    return [KeyValue(key=key, value=_value(value)) for key, value in attributes]


def _value(value: Value) -> AnyValue:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue  # noqa: PLC0415 - as above

    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))
