"""The example service with a recorder of its own, in this process, over a corpus that is known by heart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette

from examples.rag_service.app import create_app
from examples.rag_service.llm import ChatModel
from examples.rag_service.service import RagService
from examples.rag_service.settings import Settings
from tests.examples.rag_corpus import PASSAGES
from tracecore import Config, Recorder
from tracecore.memory import MemoryBackend, open_backend
from tracecore.records import Observation

__all__ = ["HEADERS", "Bench", "open_bench"]

HEADERS = {"X-User-Id": "user-1", "X-Session-Id": "session-1", "X-Platform": "ios/5.2.1"}


class Bench:
    """A client of the service, and what its recorder has kept."""

    def __init__(
        self, app: Starlette, *, client: httpx2.AsyncClient, recorder: Recorder, backend: MemoryBackend
    ) -> None:
        self.app = app
        self.client = client
        self.recorder = recorder
        self.backend = backend

    async def ask(self, headers: dict[str, str] | None = None, **body: object) -> httpx2.Response:
        """Send one question."""
        return await self.client.post("/ask", json=body, headers={**HEADERS, **(headers or {})})

    async def tree(self, response: httpx2.Response) -> list[Observation]:
        """Return the observations of the response's trace, in order of their start."""
        assert (await self.recorder.aflush()).delivered
        return await self.backend.observations.tree("default", response.headers["X-Trace-Id"])


@asynccontextmanager
async def open_bench(model: ChatModel | None = None) -> AsyncIterator[Bench]:
    """Open the service with the built-in model, or another one."""
    service = RagService(PASSAGES, Settings(fault_header=True))
    if model is not None:
        service.pipeline.model = model
    backend = open_backend("memory:")
    app = create_app(service)
    transport = httpx2.ASGITransport(app)
    async with (
        Recorder(Config(), backend=backend) as recorder,
        httpx2.AsyncClient(transport=transport, base_url="http://service.test") as client,
    ):
        yield Bench(app, client=client, recorder=recorder, backend=backend)
