"""Both encodings say the same, whatever is in a request; and any other bytes are refused in one way only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.server.otlp.otlp_requests import INTO, SPAN_ID, START, TRACE_ID, as_json, both, plain, request, span
from tracecore.records import OBSERVATION_TYPES, decode_record, encode_record
from tracecore.server.otlp import Encoding, Malformed, decode
from tracecore.server.otlp.limits import LIMITS, Budget
from tracecore.server.otlp.mapping import FIELDS, GROUP_FIELDS
from tracecore.server.otlp.wire_format import SPAN, reduced
from tracecore.server.problems import Refusal

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), texts, st.binary(max_size=8),
    st.sampled_from(["{}", "[]", "[1", '{"a": 1}', "true", "NaN", "12", "generation", "ERROR", '["a", "b"]']),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
_NAMES = sorted(
    {name for names in FIELDS.values() for name in names if not name.startswith("@") and not name.endswith(".*")}
    | {f"{group.removesuffix('*')}{name}" for group in GROUP_FIELDS for name in ("0.role", "k", "id", "1.a.b")}
)
keys = st.one_of(st.sampled_from(_NAMES), texts)
attributes = st.dictionaries(keys, values, max_size=8)
ids = st.integers(1, 2**63)
spans = st.builds(
    lambda said, number, times, events, code, message, links, name: span(
        said, span_id=f"{number:016x}", start=times[0], end=times[1], events=events, code=code, message=message,
        links=links, name=name,
    ),
    attributes, ids, st.tuples(st.integers(0, 2**64 - 100), st.integers(0, 2**64 - 1)),
    st.lists(
        st.tuples(st.sampled_from(["exception", "gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt",
                                   "gen_ai.client.inference.operation.details", "other"]), attributes), max_size=3,
    ),
    st.integers(0, 2), texts, st.lists(st.tuples(st.just(TRACE_ID), st.just(SPAN_ID), attributes), max_size=1), texts,
)  # fmt: skip
requests = st.builds(
    lambda some, scope, version, resource, said: request(
        *some, scope=scope, version=version, resource=resource, scope_attributes=said
    ),
    st.lists(spans, max_size=3), st.one_of(st.sampled_from(["langfuse-sdk", "ai", "livekit-agents"]), texts),
    st.sampled_from(["", "5.0.4", "3.2.1", "x"]), attributes, attributes,
)  # fmt: skip


@given(requests)
def test_both_encodings_give_equal_records(message: ExportTraceServiceRequest) -> None:
    """One record for every span, the same from protobuf and JSON, and again when it is sent again."""
    decoded = both(message)
    assert len(decoded.records) == sum(len(s.spans) for r in message.resource_spans for s in r.scope_spans)
    for record in decoded.records:
        assert decode_record(encode_record(record)) == record  # every payload is JSON, every field of its type
        assert record.type in OBSERVATION_TYPES
        assert record.duration_ns is None or record.duration_ns >= 0
        assert 0 <= record.start_ns < 2**63
    assert both(message) == decoded


def _small() -> bytes:
    return request(span({"a": "ü", "b": [1, {"k": 2.5}]}, events=[("e", {"x": "y"})])).SerializeToString()


@given(st.binary(max_size=200), st.sampled_from(["protobuf", "json"]))
@example(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":1}]}]}]}', "json")
@example(b"\x0a\x02\x12\x00", "protobuf")
@example(b"\x0b", "protobuf")
def test_any_bytes_are_read_or_malformed(body: bytes, encoding: Encoding) -> None:
    """Nothing else is ever raised."""
    with contextlib.suppress(Malformed):
        decode(body, encoding, INTO)


@given(st.data(), st.sampled_from(["protobuf", "json"]))
def test_a_request_with_a_broken_byte_is_read_or_malformed(data: st.DataObject, encoding: Encoding) -> None:
    """Cut anywhere, or with any byte changed."""
    body = bytearray(_small() if encoding == "protobuf" else as_json(ExportTraceServiceRequest.FromString(_small())))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    for broken in (bytes(body), bytes(body[:at])):
        with contextlib.suppress(Malformed, Refusal):
            decode(broken, encoding, INTO)


@given(spans)
def test_what_is_reduced_says_the_same(one: OtlpSpan) -> None:
    """Taking a span apart by hand changes nothing of one that is within its limits."""
    tiny = Budget(type(LIMITS)(small_bytes=0))
    dropped: dict[str, int] = {}
    smaller = OtlpSpan.FromString(reduced(one.SerializeToString(), SPAN, tiny, dropped))
    whole = _without_compound(one)
    assert _without_compound(smaller) == whole or tiny.cut
    assert not dropped


def _without_compound(one: OtlpSpan) -> bytes:
    """Return a span without values that are no text: a long one of those is replaced by a mark."""
    found = OtlpSpan.FromString(one.SerializeToString())
    for pair in found.attributes:
        if pair.value.WhichOneof("value") != "string_value":
            pair.value.string_value = ""
    for inside in (*found.events, *found.links):
        del inside.attributes[:]
    return found.SerializeToString(deterministic=True)


def test_a_resource_that_is_said_twice_is_one() -> None:
    """As protobuf has it, wherever the pieces stand."""
    first = request(span({}), resource={"service.name": "a"}).SerializeToString()
    second = request(span({}), resource={"x": "y"}).SerializeToString()

    def inside(body: bytes) -> bytes:
        assert body[0] == 0x0A
        return body[2 if body[1] < 0x80 else 3 :]

    joined = inside(first) + inside(second)
    body = b"\x0a" + bytes([len(joined) & 0x7F | 0x80, len(joined) >> 7]) + joined
    expected = both(ExportTraceServiceRequest.FromString(body))
    assert decode(body, "protobuf", INTO) == expected
    assert plain(expected.records[0])["metadata"]["resourceAttributes"] == {"service.name": "a", "x": "y"}


def test_nothing_is_a_request_with_no_spans() -> None:
    """Exporters ask so whether anybody is there."""
    for body, encoding in ((b"", "protobuf"), (b"{}", "json"), (b'{"resourceSpans":null}', "json")):
        assert decode(body, encoding, INTO).records == []


JSON_SPAN: dict[str, Any] = {
    "traceId": TRACE_ID, "spanId": SPAN_ID, "name": "n", "startTimeUnixNano": str(START), "endTimeUnixNano": START + 5,
    "kind": "SPAN_KIND_CLIENT", "flags": 257, "unknownField": {"x": []},
}  # fmt: skip


def _of_json(**fields: Any) -> Any:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{**JSON_SPAN, **fields}]}]}]}
    (record,) = decode(json.dumps(body).encode(), "json", INTO).records
    return record


def test_json_takes_numbers_and_names_in_every_form() -> None:
    """64-bit integers as text or number, enumerations by name or number, null for what is not there."""
    record = _of_json(
        traceId=TRACE_ID.upper(), parentSpanId=None, status={"code": "STATUS_CODE_ERROR", "message": None}, events=None,
        attributes=[
            {"key": "a", "value": {"intValue": "9223372036854775807"}}, {"key": "b", "value": {"intValue": -5}},
            {"key": "c", "value": {"doubleValue": 1}}, {"key": "d", "value": {"doubleValue": "-Infinity"}},
            {"key": "e", "value": {"boolValue": False}}, {"key": "f", "value": {"bytesValue": "AP-_"}},
            {"key": "g", "value": {"arrayValue": {"values": [{"stringValue": "x"}, None, {}]}}},
            {"key": "h", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": 1.0}}]}}},
            {"key": "i", "value": {"intValue": "18446744073709551616"}}, {"key": "j"},
            {"key": "k", "value": {"arrayValue": {}}},
        ],
    )  # fmt: skip
    assert (record.trace_id, record.duration_ns, record.status) == (TRACE_ID, 5, "error")
    assert plain(record)["metadata"]["attributes"] == {
        "a": 2**63 - 1, "b": -5, "c": 1.0, "d": "-Infinity", "e": False,
        "f": {"$bytes": {"base64": "AP+/", "length": 3}}, "g": ["x", None, None], "h": {"k": 1},
        "i": "18446744073709551616", "j": None, "k": [],
    }  # fmt: skip


def test_json_takes_the_names_of_the_proto_files() -> None:
    """``resource_spans`` is ``resourceSpans``; a text that looks like a name is left alone."""
    text = '{"trace_id": "\\"span_id\\": 1"}'
    body = {"resource_spans": [{"scope_spans": [{"spans": [{
        "trace_id": TRACE_ID, "span_id": SPAN_ID, "parent_span_id": "0b" * 8, "name": "n",
        "start_time_unix_nano": START, "end_time_unix_nano": START, "attributes": [
            {"key": "langfuse.observation.input", "value": {"string_value": text}},
        ],
    }]}]}]}  # fmt: skip
    (record,) = decode(json.dumps(body, indent=1).encode(), "json", INTO).records
    assert (record.parent_id, record.start_ns, bytes(record.input).decode()) == ("0b" * 8, START, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"cut \ud83d"', "cut \\ud83d"), (r'"\ude00 \ud83d\ude00 \\ud83d"', "\\ude00 😀 \\ud83d"),
        (r'"\ud83d\ud83d\ude00"', "\\ud83d😀"), (r'"\\\ud83d"', "\\\\ud83d"),
    ],
)  # fmt: skip
def test_half_a_surrogate_pair_in_json_becomes_visible(text: str, expected: str) -> None:
    """JavaScript cuts texts in the middle of a character; the span is kept, and others with it."""
    one = f'{{"traceId":"{TRACE_ID}","spanId":"{SPAN_ID}","startTimeUnixNano":1,"name":{text}}}'
    body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{one}]}}]}}]}}'
    (record,) = decode(body.encode(), "json", INTO).records
    assert record.name == expected


Broken = Callable[[], bytes]
PROTOBUF: dict[str, tuple[Broken, str]] = {
    "trace id of 15 bytes": (
        lambda: request(span({}, trace_id="0a" * 15)).SerializeToString(), "span 0: its trace id has 15 bytes, not 16",
    ),
    "no trace id": (lambda: request(span({}, trace_id="")).SerializeToString(), "span 0: its trace id has 0 bytes"),
    "second span without id": (
        lambda: request(span({}), span({}, span_id="")).SerializeToString(), "span 1: its span id has 0 bytes, not 8",
    ),
    "zeros": (lambda: request(span({}, span_id="0" * 16)).SerializeToString(), "span 0: its span id is all zeros"),
    "parent": (lambda: request(span({}, parent_id="0a")).SerializeToString(), "its parent's id has 1 bytes, not 8"),
    "cut": (lambda: _small()[:-3], "the protobuf ends in the middle"),
    "no UTF-8": (lambda: _small().replace("ü".encode(), b"\xff\xfe"), "span 0 is no protobuf"),
    "a group": (lambda: b"\x0b\x0c", "wire type 3"),
    "text": (lambda: b"hello, world", "no protobuf"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROTOBUF)
def test_broken_protobuf_is_malformed_and_says_where(name: str) -> None:
    """The whole request is refused, as by Langfuse's server, and the message names the span."""
    make, expected = PROTOBUF[name]
    with pytest.raises(Malformed, match=expected):
        decode(make(), "protobuf", INTO)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"traceId": 5}, r"span 0: Expected `str \| null`, got `int` - at `\$.traceId`"),
        ({"traceId": None}, "span 0: its trace id is missing"),
        ({"traceId": "xyz"}, "span 0: its trace id is 'xyz', not 32 hexadecimal digits"),
        ({"traceId": "0" * 32}, "span 0: its trace id is all zeros"),
        ({"spanId": "0g" * 8}, "span 0: its span id is '0g0g0g0g0g0g0g0g', not 16"),
        ({"parentSpanId": "0a"}, "span 0: its parent's id is '0a'"),
        ({"startTimeUnixNano": "soon"}, "span 0: 'soon' is no time in ns since 1970"),
        ({"endTimeUnixNano": -1}, "span 0: '-1' is no time"),
        ({"endTimeUnixNano": "9" * 50}, "is no time"),
        ({"endTimeUnixNano": 2**64}, "is no time"),
        ({"status": {"code": "ODD"}}, "span 0: 'ODD' is no status code"),
        ({"attributes": [{"key": 1}]}, r"span 0: Expected `str`, got `int` - at `\$.attributes\[0\].key`"),
    ],
)
def test_broken_json_is_malformed_and_says_where(fields: dict[str, Any], expected: str) -> None:
    """As with protobuf."""
    with pytest.raises(Malformed, match=expected):
        _of_json(**fields)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"resourceSpans":{}}', b'{"resourceSpans":[', b"\xff", b"{}x"])
def test_other_json_is_malformed(body: bytes) -> None:
    """It is no request."""
    with pytest.raises(Malformed, match="no ExportTraceServiceRequest"):
        decode(body, "json", INTO)
