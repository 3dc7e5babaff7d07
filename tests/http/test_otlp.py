"""What a collector receives, decoded by the classes of ``opentelemetry-proto``, and what becomes of its answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.http_server import Asked, Reply, stub
from tracecore.backend import Capabilities, Receipt
from tracecore.errors import BackendRejected
from tracecore.records import ErrorInfo, Provenance, Record, TraceAttributes
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import (
    SECOND,
    START,
    entry,
    event,
    full_generation,
    generation,
    json_of,
    score,
    session,
    span,
    span_id_of,
    trace_id_of,
)
from tracecore_http import open_backend
from tracecore_http.conventions import LANGFUSE, OTHERS, Dialect
from tracecore_http.resources import grouped, own_version
from tracecore_http.spans import exported, iso_time

FULL = full_generation(1)


def accepts(_: Asked) -> Reply:
    """Answer as a collector does that has kept everything."""
    return Reply(200, b"", {"content-type": "application/x-protobuf"})


def value_of(value: AnyValue) -> Any:
    """Return an attribute's value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind or "string_value")


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Return attributes by name, each of which must be there once."""
    found: list[KeyValue] = list(pairs)
    assert len({one.key for one in found}) == len(found)
    return {one.key: value_of(one.value) for one in found}


async def sent(records: list[Record], parameters: str = "") -> list[Asked]:
    """Return what a collector receives when a batch is written, without the question whether it is there."""
    with stub(accepts) as server:
        async with opened_with(open_backend(f"http+otlp://{server.address}{parameters}"), records):
            pass
    return server.asked[1:]


async def spans_of(records: list[Record]) -> list[OtlpSpan]:
    """Return the spans that a collector receives when a batch is written."""
    (asked,) = await sent(records)
    request = ExportTraceServiceRequest.FromString(gzip.decompress(asked.body))
    return [one for resource in request.resource_spans for scope in resource.scope_spans for one in scope.spans]


async def test_every_field_of_a_generation() -> None:
    """Everything that a record holds is in the span: in its own fields, in Langfuse's names and in OpenTelemetry's."""
    (asked,) = await sent([FULL])
    assert asked.path == "/v1/traces"
    assert asked.headers["content-type"] == "application/x-protobuf"
    (resource,) = ExportTraceServiceRequest.FromString(gzip.decompress(asked.body)).resource_spans
    assert attributes_of(resource.resource.attributes) == {
        "service.name": "shop", "service.version": "7", "service.instance.id": "process-1",
        "telemetry.sdk.name": "sdk", "telemetry.sdk.language": "python", "telemetry.sdk.version": "1",
    }  # fmt: skip
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("tracecore", own_version())
    (one,) = scope.spans
    assert (one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex()) == (
        trace_id_of(1),
        span_id_of(1),
        span_id_of(99),
    )
    assert (one.name, one.kind) == ("work 1", OtlpSpan.SPAN_KIND_CLIENT)
    assert (one.start_time_unix_nano, one.end_time_unix_nano) == (START, START + SECOND)
    assert (one.status.code, one.status.message) == (2, "half of it")
    (happening,) = one.events
    assert (happening.name, happening.time_unix_nano) == ("exception", START + SECOND)
    assert attributes_of(happening.attributes) == {
        "exception.type": "ValueError", "exception.message": "no such city",
        "exception.stacktrace": "Traceback: line 1\nline 2",
    }  # fmt: skip
    assert attributes_of(one.attributes) == {
        "langfuse.observation.type": "embedding",
        "langfuse.observation.level": "WARNING",
        "langfuse.observation.input": '{"question": "why?"}',
        "langfuse.observation.output": '["because"]',
        "langfuse.observation.status_message": "half of it",
        "langfuse.observation.completion_start_time": '"2026-09-21T14:13:20.373456Z"',
        "langfuse.observation.model.name": "gpt-x",
        "langfuse.observation.model.parameters": '{"temperature": 0.5}',
        "langfuse.observation.usage_details": '{"input":10,"output":5,"input_cached":2}',
        "langfuse.observation.cost_details": '{"input":0.25,"output":0.5,"total":0.75}',
        "langfuse.observation.prompt.name": "greet",
        "langfuse.observation.prompt.version": 3,
        "langfuse.trace.name": "chat",
        "langfuse.trace.tags": ["web", "beta"],
        "langfuse.trace.public": True,
        "langfuse.trace.metadata.tier": "gold",
        "langfuse.release": "r1",
        "langfuse.version": "1.2",
        "langfuse.environment": "staging",
        "langfuse.internal.is_app_root": True,
        "langfuse.experiment.id": "e1",
        "langfuse.experiment.name": "try",
        "langfuse.experiment.description": "of it",
        "langfuse.experiment.metadata": '{"m": 1}',
        "langfuse.experiment.dataset.id": "d1",
        "langfuse.experiment.item.id": "i1",
        "langfuse.experiment.item.version": "3",
        "langfuse.experiment.item.expected_output": "yes",
        "langfuse.experiment.item.metadata": "[1]",
        "langfuse.experiment.item.root_observation_id": "0" * 16,
        "user.id": "user-1",
        "session.id": "session-1",
        "error.type": "ValueError",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.conversation.id": "session-1",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.tool.definitions": '[{"name": "search"}]',
        "tracecore.tool_calls": '[{"id": "c1"}]',
        "tracecore.tool_call_names": ["search", "read"],
    }


def as_json(attributes: Any) -> list[Any]:
    """Return attributes as OTLP/JSON has them, from those of a protobuf message."""

    def one(value: AnyValue) -> dict[str, Any]:
        match value.WhichOneof("value"):
            case "int_value":
                return {"intValue": str(value.int_value)}
            case "array_value":
                return {"arrayValue": {"values": [one(item) for item in value.array_value.values]}}
            case kind:
                camel = str(kind).replace("_value", "Value")
                return {camel: getattr(value, str(kind))}

    return [{"key": pair.key, "value": one(pair.value)} for pair in attributes]


async def test_json_says_the_same_as_protobuf() -> None:
    """Both encodings of a batch hold the same resources, scopes and spans."""
    batch: list[Record] = [FULL, span(2, provenance=Provenance(service_name="other")), event(3, project="p"), span(4)]
    (as_protobuf,) = await sent(batch, "?compression=none")
    (asked,) = await sent(batch, "?encoding=json&compression=none")
    assert asked.headers["content-type"] == "application/json"
    expected = [
        {
            "resource": {"attributes": as_json(resource.resource.attributes)},
            "scopeSpans": [
                {
                    "scope": {"name": scope.scope.name, "version": scope.scope.version, "attributes": []},
                    "spans": [_span_as_json(one) for one in scope.spans],
                }
                for scope in resource.scope_spans
            ],
        }
        for resource in ExportTraceServiceRequest.FromString(as_protobuf.body).resource_spans
    ]
    assert json.loads(asked.body) == {"resourceSpans": expected}
    assert len(expected) == 4


def _span_as_json(one: OtlpSpan) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": one.trace_id.hex(), "spanId": one.span_id.hex(), "name": one.name, "kind": one.kind,
        "startTimeUnixNano": str(one.start_time_unix_nano), "endTimeUnixNano": str(one.end_time_unix_nano),
        "attributes": as_json(one.attributes),
    }  # fmt: skip
    if one.parent_span_id:
        found["parentSpanId"] = one.parent_span_id.hex()
    if one.events:
        found["events"] = [
            {"timeUnixNano": str(e.time_unix_nano), "name": e.name, "attributes": as_json(e.attributes)}
            for e in one.events
        ]
    if one.status.code:
        found["status"] = {"code": one.status.code, "message": one.status.message}
    return found


async def test_what_has_not_ended_waits_for_its_end() -> None:
    """A running span counts as written and is not sent; one that was abandoned is sent as an error."""
    with stub(accepts) as server:
        async with opened(open_backend(f"http+otlp://{server.address}")) as backend:
            assert await backend.write([span(1, status="running")]) is None
            assert len(server.asked) == 1, "nothing but the question whether it is there"
            assert await backend.write([span(1)]) is None
            assert len(server.asked) == 2
    (gone,) = await spans_of([span(2, status="abandoned", duration_ns=5)])
    assert (gone.status.code, gone.status.message) == (2, "abandoned")
    assert attributes_of(gone.attributes)["tracecore.status"] == "abandoned"


async def test_how_spans_end() -> None:
    """Only an error is an error: by status, or by level; the message is what was said of it."""
    ends = await spans_of([
        span(1), span(2, status="cancelled", status_message="by the user"),
        span(3, level="ERROR", status_message="bad"), span(4, status="error", error=ErrorInfo("E", "why")),
        span(5, status="error"),
    ])  # fmt: skip
    assert [(one.status.code, one.status.message) for one in ends] == [
        (0, ""),
        (0, ""),
        (2, "bad"),
        (2, "why"),
        (2, ""),
    ]
    assert attributes_of(ends[1].attributes)["langfuse.observation.status_message"] == "by the user"


async def test_what_otlp_does_not_carry_is_said() -> None:
    """Sessions and scores are rejected with a reason, entries of the ledger refused, and no store is there."""
    with stub(accepts) as server:
        async with opened(open_backend(f"http+otlp://{server.address}")) as backend:
            receipt = await backend.write([span(1), session("s"), score("1")])
            assert receipt == Receipt(2, "OTLP carries neither sessions nor scores")
            assert await backend.write([session("s")]) == Receipt(1, "OTLP carries neither sessions nor scores")
            with pytest.raises(BackendRejected, match="no ledger"):
                await backend.write([span(1), entry()])
            assert await backend.write([]) is None
            assert await backend.maintain() is False
            assert backend.capabilities == Capabilities(level="received")
            assert (backend.traces, backend.observations, backend.sessions, backend.scores) == (None,) * 4
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "odd",
    [
        span(2, trace_id="xyz"),
        span(2, span_id="0"),
        span(2, start_ns=-1),
        span(2, start_ns=2**70),
        span(2, trace_id="0" * 32),
        span(2, span_id="0" * 16),
    ],
)
async def test_what_otlp_cannot_hold_is_rejected(odd: Record) -> None:
    """Ids that are no bytes or all zero, and times before the epoch are rejected, and nothing else of the batch."""
    with stub(accepts) as server:
        async with opened(open_backend(f"http+otlp://{server.address}")) as backend:
            assert await backend.write([span(1), odd]) == Receipt(1, "OTLP cannot hold their ids or times")
    (request,) = [ExportTraceServiceRequest.FromString(gzip.decompress(asked.body)) for asked in server.asked[1:]]
    assert [one.name for one in request.resource_spans[0].scope_spans[0].spans] == ["work 1"]


def partial(rejected: int, message: str) -> bytes:
    """Return an answer that says so, as protobuf."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    return answer.SerializeToString()


