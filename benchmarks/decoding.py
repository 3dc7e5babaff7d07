"""A collector that decodes whatever is sent to it and stores nothing: what is left is the cost of sending.

``python -m benchmarks.decoding`` prints its URL and serves until its standard input is closed: tracecore's own
endpoint, and that of OTLP with its spans as protobuf. A request is taken apart before it is answered; what was in it is
counted when somebody asks (``GET /__collected``), and forgotten with ``POST /__forget``.
"""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Iterator
from typing import Any, Final

from backports import zstd
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from benchmarks.rivals.adapter import Answer
from benchmarks.rivals.collector import COLLECTED, FORGET, Server
from tracecore.backend import Batch, Capabilities
from tracecore.records import Span
from tracecore.wire import BASE, Written, decode_batch, encode

__all__ = ["COLLECTED", "FORGET", "OTLP_PATH", "Decoding", "Found"]

OTLP_PATH: Final = "/v1/traces"
_BATCH: Final = f"POST {BASE}/batch"
_CAPABILITIES: Final = f"GET {BASE}/capabilities"
_OTLP: Final = f"POST {OTLP_PATH}"
_CAPABLE: Final = Capabilities(durable=True, ledger=True, level="received")
_PROTOBUF: Final = Answer(body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")
_GZIP: Final = 31


class Found(Struct):
    """Say what has arrived: bytes and requests, different spans, and how many of those have both payloads."""

    bytes: int = 0
    requests: int = 0
    spans: int = 0
    whole: int = 0


class Decoding:
    """Decode requests; may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._native: list[Batch] = []
            self._otlp: list[Any] = []
            self._bytes = self._requests = 0

    def take(self, route: str, body: bytes, encoding: str) -> Answer:
        """Decode a request and return what to answer; ``route`` is ``METHOD /path``."""
        if route == _CAPABILITIES:
            return Answer(body=encode(_CAPABLE))
        if route == _BATCH:
            return self._take_batch(body, encoding)
        if route == _OTLP:
            return self._take_otlp(body, encoding)
        return Answer(status=404)

    def _take_batch(self, body: bytes, encoding: str) -> Answer:
        batch = decode_batch(inflated(body, encoding))
        with self._lock:
            self._native.append(batch)
            self._count(body)
        return Answer(body=encode(Written(len(batch))))

    def _take_otlp(self, body: bytes, encoding: str) -> Answer:
        request = ExportTraceServiceRequest.FromString(inflated(body, encoding))
        with self._lock:
            self._otlp.append(request)
            self._count(body)
        return _PROTOBUF

    def _count(self, body: bytes) -> None:
        self._bytes += len(body)
        self._requests += 1

    def collected(self) -> dict[str, int]:
        """Count what has arrived."""
        with self._lock:
            native, otlp = list(self._native), list(self._otlp)
            found = {"bytes": self._bytes, "requests": self._requests}
        payloads = dict[tuple[str, str], bool]()
        for batch in native:
            payloads.update(_of_batch(batch))
        for request in otlp:
            payloads.update(_of_request(request))
        return found | {"spans": len(payloads), "whole": sum(payloads.values())}


def inflated(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before it was compressed.

    Raises:
        ValueError: it was compressed as nobody here sends it.
    """
    match encoding:
        case "" | "identity":
            return body
        case "zstd":
            return zstd.decompress(body)
        case "gzip":
            return zlib.decompress(body, _GZIP)
        case _:
            raise ValueError(f"content-encoding {encoding}")


def _of_batch(batch: Batch) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield the ids of each span, and whether it has both payloads."""
    for record in batch:
        if isinstance(record, Span):
            yield (record.trace_id, record.span_id), bool(record.input) and bool(record.output)


def _of_request(request: Any) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield the same of an OTLP request, whatever prefix whoever sent it gives both attributes."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                named = {attribute.key.rpartition(".")[2] for attribute in span.attributes}
                yield (span.trace_id.hex(), span.span_id.hex()), {"input", "output"} <= named


def _until_closed(server: Server) -> None:
    """End the server when its standard input is closed."""
    sys.stdin.buffer.read()
    server.shutdown()


def main() -> None:
    """Serve."""
    server = Server(Decoding())
    print(server.url, flush=True)
    threading.Thread(target=_until_closed, args=(server,), daemon=True).start()
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
