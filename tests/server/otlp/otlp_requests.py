"""Requests for tests: spans as short as a test wants to read them, in both encodings, and records as plain objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tracecore.records import Observation, encode_record
from tracecore.server.otlp import Decoded, Destination, decode

__all__ = [
    "INTO", "NOW", "PYTHON", "SPAN_ID", "START", "TRACE_ID", "any_value", "as_json", "both", "one", "pairs", "plain",
    "request", "said", "span",
]  # fmt: skip

NOW = 1_790_000_100_000_000_000
START = 1_790_000_000_123_456_789
SECOND = 1_000_000_000
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
INTO = Destination(project="shop", api_key="pk-lf-1", received_ns=NOW)
PYTHON = {"telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry", "service.name": "shop"}
_ALWAYS = ("record", "project", "trace_id", "span_id", "start_ns", "duration_ns", "received_ns", "provenance")


def any_value(value: Any) -> AnyValue:  # noqa: PLR0911 - one return for each kind of value
    """Return a value as OTLP has it."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    if value is None:
        return AnyValue()
    return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(
    attributes: Mapping[str, Any] | None = None,
    *,
    name: str = "work",
    trace_id: str = TRACE_ID,
    span_id: str = SPAN_ID,
    parent_id: str = "00f067aa0ba902b7",
    start: int = START,
    end: int = START + SECOND,
    code: int = 0,
    message: str = "",
    events: Sequence[tuple[str, Mapping[str, Any]]] = (),
    links: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
    **fields: Any,
) -> OtlpSpan:
    """Return a span of one second, below another one."""
    found = OtlpSpan(
        trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id), parent_span_id=bytes.fromhex(parent_id),
        name=name, start_time_unix_nano=start, end_time_unix_nano=end, attributes=pairs(attributes or {}),
        status=Status(code=Status.StatusCode.ValueType(code), message=message), **fields,
    )  # fmt: skip
    for number, (event, said_of_it) in enumerate(events):
        found.events.append(OtlpSpan.Event(time_unix_nano=start + number, name=event, attributes=pairs(said_of_it)))
    for trace, other, said_of_it in links:
        found.links.append(
            OtlpSpan.Link(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(other), attributes=pairs(said_of_it))
        )
    return found


def request(
    *spans: OtlpSpan,
    scope: str = "",
    version: str = "",
    resource: Mapping[str, Any] | None = None,
    scope_attributes: Mapping[str, Any] | None = None,
) -> ExportTraceServiceRequest:
    """Return a request with spans of one scope."""
    found = ExportTraceServiceRequest()
    of_resource = found.resource_spans.add()
    of_resource.resource.attributes.extend(pairs(resource or {}))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = scope, version
    of_scope.scope.attributes.extend(pairs(scope_attributes or {}))
    of_scope.spans.extend(spans)
    return found


def as_json(message: ExportTraceServiceRequest) -> bytes:
    """Return a request as OTLP/JSON: as protobuf's own JSON, but for ids, which are hexadecimal."""
    found = MessageToDict(message, use_integers_for_enums=True)
    for of_resource, resource in zip(found.get("resourceSpans", []), message.resource_spans, strict=True):
        for of_scope, scope in zip(of_resource.get("scopeSpans", []), resource.scope_spans, strict=True):
            for one_of_them, original in zip(of_scope.get("spans", []), scope.spans, strict=True):
                _with_hex_ids(one_of_them, original)
    return json.dumps(found).encode()


def _with_hex_ids(found: dict[str, Any], original: OtlpSpan) -> None:
    for name, value in (
        ("traceId", original.trace_id), ("spanId", original.span_id), ("parentSpanId", original.parent_span_id),
    ):  # fmt: skip
        if name in found:
            found[name] = value.hex()
    for link, said_of_it in zip(found.get("links", []), original.links, strict=True):
        link.update(traceId=said_of_it.trace_id.hex(), spanId=said_of_it.span_id.hex())


def both(message: ExportTraceServiceRequest, into: Destination = INTO) -> Decoded:
    """Return what a request becomes, which is the same from both encodings."""
    found = decode(message.SerializeToString(), "protobuf", into)
    assert decode(as_json(message), "json", into) == found
    return found


def one(
    attributes: Mapping[str, Any] | None = None, *, given: dict[str, Any] | None = None, **fields: Any
) -> Observation:
    """Return the record of one span; ``given`` says what it is of (:func:`request`)."""
    (found,) = both(request(span(attributes, **fields), **(given or {}))).records
    return found


def plain(record: Observation) -> dict[str, Any]:
    """Return a record as plain objects, without what is not set."""
    found: dict[str, Any] = json.loads(encode_record(record))
    return found


def said(record: Observation) -> dict[str, Any]:
    """Return what a record says of its span, without its ids and times, and without where it came from."""
    found = {name: value for name, value in plain(record).items() if name not in _ALWAYS}
    metadata = found.get("metadata", {})
    for name in ("scope", "resourceAttributes"):
        metadata.pop(name, None)
    if not metadata:
        found.pop("metadata", None)
    return found
