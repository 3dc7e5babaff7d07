"""What clients of a server send: OTLP requests of 50 generations each, made beforehand, and those who send them.

A generation is what Langfuse's Python SDK 5 sends for a model call: 13 attributes, an input and an output of some
hundred characters, ids of its own. Five are a trace, all of one user and one session.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import random
import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

__all__ = ["SPANS", "Answered", "Client", "as_json", "bodies", "closed_loop", "open_loop"]

SPANS: Final = 50
"""Of a request."""
PATH: Final = "/api/public/otel/v1/traces"
_PER_TRACE: Final = 5
_START_NS: Final = 1_790_000_000_000_000_000
_SEEDS, _SEED_NS, _REQUEST_NS = 100_000, 10**10, 10**7
"""Requests follow each other as they do in a service; their ids, which exporters of OpenTelemetry draw, do not."""
_WORDS: Final = [
    "the", "answer", "of", "a", "model", "about", "the", "order", "the", "customer", "has", "asked", "for", "in",
    "some", "words", "and", "no", "more",
]  # fmt: skip


class Answered(Struct):
    """Hold what a load has met with: seconds of each request, and of all together."""

    seconds: float = 0.0
    each: list[float] = []
    late: list[float] = []
    """By how much each began later than it was meant to."""


def bodies(count: int, *, seed: int, compressed: bool = False) -> list[bytes]:
    """Return that many requests in protobuf; no two spans have the same id, and later seeds begin later."""
    random_ids = random.Random(seed)
    first = _START_NS + seed % _SEEDS * _SEED_NS
    made = [_request(random_ids, first + number * _REQUEST_NS).SerializeToString() for number in range(count)]
    return [gzip.compress(body, 1) for body in made] if compressed else made


def as_json(body: bytes) -> bytes:
    """Return a request as OTLP/JSON, as exporters of JavaScript send it."""
    request = ExportTraceServiceRequest.FromString(body)
    spans = [_span_as_json(span) for span in request.resource_spans[0].scope_spans[0].spans]
    resource = {"attributes": [_attribute_as_json(one) for one in request.resource_spans[0].resource.attributes]}
    scope = {"name": "langfuse-sdk", "version": "5.0.4"}
    return json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]},
        separators=(",", ":"), ensure_ascii=False,
    ).encode()  # fmt: skip


def _request(ids: random.Random, start_ns: int) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend([_attribute("service.name", "shop"), _attribute("telemetry.sdk.name", "o")])
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "langfuse-sdk", "5.0.4"
    trace_id, parent, whose = b"", b"", list[KeyValue]()
    for number in range(SPANS):
        span = scope.spans.add()
        if number % _PER_TRACE == 0:
            trace_id, parent, whose = ids.randbytes(16), b"", _whose(ids)
        span.trace_id, span.span_id, span.parent_span_id = trace_id, ids.randbytes(8), parent
        parent = parent or span.span_id
        span.name, span.kind = "answer", 1
        span.start_time_unix_nano = start_ns + ids.randrange(_REQUEST_NS)
        span.end_time_unix_nano = span.start_time_unix_nano + 1_500_000_000
        span.attributes.extend([*_attributes(ids), *whose])
    return request


def _whose(ids: random.Random) -> list[KeyValue]:
    """Return what the SDK says on every span of a trace (``propagate_attributes``)."""
    return [
        _attribute("user.id", f"user-{ids.randrange(5000)}"),
        _attribute("session.id", f"session-{ids.randrange(50_000)}"),
    ]


def _attributes(ids: random.Random) -> Iterator[KeyValue]:
    question = json.dumps({"messages": [{"role": "user", "content": _text(ids, 60)}]})
    yield _attribute("langfuse.observation.type", "generation")
    yield _attribute("langfuse.observation.input", question)
    yield _attribute("langfuse.observation.output", _text(ids, 60))
    yield _attribute("langfuse.observation.model.name", "gpt-4o-mini")
    yield _attribute("langfuse.observation.model.parameters", '{"temperature": 0.2, "max_tokens": 400}')
    usage = {"input": ids.randrange(1000), "output": ids.randrange(300)}
    yield _attribute("langfuse.observation.usage_details", json.dumps(usage))
    yield _attribute("langfuse.observation.metadata.tenant", '"acme"')
    yield _attribute("langfuse.trace.name", "chat")
    yield _attribute("langfuse.environment", "production")
    yield _attribute("langfuse.release", "2026.11.1")
    yield _attribute("langfuse.version", "7")


def _text(ids: random.Random, words: int) -> str:
    return " ".join(ids.choices(_WORDS, k=words))


def _attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _attribute_as_json(one: KeyValue) -> dict[str, Any]:
    return {"key": one.key, "value": {"stringValue": one.value.string_value}}


def _span_as_json(span: Any) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(), "spanId": span.span_id.hex(), "parentSpanId": span.parent_span_id.hex(),
        "name": span.name, "kind": span.kind, "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": [_attribute_as_json(one) for one in span.attributes],
    }  # fmt: skip


class Client:
    """Send to one server over one connection."""

    def __init__(self, url: str, *, encoding: str = "application/x-protobuf", compressed: bool = False) -> None:
        parts = urlsplit(url)
        basic = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        self._connection = HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        self.headers = {"authorization": f"Basic {basic}", "content-type": encoding}
        if compressed:
            self.headers["content-encoding"] = "gzip"

    def post(self, body: bytes, path: str = PATH) -> int:
        """Send, wait for the answer, and return its status."""
        self._connection.request("POST", path, body, self.headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def get(self, path: str) -> Any:
        """Return the JSON of an answer."""
        self._connection.request("GET", path, headers=self.headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:  # noqa: PLR2004 - the one good answer
            raise RuntimeError(f"{path} was answered with {answer.status}: {data[:300]!r}")
        return json.loads(data)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def closed_loop(clients: Sequence[Client], load: Sequence[bytes]) -> Answered:
    """Have each client send one request after the other until all are answered."""
    waiting = iter(load)
    lock = threading.Lock()
    found = Answered()

    def send(client: Client) -> None:
        while True:
            with lock:
                body = next(waiting, None)
            if body is None:
                return
            began = time.perf_counter()
            _check(client.post(body))
            found.each.append(time.perf_counter() - began)

    return _in_threads(found, [(send, client) for client in clients])


def open_loop(clients: Sequence[Client], load: Sequence[bytes], *, per_second: float) -> Answered:
    """Have requests sent at set moments, however long answers take: what waits for a client counts as waiting."""
    found = Answered()
    began = time.perf_counter()
    share = math.ceil(len(load) / len(clients))

    def send(place: int, client: Client) -> None:
        for turn in range(share):
            number = turn * len(clients) + place
            if number >= len(load):
                return
            due = began + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            found.late.append(time.perf_counter() - due)
            _check(client.post(load[number]))
            found.each.append(time.perf_counter() - due)

    return _in_threads(found, [(send, place, client) for place, client in enumerate(clients)])


def _check(status: int) -> None:
    if status != 200:  # noqa: PLR2004 - the one good answer
        raise RuntimeError(f"a request was answered with {status}")


def _in_threads(found: Answered, calls: Sequence[tuple[Any, ...]]) -> Answered:
    failures: list[BaseException] = []

    def run(function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised again below, by who waits for it
            failures.append(error)

    began = time.perf_counter()
    threads = [threading.Thread(target=run, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - began
    if failures:
        raise failures[0]
    return found
