"""Answers to reads: compressed where the client takes that and it is worth it; long ones sent piece by piece.

A server that hands a long answer over at once has it in memory twice, for as long as its client takes to read it. Here
the next piece follows when the client has read most of the ones before, and what is still to be sent is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tracecore.server.bodies import Room, zstd
from tracecore.server.problems import Refusal, response_to

__all__ = ["LARGE", "LARGE_AT_ONCE", "LongAnswer", "answer_of"]

LARGE: Final = 1 << 18
"""Bytes from which work on a body is done on a thread, so that other requests are not held up."""
LARGE_AT_ONCE: Final = 2
"""Longer bodies in hand at one moment, one decoded while the other is written: decoded they are up to ten times as
long."""
_PIECE: Final = 1 << 18
"""Bytes of an answer that are sent at once."""
_WORTH: Final = 16 << 10
"""Bytes from which an answer is compressed."""
_LEVEL: Final = 1
_NEVER: Final = re.compile(r"q=0(\.0*)?")
"""What a client says of an encoding that it does not take."""


class LongAnswer(Response):
    """Answer with what takes memory until it is sent: as far as there is room for it, and else with a refusal."""

    def __init__(
        self,
        body: bytes,
        room: Room,
        refused: Callable[[Refusal], Response],
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        media_type: str | None = "application/json",
    ) -> None:
        super().__init__(body, status, headers, media_type)
        self._room = room
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; a server returns from the last piece when what it still holds is little."""
        with self._room.share() as take:
            try:
                take(len(self.body) if len(self.body) > LARGE else 0)
            except Refusal as refusal:
                await self._refused(refusal)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            body = memoryview(self.body)
            for start in range(0, len(body), _PIECE):
                piece = bytes(body[start : start + _PIECE])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answer_of(request: Request, body: bytes, room: Room) -> Response:
    """Return the answer that is this JSON, which takes room until it is sent."""
    if len(body) < _WORTH or not _takes_zstd(request):
        return LongAnswer(body, room, response_to)
    if len(body) > LARGE:
        body = await anyio.to_thread.run_sync(zstd.compress, body, _LEVEL)
    else:
        body = zstd.compress(body, _LEVEL)
    return LongAnswer(body, room, response_to, headers={"content-encoding": "zstd"})


def _takes_zstd(request: Request) -> bool:
    for taken in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = taken.replace(" ", "").partition(";")
        if name == "zstd":
            return not _NEVER.fullmatch(weight)
    return False