@pytest.mark.parametrize(
    ("body", "content_type", "receipt"),
    [
        (b"", "application/x-protobuf", None),
        (b"{}", "application/json", None),
        (b'{"partialSuccess":{}}', "application/json", None),
        (b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"odd"}}', "application/json", Receipt(3, "odd")),
        (b'{"partialSuccess":{"rejectedSpans":2}}', "application/json; charset=utf-8", Receipt(2)),
        (b'{"partialSuccess":{"rejectedSpans":"x"}}', "application/json", None),
        (b'{"partialSuccess":{"errorMessage":"a warning"}}', "application/json", None),
        (b"not json", "application/json", None),
        (partial(4, "odd"), "application/x-protobuf", Receipt(4, "odd")),
        (partial(0, "a warning"), "application/x-protobuf", None),
        (b"\xff\xff\xff", "application/x-protobuf", None),
        (b"accepted", "text/plain", None),
    ],
)
async def test_a_partial_success_is_a_receipt(body: bytes, content_type: str, receipt: Receipt | None) -> None:
    """What a collector rejects is counted with its reason; an answer that cannot be read says that all was kept."""
    with stub(lambda _: Reply(200, body, {"content-type": content_type})) as server:
        async with opened(open_backend(f"http+otlp://{server.address}")) as backend:
            assert await backend.write([span(number) for number in range(1, 6)]) == receipt


