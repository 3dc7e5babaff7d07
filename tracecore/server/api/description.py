"""What the server says of itself: its OpenAPI document, and counts for Prometheus."""

from __future__ import annotations

from starlette.responses import Response

from tracecore.server.operations import PUBLIC, Call, Operations
from tracecore.server.prometheus import CONTENT_TYPE, exposition

__all__ = ["operations"]

operations = Operations("")


@operations.get("/openapi.json", permission=PUBLIC)
async def describe(call: Call) -> Response:
    """Return the OpenAPI document of this server."""
    return Response(call.state.describe(), media_type="application/json")


@operations.get("/metrics", permission="project:read")
async def metrics(call: Call) -> Response:
    """Return counts in the text format of Prometheus; of the one process that answers, whose number they carry."""
    return Response(exposition(call.state), media_type=CONTENT_TYPE)
