"""Answers to reads: compressed where the client takes that and it is worth it."""

from __future__ import annotations

import re
from typing import Final

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from tracecore.server.bodies import zstd

__all__ = ["LARGE", "LARGE_AT_ONCE", "answer_of"]

LARGE: Final = 1 << 18
"""Bytes from which work on a body is done on a thread, so that other requests are not held up."""
LARGE_AT_ONCE: Final = 2
"""Longer bodies in hand at one moment, one decoded while the other is written: decoded they are up to ten times as
long."""
_WORTH: Final = 16 << 10
"""Bytes from which an answer is compressed."""
_LEVEL: Final = 1
_NEVER: Final = re.compile(r"q=0(\.0*)?")
"""What a client says of an encoding that it does not take."""


async def answer_of(request: Request, body: bytes) -> Response:
    """Return the answer that is this JSON."""
    if len(body) < _WORTH or not _takes_zstd(request):
        return Response(body, media_type="application/json")
    if len(body) > LARGE:
        body = await anyio.to_thread.run_sync(zstd.compress, body, _LEVEL)
    else:
        body = zstd.compress(body, _LEVEL)
    return Response(body, headers={"content-encoding": "zstd"}, media_type="application/json")


def _takes_zstd(request: Request) -> bool:
    for taken in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = taken.replace(" ", "").partition(";")
        if name == "zstd":
            return not _NEVER.fullmatch(weight)
    return False