async def test_a_collector_that_does_not_like_to_be_sent_nothing_is_there() -> None:
    """The question whether anybody is there may be refused as such."""
    with stub(lambda asked: Reply(400) if len(asked.body) < 50 else accepts(asked)) as server:
        async with opened(open_backend(f"http+otlp://{server.address}")) as backend:
            assert await backend.write([span(1)]) is None


async def test_a_batch_that_is_too_large_is_halved() -> None:
    """413: every span arrives, in parts that are taken."""
    with stub(lambda asked: Reply(413) if len(gzip.decompress(asked.body)) > 1000 else accepts(asked)) as server:
        async with opened(open_backend(f"http+otlp://{server.address}")) as backend:
            await backend.write([span(number) for number in range(1, 40)])
    kept = [gzip.decompress(asked.body) for asked in server.asked[1:] if len(gzip.decompress(asked.body)) <= 1000]
    names = [
        one.name
        for body in kept
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for one in resource.scope_spans[0].spans
    ]
    assert names == [f"work {number}" for number in range(1, 40)]


async def test_a_parent_that_otlp_cannot_hold_is_none() -> None:
    """An id of zeros is invalid: the span is a root there, and not lost."""
    (one,) = await spans_of([span(1, parent_id="0" * 16)])
    assert one.parent_span_id == b""


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (rb'{"\ud800":1,"\\ud800":2}', {"": r'{"\ud800":1,"\\ud800":2}'}),
        (rb'{"a":1,"\u0061":2}', {".a": "2"}),
        ('{"\u00e9":1,"e\u0301":2}'.encode(), {".\u00e9": "1", ".e\u0301": "2"}),
    ],
)
async def test_no_attribute_is_there_twice(metadata: bytes, expected: dict[str, str]) -> None:
    """Keys of metadata that would be equal as UTF-8 are sent as a whole, and a limit by two names once."""
    limits = json_of({"max_tokens": 5, "max_completion_tokens": 7})
    record = generation(
        1, metadata=Raw(metadata), model_parameters=limits, trace=TraceAttributes(metadata=Raw(metadata))
    )
    (one,) = await spans_of([record])
    said = attributes_of(one.attributes)
    assert said["gen_ai.request.max_tokens"] == 7, "the newer name of the two"
    for name in ("langfuse.observation.metadata", "langfuse.trace.metadata"):
        assert {key.removeprefix(name): value for key, value in said.items() if key.startswith(name)} == expected


