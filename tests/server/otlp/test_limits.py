"""Limits: a request that is too large is refused, a span that is too large is cut, and neither takes long or much."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server.otlp.otlp_requests import (
    INTO,
    SPAN_ID,
    TRACE_ID,
    any_value,
    as_json,
    both,
    one,
    pairs,
    plain,
    request,
    span,
)
from tracecore.server.otlp import Encoding, Malformed, decode
from tracecore.server.otlp.limits import LIMITS, OtlpLimits
from tracecore.server.otlp.wire_format import sized_field
from tracecore.server.problems import Refusal

MEGABYTE = 1 << 20


def test_attributes_beyond_the_limit_are_counted() -> None:
    """The first are kept, and the metadata says how many were not; with both encodings."""
    decoded = both(request(span({f"k{number}": number for number in range(LIMITS.attributes + 7)})))
    metadata = plain(decoded.records[0])["metadata"]
    assert len(metadata["attributes"]) == LIMITS.attributes
    assert metadata["tracecore.dropped"] == {"attributes": 7}
    assert decoded.cut == 7


def test_many_long_attributes_are_counted_too() -> None:
    """Also where a span is so long that it is taken apart by hand first."""
    decoded = both(request(span({f"k{number}": "x" * 100 for number in range(LIMITS.attributes + 7)})))
    metadata = plain(decoded.records[0])["metadata"]
    assert len(metadata["attributes"]) == LIMITS.attributes
    assert metadata["tracecore.dropped"] == {"attributes": 7}


def test_events_and_links_beyond_the_limit_are_counted() -> None:
    """As attributes are."""
    events = [("e", {"n": number}) for number in range(LIMITS.events + 1)]
    links = [(TRACE_ID, SPAN_ID, {"n": number}) for number in range(LIMITS.links + 2)]
    metadata = plain(both(request(span({}, events=events, links=links))).records[0])["metadata"]
    assert (len(metadata["events"]), len(metadata["links"])) == (LIMITS.events, LIMITS.links)
    assert metadata["tracecore.dropped"] == {"events": 1, "links": 2}


def test_a_long_text_is_cut_and_says_so() -> None:
    """Head, tail, length and fingerprint; the fields beside it are whole."""
    long = "a" * LIMITS.text + "z"
    decoded = both(request(span({"langfuse.observation.input": long, "langfuse.observation.output": "ok", "x": long})))
    record = plain(decoded.records[0])
    cut = record["input"]["$truncated"]
    assert (cut["length"], cut["head"][:3], cut["tail"][-2:]) == (LIMITS.text + 1, "aaa", "az")
    assert record["output"] == "ok"
    assert record["metadata"]["attributes"]["x"]["$truncated"]["length"] == LIMITS.text + 1
    assert decoded.cut == 2
    fits = "[" + " " * (LIMITS.text - 2) + "]"
    assert plain(one({"langfuse.observation.input": fits}))["input"] == []


def test_a_long_name_and_a_long_message_are_cut() -> None:
    """A sign says that there was more."""
    record = one({}, name="n" * (MEGABYTE + 1), message="m" * (MEGABYTE + 1), code=2)
    assert record.name == "n" * (LIMITS.name - 1) + "…"
    assert record.status_message == "m" * (LIMITS.text - 1) + "…"


@pytest.mark.parametrize("beside", [0, LIMITS.small_bytes])
def test_a_long_key_is_cut(beside: int) -> None:
    """Its value is kept under the beginning and a fingerprint; keys that begin alike stay apart. In long spans, too."""
    odd = {"k" * 600: "v", "k" * 601: "w", "text": "x" * beside}
    kept = plain(one(odd))["metadata"]["attributes"]
    kept.pop("text", None)
    assert sorted(kept.values()) == ["v", "w"]
    assert {len(key) for key in kept} == {LIMITS.key}


def test_values_that_nest_deeply_are_cut() -> None:
    """Beyond 32 levels a mark says so."""
    deep: object = "x"
    for _ in range(40):
        deep = [deep]
    found = json.dumps(plain(one({"k": deep}))["metadata"]["attributes"]["k"])
    assert found.startswith("[" * 32 + '{"$omitted": {"type": "list", "reason": "depth"}}')


def test_a_long_array_is_cut() -> None:
    """The first elements are kept, the others counted; one of a hundred thousand characters is a mark."""
    found = plain(one({"k": list(range(LIMITS.elements + 5))}))["metadata"]["attributes"]["k"]
    assert found[-1] == {"$omitted": 5}
    assert len(found) == LIMITS.elements + 1
    body = request(span({"k": ["x" * 10] * 10_000, "other": 1})).SerializeToString()
    (record,) = decode(body, "protobuf", INTO).records
    kept = plain(record)["metadata"]["attributes"]
    assert kept["other"] == 1
    assert kept["k"] == '{"$omitted":{"type":"value","reason":"budget"}}'


def test_spans_beyond_the_limit_refuse_the_request() -> None:
    """Whoever sent it sends it in parts."""
    limits = OtlpLimits(spans=2)
    message = request(*[span({}, span_id=f"{number:016x}") for number in range(1, 4)])
    for body, encoding in ((message.SerializeToString(), "protobuf"), (as_json(message), "json")):
        with pytest.raises(Refusal, match="more than 2 spans") as refused:
            decode(body, encoding, INTO, limits)
        assert refused.value.problem.status == 413


def test_attributes_of_all_spans_together_have_a_limit() -> None:
    """Each may be within its own."""
    limits = OtlpLimits(values=20)
    message = request(*[span({f"k{n}": n for n in range(8)}, span_id=f"{number:016x}") for number in range(1, 4)])
    for body, encoding in ((message.SerializeToString(), "protobuf"), (as_json(message), "json")):
        with pytest.raises(Refusal, match="more than 20 attributes"):
            decode(body, encoding, INTO, limits)


def _of_spans(spans: bytes) -> bytes:
    """Return a request around encoded fields of a ``ScopeSpans``."""
    return sized_field(1, sized_field(2, spans))


_HEAD = b"\x0a\x10" + bytes.fromhex(TRACE_ID) + b"\x12\x08" + bytes.fromhex(SPAN_ID)


def _nested_protobuf(depth: int) -> bytes:
    value = any_value("x").SerializeToString()
    for _ in range(depth):
        value = sized_field(5, sized_field(1, value))
    return _of_spans(sized_field(2, _HEAD + sized_field(9, sized_field(1, b"k") + sized_field(2, value))))


def _json_span(attributes: str) -> bytes:
    head = f'"traceId":"{TRACE_ID}","spanId":"{SPAN_ID}","startTimeUnixNano":1'
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{head},"attributes":{attributes}}}]}}]}}]}}'.encode()


_PAIR = '{"key":"a","value":{"intValue":1}},'
HOSTILE: dict[str, tuple[Encoding, Callable[[], bytes]]] = {
    "a million attributes": (
        "protobuf",
        lambda: _of_spans(sized_field(2, _HEAD + sized_field(9, pairs({"k": 1})[0].SerializeToString()) * 1_000_000)),
    ),
    "a million empty attributes": ("protobuf", lambda: _of_spans(sized_field(2, _HEAD + b"\x4a\x00" * 1_000_000))),
    "a million empty spans": ("protobuf", lambda: _of_spans(b"\x12\x00" * 1_000_000)),
    "a million empty scopes": ("protobuf", lambda: sized_field(1, b"\x12\x00" * 1_000_000)),
    "a million empty resources": ("protobuf", lambda: b"\x0a\x00" * 1_000_000),
    "a million attributes of a resource": (
        "protobuf", lambda: sized_field(1, sized_field(1, b"\x0a\x00" * 1_000_000)),
    ),
    "a million attributes of an event": (
        "protobuf", lambda: _of_spans(sized_field(2, _HEAD + sized_field(11, b"\x1a\x00" * 1_000_000))),
    ),
    "a thousand spans with a thousand attributes": (
        "protobuf", lambda: _of_spans(sized_field(2, _HEAD + b"\x4a\x00" * 1_000) * 1_000),
    ),
    "nesting of 60": ("protobuf", lambda: _nested_protobuf(60)),
    "a million attributes in JSON": ("json", lambda: _json_span(f"[{_PAIR * 1_000_000}null]")),
    "a million empty objects": ("json", lambda: _json_span(f"[{'{},' * 1_000_000}null]")),
    "a million spans": (
        "json", lambda: b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 1_000_000 + b"{}]}]}]}",
    ),
    "arrays in JSON, 100,000 deep": ("json", lambda: b"[" * 100_000),
    "objects in JSON, 100,000 deep": ("json", lambda: b'{"resourceSpans":' * 100_000),
    "values in JSON, 100,000 deep": (
        "json", lambda: _json_span('[{"key":"a","value":' + '{"arrayValue":{"values":[' * 30_000),
    ),
    "unknown names in JSON, 100,000 deep": ("json", lambda: _json_span("[]" + ',"x":[' + "[" * 100_000)),
    "texts full of brackets, then an end": ("json", lambda: _json_span('[{"key":"' + "{[" * 500_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_end_soon_and_take_little_memory(name: str) -> None:
    """An error, in a second or two of CPU (20 are a hang), with less than 64 MB beside the request itself."""
    encoding, make = HOSTILE[name]
    body = make()
    with _little_memory(), pytest.raises((Malformed, Refusal)) as refused:
        decode(body, encoding, INTO)
    assert str(refused.value)


def test_a_value_that_nests_without_end_is_a_mark() -> None:
    """It is so long that nobody looks inside; the span is kept."""
    body = _nested_protobuf(20_000)
    with _little_memory():
        decoded = decode(body, "protobuf", INTO)
    (record,) = decoded.records
    assert plain(record)["metadata"]["attributes"]["k"].startswith('{"$omitted"')
    assert decoded.cut == 1


@contextmanager
def _little_memory() -> Iterator[None]:
    """Hold a block to its time, and to its memory where the system counts it: also that which is not Python's."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is what is used now
    except OSError:
        before = None
    else:
        before = _kilobytes("VmRSS")
    started = time.process_time()
    yield
    assert time.process_time() - started < 20
    assert before is None or _kilobytes("VmHWM") - before < 64 * 1024


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def test_long_texts_full_of_brackets_are_no_objects() -> None:
    """A payload that is JSON itself has as many as it likes."""
    text = json.dumps([[{}]] * 200_000)
    body = _json_span(json.dumps([{"key": "langfuse.observation.input", "value": {"stringValue": text}}]))
    (record,) = decode(body, "json", INTO).records
    assert "$truncated" in plain(record)["input"] or len(plain(record)["input"]) == 200_000
