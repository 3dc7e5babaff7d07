"""OTLP in, records out: what the server does with a request before it writes, next to parsing it and no more.

A request is 512 spans, which is what SDKs send at once. The bare way parses it with ``opentelemetry-proto`` and makes
Python objects of every span and attribute, as anybody must who reads protobuf in Python; ours makes records besides.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import interleaved, ratio, row_of
from benchmarks.progress import Step
from tracecore.records import Generation, Observation
from tracecore.server.otlp import Destination, Encoding, decode

__all__ = ["run"]

METHOD: Final = (
    "µs of CPU time of one thread per span, of a request with 512; rounds interleaved. Decoded and mapped: from the"
    " bytes of the body to records, before anything is priced or written. Bare: parsed by opentelemetry-proto, each"
    " span and attribute made a Python object."
)
_ROUNDS: Final = 30
_SPANS: Final = 512
_START: Final = 1_790_000_000_000_000_000
_BARE: Final = "this ÷ bare"
_INTO: Final = Destination(project="bench", received_ns=_START)
_RESOURCE: Final = {
    "telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "1.45.2",
    "service.name": "shop",
}  # fmt: skip
_QUESTION: Final = "What did I buy in the last year, and what of it did I send back? " * 8
_ANSWER: Final = "You bought a bicycle, two lamps and a bell, and sent back one lamp. " * 4

_LANGFUSE: Final[dict[str, Any]] = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.input": json.dumps([{"role": "user", "content": _QUESTION}]),
    "langfuse.observation.output": json.dumps({"role": "assistant", "content": _ANSWER}),
    "langfuse.observation.model.name": "gpt-4o",
    "langfuse.observation.model.parameters": '{"temperature":0.2,"max_tokens":400}',
    "langfuse.observation.usage_details": '{"input":412,"output":96,"total":508}',
    "langfuse.observation.metadata.customer": '"acme"',
    "langfuse.observation.metadata.attempt": "1",
    "user.id": "user-123",
    "session.id": "support-7",
    "langfuse.trace.name": "chat",
    "langfuse.trace.tags": ["web", "beta"],
    "langfuse.environment": "production",
}
_GENAI: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.max_tokens": 400,
    "gen_ai.response.id": "chatcmpl-123",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 412,
    "gen_ai.usage.output_tokens": 96,
    "gen_ai.conversation.id": "support-7",
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": _QUESTION}]}]),
    "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": _ANSWER}]}]),
}
_SHAPES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "langfuse": ("a generation of Langfuse's SDK, 13 attributes", "langfuse-sdk", _LANGFUSE),
    "genai": ("a model call by OpenTelemetry's conventions, 13 attributes", "opentelemetry.instrumentation", _GENAI),
}
"""Label, scope and attributes of each span, by name."""
_WAYS: Final = {
    "protobuf": "protobuf, decoded and mapped", "json": "JSON, decoded and mapped", "bare": "protobuf, bare",
}  # fmt: skip


def _value(value: Any) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))


def _pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _request(scope_name: str, attributes: dict[str, Any], seed: int) -> ExportTraceServiceRequest:
    chance = random.Random(seed)
    found = ExportTraceServiceRequest()
    resource = found.resource_spans.add()
    resource.resource.attributes.extend(_pairs(_RESOURCE))
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = scope_name, "5.0.4"
    for number in range(_SPANS):
        scope.spans.add(
            trace_id=chance.randbytes(16), span_id=chance.randbytes(8), parent_span_id=chance.randbytes(8), name="llm",
            kind="SPAN_KIND_CLIENT", start_time_unix_nano=_START + number, end_time_unix_nano=_START + 10**9 + number,
            attributes=_pairs(attributes),
        )  # fmt: skip
    return found


def _as_json(request: ExportTraceServiceRequest) -> bytes:
    found = MessageToDict(request)
    (resource,) = found["resourceSpans"]
    for said, span in zip(
        resource["scopeSpans"][0]["spans"], request.resource_spans[0].scope_spans[0].spans, strict=True
    ):
        said.update(traceId=span.trace_id.hex(), spanId=span.span_id.hex(), parentSpanId=span.parent_span_id.hex())
    return json.dumps(found, separators=(",", ":")).encode()


def _bare(body: bytes) -> list[tuple[str, str, str, int, int, dict[str, Any]]]:
    """Parse a request and make Python objects of its spans."""
    found: list[tuple[str, str, str, int, int, dict[str, Any]]] = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes: dict[str, Any] = {}
                for pair in span.attributes:
                    value = pair.value
                    attributes[pair.key] = value.string_value or getattr(value, value.WhichOneof("value") or "", None)
                ids = span.trace_id.hex(), span.span_id.hex()
                found.append((*ids, span.name, span.start_time_unix_nano, span.end_time_unix_nano, attributes))
    return found


def _per_span(function: Callable[[], object]) -> Callable[[], float]:
    """Return what takes one figure: µs per span."""

    def measure() -> float:
        started = time.thread_time_ns()
        function()
        return (time.thread_time_ns() - started) / _SPANS / 1e3

    return measure


def _check(records: list[Observation], name: str) -> None:
    """See that every span became the record that it is."""
    assert len({record.span_id for record in records}) == _SPANS, f"{name}: spans are missing"
    for record in records:
        assert isinstance(record, Generation), f"{name}: {record.type}"
        assert (record.model, record.trace.session_id) == ("gpt-4o", "support-7"), f"{name}: {record}"
        assert (record.usage_details or {}).get("input") == 412, f"{name}: {record.usage_details}"  # noqa: PLR2004 - what was sent
        assert _QUESTION.encode() in bytes(record.input), f"{name}: the input is another"
        assert _ANSWER.encode() in bytes(record.output), f"{name}: the output is another"


def run(settings: Settings, step: Step) -> Table:
    """Decode and map requests of each shape in both encodings, and parse them bare."""
    candidates: dict[str, Callable[[], float]] = {}
    sizes: dict[str, int] = {}
    for name, (_, scope, attributes) in _SHAPES.items():
        request = _request(scope, attributes, settings.seed)
        bodies: dict[Encoding, bytes] = {"protobuf": request.SerializeToString(), "json": _as_json(request)}
        for encoding, body in bodies.items():
            _check(decode(body, encoding, _INTO).records, f"{name} as {encoding}")
            candidates[f"{name}.{encoding}"] = _per_span(partial(decode, body, encoding, _INTO))
            sizes[f"{name}.{encoding}"] = len(body) // _SPANS
        candidates[f"{name}.bare"] = _per_span(partial(_bare, bodies["protobuf"]))
        sizes[f"{name}.bare"] = sizes[f"{name}.protobuf"]
    taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    rows: list[Row] = []
    for name, figures in taken.items():
        shape, _, way = name.partition(".")
        base = statistics.median(taken[f"{shape}.bare"])
        ratios = {} if way == "bare" else {_BARE: ratio(statistics.median(figures), base)}
        label = f"{_SHAPES[shape][0]}: {_WAYS[way]}"
        rows.append(row_of(f"server.otlp.{name}", label, "µs", figures, ratios=ratios, note=f"{sizes[name]} B"))
    return Table(suite="server/otlp", title="A span over OTLP", method=METHOD, rows=rows)
