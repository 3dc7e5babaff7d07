"""Servers for tests, each on a thread and a socket of its own.

One is tracecore's endpoint, one a stub that is told what to say, and one speaks as badly as a test wants it to.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tracecore.backend import Backend
from tracecore.catalog_prompts import prompts_of
from tracecore.errors import BackendRejected
from tracecore.memory import open_backend
from tracecore.server.native import routes
from tracecore.server.prompts_native import prompt_routes

__all__ = ["Asked", "Reply", "Rooms", "raw", "room_names", "served", "stub"]

room_names = (f"room{number}" for number in count())


class Rooms:
    """Serve tracecore's endpoint over a backend for each name with which a path begins: by default a memory of it."""

    def __init__(self, make: Callable[[str], Backend] = lambda name: open_backend(f"memory:{name}")) -> None:
        self._make = make
        self._apps: dict[str, Starlette] = {}
        self._backends: list[Backend] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or close everything at the end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        name = scope["path"].split("/")[1]
        if name not in self._apps:
            backend = self._make(name)
            self._apps[name] = Starlette(routes=[*_prompts(backend), *routes(backend)])
            self._backends.append(backend)
            await backend.open()
        await self._apps[name]({**scope, "root_path": f"/{name}"}, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for backend in self._backends:
            await backend.close()
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.contextmanager
def served(app: ASGIApp | None = None) -> Iterator[str]:
    """Serve an application, or rooms, for the length of a block; return the URL."""
    # Only a socket that says that it is TCP makes ones that send at once.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    config = uvicorn.Config(
        app or Rooms(),
        loop="asyncio",
        lifespan="auto",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="uvicorn")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _prompts(backend: Backend) -> list[Route]:
    """Return the routes of prompts, where a backend keeps such."""
    try:
        return prompt_routes(prompts_of(backend))
    except BackendRejected:
        return []


class Asked(Struct):
    """Hold a request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: str = ""
    """The other end of the connection."""


class Reply(Struct):
    """Say what to answer; without a status the connection is closed instead."""

    status: int | None = 200
    body: bytes = b"{}"
    headers: dict[str, str] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Stub

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body, f"{self.client_address}")
        self.server.asked.append(asked)
        reply = self.server.answer(asked)
        if reply.status is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


class _Stub(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away."""


@contextlib.contextmanager
def stub(answer: Callable[[Asked], Reply]) -> Iterator[_Stub]:
    """Serve what a function answers, for the length of a block; clients must have closed by its end."""
    server = _Stub(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="stub")
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection after the other by a function, for the length of a block; return host and port.

    The function is given each connection when something has arrived on it; what it raises for a connection that has
    gone ends that connection.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connections.append(connection)
            with connection, contextlib.suppress(OSError):
                if connection.recv(1 << 16):
                    talk(connection)

    thread = threading.Thread(target=serve, name="raw")
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        for one in (listening, *connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()
