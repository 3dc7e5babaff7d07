"""The ASGI application: everything the server answers, over one backend.

It runs by itself (``tracecore serve``) or mounted in another application, which need not run its lifespan: the backend
is opened by whichever comes first, the lifespan or a request.
"""

from __future__ import annotations

from functools import cache
from typing import Final, cast

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from tracecore.backend import Backend
from tracecore.errors import TracecoreError
from tracecore.kinds import catalog_of
from tracecore.prompts import Author
from tracecore.server import native
from tracecore.server.access import Gate
from tracecore.server.api import EVERY
from tracecore.server.bodies import Limits
from tracecore.server.housekeeping import Housekeeping
from tracecore.server.langfuse_errors import answer_to
from tracecore.server.observing import Observing
from tracecore.server.openapi import document
from tracecore.server.operations import Operation, routes_of
from tracecore.server.problems import Endpoint, Refusal, answering
from tracecore.server.prompt_metrics_native import metrics_route
from tracecore.server.prompts_native import Visitor, prompt_routes
from tracecore.server.protected_labels_native import protected_label_routes
from tracecore.server.state import ServerState
from tracecore.services.access import Permission, Principal
from tracecore.services.protected_labels import ProtectedLabels
from tracecore.wire import BASE

__all__ = ["Server", "every_operation"]


def every_operation() -> list[Operation]:
    """Return every declared operation of the server, in the order in which paths are tried."""
    return [operation for group in EVERY for operation in group.declared]


class Server:
    """Answer requests over a backend that it opens and closes."""

    def __init__(self, backend: Backend, *, limits: Limits | None = None, pepper: str | None = None) -> None:
        self.state: Final = ServerState(backend, limits=limits, pepper=pepper)
        self._housekeeping = Housekeeping(self.state)
        self._opening: anyio.Lock | None = None
        self._is_open = False
        self.state.describe = cache(lambda: msgspec.json.encode(document(every_operation())))
        routes = [*_prompt_routes(self.state), *_native_routes(self.state), *routes_of(every_operation(), self.state)]
        self._app: ASGIApp = Observing(Router(routes=routes, default=_nowhere), self.state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live from start to end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                await self.open()
            except TracecoreError as error:
                await answer_to(error)(scope, receive, send)
                return
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def open(self) -> None:
        """Open the backend and begin to keep house; once."""
        if self._is_open:
            return
        self._opening = self._opening or anyio.Lock()
        async with self._opening:
            if not self._is_open:
                await self.state.backend.open()
                self._housekeeping.begin()
                self._is_open = True

    async def close(self) -> None:
        """Finish what was begun, and close the backend."""
        if self._is_open:
            self._is_open = False
            self.state.prompt_feeds.end()
            await self._housekeeping.end()
            await self.state.backend.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.open()
        except TracecoreError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _native_routes(state: ServerState) -> list[Route]:
    """Return the routes of our own endpoint, behind the gate."""

    def reach(request: Request, _: str) -> str:
        return cast("Principal", request.scope["principal"]).project

    found = native.routes(
        state.backend,
        limits=state.limits,
        reach=reach,
        writer=state.writer,
        decoding=state.decoding,
        allowance=state.allowance,
        prepare=state.prepare,
    )
    return [Route(route.path, _guarded(state.gate, route), methods=sorted(route.methods or ())) for route in found]


def _prompt_routes(state: ServerState) -> list[Route]:
    """Return the routes of prompts on our own endpoint, behind the gate: a key is the author of what it changes."""

    async def admit(request: Request, permission: Permission) -> Visitor:
        principal = await state.gate.admit(request, permission)
        author = Author(principal.key, principal.may("promptProtectedLabels:CUD"))
        return Visitor(principal.project, author)

    limits, allowance = state.limits, state.allowance
    labels = ProtectedLabels(catalog_of(state.backend))
    return [
        *prompt_routes(state.prompts, admit=admit, limits=limits, allowance=allowance, feeds=state.prompt_feeds),
        *protected_label_routes(labels, admit=admit, limits=limits, allowance=allowance),
        metrics_route(state.backend, admit),
    ]


_WRITES: Final = frozenset({f"{BASE}/batch", f"{BASE}/maintain"})


def _guarded(gate: Gate, route: Route) -> Endpoint:
    """Return an endpoint of ours that first asks who it is: nothing behind it is reached without a key."""
    endpoint = cast("Endpoint", route.endpoint)
    needed: tuple[Permission, ...] = ("project:read",)
    if route.path in _WRITES:
        needed = ("ingest:create",)
    elif route.path == f"{BASE}/capabilities":
        needed = ("project:read", "ingest:create")

    async def guarded(request: Request) -> Response:
        request.scope["principal"] = await gate.admit(request, *needed)
        return await endpoint(request)

    return answering(guarded)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for paths that are none."""
    path = scope.get("path", "")
    await answer_to(Refusal(404, "NotFound", f"there is no {path[:200]} here"))(scope, receive, send)
