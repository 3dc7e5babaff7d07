"""Whether the server is well: it reads and writes, not only answers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct
from starlette.responses import Response

from tracecore import __version__
from tracecore.errors import BackendError
from tracecore.server.operations import PUBLIC, Call, Operations, json_answer

__all__ = ["Health", "operations"]

operations = Operations()


class Health(Struct, frozen=True):
    """Say that the server is well, or why it is not."""

    status: str
    version: str = __version__
    message: str = ""


@operations.get("/health", permission=PUBLIC)
async def health(call: Call) -> Annotated[Response, Health]:
    """Write and read a probe; 503 where that fails."""
    return await _probed(call)


@operations.get("/ready", permission=PUBLIC)
async def ready(call: Call) -> Annotated[Response, Health]:
    """Say whether requests may be sent here; 503 while they should not."""
    return await _probed(call)


async def _probed(call: Call) -> Response:
    try:
        await call.state.probe.check()
    except BackendError as error:
        return json_answer(Health("ERROR", message=str(error)), 503)
    return json_answer(Health("OK"))
