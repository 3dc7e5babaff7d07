"""A server over each backend that needs no other program, without a socket, and clients with keys of two projects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tracecore.backend import Backend
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.server.app import Server
from tracecore.services.access import KeyScope
from tracecore_sqlite import open_backend

START_NS: Final = 1_800_000_000_000_000_000
"""When the clock of a server begins."""


class Api:
    """A server, its clock, which stands until it is moved, and a client of each of two projects."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.now_ns = START_NS
        self.p: httpx2.AsyncClient
        self.q: httpx2.AsyncClient
        server.state.wall = lambda: self.now_ns  # a clock that a test moves

    @property
    def backend(self) -> Backend:
        """Return the backend of the server."""
        return self.server.state.backend

    async def client(self, project: str, scope: KeyScope = "all") -> httpx2.AsyncClient:
        """Return a client with a new key."""
        made = await self.server.state.keys.create(project, now_ns=self.now_ns, scope=scope)
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.server), base_url="http://server/api/public",
            auth=(made.key.public_key, made.secret),
        )  # fmt: skip

    async def get(self, path: str, **query: Any) -> Any:
        """Return what a read of project p answers, which succeeds."""
        answer = await self.p.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        """Return what a request of project p answers, which succeeds."""
        answer = await self.p.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def later(self, seconds: float = 1.0) -> None:
        """Move the clock on."""
        self.now_ns += round(seconds * 1e9)


@pytest.fixture(params=["memory", "sqlite"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """Return an open server with its clients."""
    backend: Backend
    if request.param == "memory":
        backend = MemoryBackend(MemoryData(), location="memory:", access="write")
    else:
        backend = open_backend(f"sqlite:///{tmp_path}/a.db", access="write")
    async with AsyncExitStack() as stack:
        server = Server(backend)
        await server.open()
        stack.push_async_callback(server.close)
        made = Api(server)
        made.p = await stack.enter_async_context(await made.client("p"))
        made.q = await stack.enter_async_context(await made.client("q"))
        yield made
