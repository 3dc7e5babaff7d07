"""One trace per request: a pure ASGI middleware of the size that any service can copy.

It continues the caller's trace when there is a ``traceparent`` header, says once who is asking (user, session,
platform), and keeps one span open until the last byte of the answer has been sent, streamed answers included.
Everything that is observed in between becomes its child.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracecore import continue_trace, current_trace_id, propagate_attributes, span, update_current_span

__all__ = ["RequestTracing"]

TRACE_ID_HEADER: Final = "X-Trace-Id"
FIRST_CLIENT_ERROR: Final = 400
FIRST_SERVER_ERROR: Final = 500


class RequestTracing:
    """Trace the requests to some paths; the others (health checks) pass as they are."""

    def __init__(self, app: ASGIApp, *, paths: frozenset[str], version: str) -> None:
        self._app = app
        self._paths = paths
        self._version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        platform, _, app_version = headers.get("X-Platform", "unknown").partition("/")
        with (
            continue_trace(headers),
            propagate_attributes(
                user_id=headers.get("X-User-Id"),
                session_id=headers.get("X-Session-Id"),
                tags=["rag", platform],
                metadata={"platform": platform, "app_version": app_version},
                version=self._version,
                trace_name=scope["path"].strip("/"),
            ),
            span(f"{scope['method']} {scope['path']}"),
        ):
            await self._app(scope, receive, _noting_status(send))


def _noting_status(send: Send) -> Send:
    """Return a ``send`` that tells the client its trace id, and the span the status."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            MutableHeaders(scope=message)[TRACE_ID_HEADER] = current_trace_id() or ""
            update_current_span(metadata={"http.status": status})
            if status >= FIRST_CLIENT_ERROR:
                update_current_span(level="ERROR" if status >= FIRST_SERVER_ERROR else "WARNING")
        await send(message)

    return noting
