"""OTLP/HTTP (opentelemetry-proto 1.x, "OTLP/HTTP"): spans of any exporter, in protobuf or JSON.

Answered after the spans are durable, in the encoding of the request, as are errors (``google.rpc.Status``).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from tracecore.errors import BackendUnavailable, TracecoreError
from tracecore.server.answers import LARGE
from tracecore.server.api.writing import write
from tracecore.server.bodies import body_of
from tracecore.server.operations import Call, Operations
from tracecore.server.otlp import Decoded, Destination, Encoding, answer, decode, error_body
from tracecore.server.problems import Refusal
from tracecore.wire import Malformed, problem_of

__all__ = ["operations"]

operations = Operations("")

_TYPES: Final[dict[str, Encoding]] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_MEDIA: Final[dict[Encoding, str]] = {encoding: media for media, encoding in _TYPES.items()}
_CODES: Final = {400: 3, 413: 3, 415: 3, 422: 3, 408: 4, 503: 14, 429: 8}
"""The codes of ``google.rpc.Code`` by HTTP status."""
_KNOWN_LANGFUSE: Final = frozenset("01234")
"""The versions of Langfuse's attributes that are understood (``x-langfuse-ingestion-version``)."""


@operations.post("/v1/traces", permission="ingest:create")
async def export_traces(call: Call) -> Response:
    """Take an ``ExportTraceServiceRequest``; the path of OpenTelemetry."""
    return await _exported(call)


@operations.post("/api/public/otel/v1/traces", permission="ingest:create")
async def export_langfuse_traces(call: Call) -> Response:
    """Take an ``ExportTraceServiceRequest``; the path of Langfuse's SDKs."""
    return await _exported(call)


async def _exported(call: Call) -> Response:
    encoding = _encoding(call.request)
    if encoding is None:
        given = call.request.headers.get("content-type", "")[:80]
        message = f"content-type {given!r}; use application/x-protobuf or application/json"
        return Response(error_body("json", message, 3), 415, media_type="application/json")
    try:
        return await _written(call, encoding)
    except Refusal as refusal:
        return _failed(encoding, refusal.problem.status, str(refusal), refusal.problem.retry_after)
    except Malformed as error:
        return _failed(encoding, 400, str(error))
    except TracecoreError as error:
        retry_after = error.retry_after if isinstance(error, BackendUnavailable) else None
        return _failed(encoding, problem_of(error).status, str(error), retry_after)


async def _written(call: Call, encoding: Encoding) -> Response:
    _check_version(call.request)
    with call.state.allowance.share() as take:
        body = await body_of(call.request, call.state.limits, take)
        async with call.state.decoding if len(body) > LARGE else nullcontext():
            decoded = await _decoded(body, encoding, _destination(call))
            await write(call, decoded.records)
    found = answer(encoding, decoded.rejected, decoded.reason)
    return Response(found, media_type=_MEDIA[encoding])


async def _decoded(body: bytes, encoding: Encoding, into: Destination) -> Decoded:
    if len(body) > LARGE:
        return await anyio.to_thread.run_sync(decode, body, encoding, into)
    return decode(body, encoding, into)


def _destination(call: Call) -> Destination:
    headers = call.request.headers
    return Destination(
        project=call.project,
        api_key=call.principal.key,
        received_ns=call.now_ns,
        sdk_name=headers.get("x-langfuse-sdk-name"),
        sdk_version=headers.get("x-langfuse-sdk-version"),
    )


def _encoding(request: Request) -> Encoding | None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return _TYPES.get(media)


def _check_version(request: Request) -> None:
    given = request.headers.get("x-langfuse-ingestion-version")
    if given is not None and given not in _KNOWN_LANGFUSE:
        raise Refusal(400, "Unsupported", f"x-langfuse-ingestion-version {given[:20]!r}", "use 4 or lower")


def _failed(encoding: Encoding, status: int, message: str, retry_after: float | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": str(max(1, round(retry_after)))}
    if status == 413:  # noqa: PLR2004 - what is left of the body is not read
        headers["connection"] = "close"
    return Response(error_body(encoding, message, _CODES.get(status, 13)), status, headers, _MEDIA[encoding])
