"""Trace any ASGI application with one middleware: ``uvicorn examples.asgi_service:app``, then ask it something.

    curl -H 'X-User-Id: user-123' 'http://127.0.0.1:8000/primes?below=100'

Each request is a trace: the middleware opens its root, whatever is observed on the way becomes a child, and a
``traceparent`` header continues the trace of the caller.
"""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tracecore import continue_trace, current_trace_id, observe, propagate_attributes, span


class Tracing:
    """Open one span per request, with the name of the user and the trace of the caller."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = f"{scope['method']} {scope['path']}"
        with continue_trace(headers), propagate_attributes(user_id=headers.get("X-User-Id")), span(name):
            await self._app(scope, receive, send)


@observe
def primes(below: int) -> list[int]:
    """Return the primes below a number."""
    return [number for number in range(2, below) if all(number % d for d in range(2, int(number**0.5) + 1))]


async def list_primes(request: Request) -> JSONResponse:
    """Compute in a thread, so that the loop stays free; the span keeps its parent."""
    found = await asyncio.to_thread(primes, int(request.query_params.get("below", "100")))
    return JSONResponse({"primes": found, "trace_id": current_trace_id()})


app = Starlette(routes=[Route("/primes", list_primes)], middleware=[Middleware(Tracing)])