LONE = "\ud800"


@pytest.mark.parametrize("parameters", ["", "?encoding=json"])
async def test_texts_of_any_kind_can_be_sent(parameters: str) -> None:
    """NUL, lone surrogates, odd payloads and numbers beyond 64 bits neither break a batch nor vanish from it."""
    odd = generation(
        1, name=f"a{LONE}\0", model=LONE, input=Raw(b'"\\ud800x"'), output=Raw(b'"\xed\xa0\x80"'),
        metadata=Raw(b'{"\\ud800":[1]}'), usage_details={"input": 2**70, LONE: 1}, prompt_name="p",
        prompt_version=2**70, error=ErrorInfo(LONE, LONE, LONE), status_message=LONE,
        trace=TraceAttributes(LONE, LONE, LONE, (LONE,), Raw(b"1e400")), model_parameters=Raw(b'{"seed":%d}' % 2**70),
        completion_start_ns=2**80,
    )  # fmt: skip
    (asked,) = await sent([odd, span(2)], f"{parameters}{'&' if parameters else '?'}compression=none")
    if parameters:
        (first, _) = json.loads(asked.body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        name, said = first["name"], {one["key"]: next(iter(one["value"].values())) for one in first["attributes"]}
    else:
        request = ExportTraceServiceRequest.FromString(asked.body)
        first = request.resource_spans[0].scope_spans[0].spans[0]
        name, said = first.name, attributes_of(first.attributes)
    assert name == "a\\ud800\0"
    assert said["langfuse.observation.input"] == "\\ud800x"
    assert said["langfuse.observation.model.name"] == "\\ud800"
    assert said["langfuse.observation.prompt.version"] == said["gen_ai.request.seed"] == str(2**70)
    assert json.loads(said["langfuse.observation.usage_details"])["input"] == 2**70


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (OTHERS, {"a": "x", "b": "1", "c": '{"d": null}', "e": "true"}),
        (LANGFUSE, {"a": '"x"', "b": "1", "c": '{"d": null}', "e": "true"}),
    ],
)
def test_metadata_is_sent_key_by_key(dialect: Dialect, expected: dict[str, str]) -> None:
    """Each key is an attribute of its own, null is left out; whether texts are quoted depends on who reads them."""
    one = exported(span(1, metadata=Raw(b'{"a":"x","b":1,"c":{"d": null},"e":true,"f":null}')), dialect)
    name = "langfuse.observation.metadata."
    assert {key.removeprefix(name): value for key, value in one.attributes if key.startswith(name)} == expected


