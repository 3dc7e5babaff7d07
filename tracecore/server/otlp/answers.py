"""Answers of OTLP/HTTP, in the encoding of the request (OTLP specification, "OTLP/HTTP Response")."""

from __future__ import annotations

from typing import Final

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracecore.markers import without_surrogates
from tracecore.server.otlp.received import Encoding
from tracecore.server.otlp.wire_format import number_field, sized_field

__all__ = ["answer", "error_body"]

_encode: Final = msgspec.json.Encoder().encode
_LONGEST: Final = 2_000
"""Characters of a message; it may quote what was sent."""


def answer(encoding: Encoding, rejected: int = 0, reason: str = "") -> bytes:
    """Return an ``ExportTraceServiceResponse``: it says nothing, unless spans were rejected or there is a warning."""
    said = _printable(reason)
    if encoding == "json":
        partial = {"rejectedSpans": str(rejected), "errorMessage": said}
        return _encode({"partialSuccess": partial} if rejected or said else {})
    found = ExportTraceServiceResponse()
    if rejected or said:
        found.partial_success.rejected_spans = rejected
        found.partial_success.error_message = said
    written: bytes = found.SerializeToString()
    return written


def error_body(encoding: Encoding, message: str, code: int) -> bytes:
    """Return a ``google.rpc.Status`` that says why a request failed; ``code`` is one of ``google.rpc.Code``."""
    said = _printable(message)
    if encoding == "json":
        return _encode({"code": code, "message": said})
    return number_field(1, code) + sized_field(2, said.encode())


def _printable(text: str) -> str:
    return without_surrogates(text[:_LONGEST])
