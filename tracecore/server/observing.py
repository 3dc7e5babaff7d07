"""What the server says of itself: one line per request to the access log, and counts for Prometheus.

The log holds no query strings, headers or bodies: they may hold secrets, and what people asked of a model.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracecore.server.state import ServerState

__all__ = ["Observing"]


class Observing:
    """Wrap an application, and count what it answers."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and note it."""
        began = self._state.clock()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._state.requests.note(scope, status, self._state.clock() - began)