@pytest.mark.parametrize(
    "metadata", [json_of({f"k{n}": n for n in range(200)}), json_of([1]), json_of({}), json_of("t")]
)
def test_metadata_that_cannot_be_is_sent_as_a_whole(metadata: Raw) -> None:
    """Metadata that is no object, or has more keys than a span may have attributes, is one attribute."""
    one = exported(span(1, metadata=metadata), OTHERS)
    said = dict(one.attributes)["langfuse.observation.metadata"]
    assert said == "t" if metadata == json_of("t") else json.loads(str(said)) == json.loads(bytes(metadata))
    assert len(one.attributes) < 10


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: span(1, type="tool", name="search"), {"operation.name": "execute_tool", "tool.name": "search"}),
        (lambda: span(1, type="agent", name="a"), {"operation.name": "invoke_agent", "agent.name": "a"}),
        (lambda: span(1, type="chain"), {}),
        (lambda: event(1), {}),
        (
            lambda: generation(1, model_parameters=json_of({"max_tokens": 5, "top_p": 1.5, "seed": "x", "stop": [1]})),
            {"operation.name": "chat", "request.max_tokens": 5, "request.top_p": 1.5},
        ),
    ],
)
def test_what_opentelemetry_calls_it(make: Callable[[], Any], expected: dict[str, Any]) -> None:
    """Others than Langfuse find the operation, the tool or agent and the parameters under their own names."""
    for dialect, wanted in ((OTHERS, expected), (LANGFUSE, {})):
        one = exported(make(), dialect)
        said = {k.removeprefix("gen_ai."): v for k, v in one.attributes if k.startswith("gen_ai.")}
        assert said == wanted


def test_who_recorded_it_is_a_resource() -> None:
    """Spans are grouped by service and project; whoever is unknown has the name that OpenTelemetry gives it."""
    shop = Provenance(service_name="shop")
    export = grouped([span(1), span(2, provenance=shop), span(3), span(4, project="p")], OTHERS, [])
    named = [(dict(attributes), [part.name for part in spans]) for attributes, spans in export.resources]
    assert [(said["service.name"], said.get("tracecore.project"), names) for said, names in named] == [
        ("unknown_service:python", None, ["work 1", "work 3"]),
        ("shop", None, ["work 2"]),
        ("unknown_service:python", "p", ["work 4"]),
    ]


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
async def test_many_spans_are_one_request(encoding: str) -> None:
    """However many spans there are, and of whomever, each is in the request once, in its order, under its resource."""
    shops = [Provenance(service_name=f"shop {number % 3}") for number in range(1000)]
    batch: list[Record] = [span(number, provenance=shop) for number, shop in enumerate(shops, 1)]
    (asked,) = await sent(batch, f"?encoding={encoding}")
    body = gzip.decompress(asked.body)
    found: dict[str, list[str]] = {}
    if encoding == "protobuf":
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            name = attributes_of(resource.resource.attributes)["service.name"]
            found.setdefault(name, []).extend(one.name for one in resource.scope_spans[0].spans)
    else:
        for resource in json.loads(body)["resourceSpans"]:
            name = resource["resource"]["attributes"][0]["value"]["stringValue"]
            found.setdefault(name, []).extend(one["name"] for one in resource["scopeSpans"][0]["spans"])
    assert found == {f"shop {k}": [f"work {n}" for n in range(1, 1001) if n % 3 == (k + 1) % 3] for k in range(3)}


@pytest.mark.parametrize(("ns", "expected"), [(0, "1970-01-01T00:00:00.000000Z"), (2**80, None), (-(2**80), None)])
def test_times_are_written_in_utc(ns: int, expected: str | None) -> None:
    """A time that no calendar has is left out."""
    assert iso_time(ns) == expected
