"""The bytes that we write as protobuf, held against the classes of ``opentelemetry-proto``; and letting others run."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.drawn_records import drawn
from tracecore.records import Generation, Span
from tracecore_http.compressing import yielding
from tracecore_http.conventions import LANGFUSE, OTHERS, Dialect
from tracecore_http.otlp_protobuf import encode_export, rejected_in
from tracecore_http.resources import grouped
from tracecore_http.spans import Attributes, ExportedSpan, Value, exported

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ids = {"trace_id": "0a" * 16, "span_id": "0b" * 8, "status": "error"}
observations = st.lists(st.one_of(drawn(Span, texts, **ids), drawn(Generation, texts, **ids)), min_size=1, max_size=3)


def _value(value: Value) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))


def _attributes(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes]


def _span(span: ExportedSpan) -> OtlpSpan:
    """Return a span as the classes have it."""
    found = OtlpSpan(
        trace_id=bytes.fromhex(span.trace_id), span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id or ""), name=span.name,
        kind=OtlpSpan.SpanKind.ValueType(span.kind), start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns, attributes=_attributes(span.attributes),
    )  # fmt: skip
    for event in span.events:
        attributes = _attributes(event.attributes)
        found.events.append(OtlpSpan.Event(time_unix_nano=event.time_ns, name=event.name, attributes=attributes))
    if span.status:
        found.status.CopyFrom(Status(code=Status.StatusCode.ValueType(span.status), message=span.message))
    return found


@given(observations, st.sampled_from([OTHERS, LANGFUSE]))
def test_what_is_written_is_what_the_classes_would_say(batch: list[Any], dialect: Dialect) -> None:
    """Every field of every span, resource and scope is read back equal to one that the classes were given."""
    export = grouped(batch, dialect, [("public_key", "pk")])
    request = ExportTraceServiceRequest.FromString(b"".join(encode_export(export)))
    found = [(list(r.resource.attributes), list(s.spans)) for r in request.resource_spans for s in r.scope_spans]
    assert found == [
        (_attributes(attributes), [_span(exported(record, dialect)) for record in records])
        for attributes, records in export.slices()
    ]
    scope = request.resource_spans[0].scope_spans[0].scope
    assert (scope.name, scope.version) == (dialect.scope_name, export.scope_version)
    assert list(scope.attributes) == _attributes([("public_key", "pk")])


@given(st.integers(-(2**63), 2**63 - 1), texts)
def test_an_answer_is_read_as_the_classes_write_it(rejected: int, message: str) -> None:
    """The count and the reason are found; a count below zero is none."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    assert rejected_in(answer.SerializeToString()) == (max(rejected, 0), message)


@given(st.binary(max_size=40))
def test_any_bytes_may_be_an_answer(body: bytes) -> None:
    """Whatever comes back is a count that is not negative, and a text."""
    rejected, reason = rejected_in(body)
    assert rejected >= 0
    assert reason.encode() is not None


def test_others_run_between_pieces_that_took_a_while() -> None:
    """After work that took half a millisecond others are let in, and the time they take is not counted."""
    times, slept = iter([0, 400_000, 600_000, 9_000_000, 9_100_000]), list[float]()
    assert list(yielding([b"a", b"b", b"c"], clock=lambda: next(times), sleep=slept.append)) == [b"a", b"b", b"c"]
    assert slept == [50e-6]
