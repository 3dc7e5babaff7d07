"""The service as a child process: started on a free port, waited for, stopped as an operator would stop it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx2

__all__ = ["ServerFailed", "ServerProcess"]

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0


class ServerFailed(Exception):
    """Report that the service did not start, or did not end well."""


class ServerProcess:
    """Run ``python -m examples.rag_service`` in an environment for the length of an ``async with`` block."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        """Start the service and wait until it says where it listens."""
        command = [sys.executable, "-m", "examples.rag_service", "--port", "0"]
        self._process = subprocess.Popen(  # noqa: ASYNC220 - starting takes a millisecond, and nothing else runs yet
            command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        with self._process.stdout as pipe:
            line = await anyio.to_thread.run_sync(pipe.readline)
        if not line.startswith("listening on "):
            raise ServerFailed(f"the service did not start: exit code {self._process.wait()}")
        self.base_url = line.removeprefix("listening on ").strip()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ask the service to end, wait for it, and insist if it does not."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = await anyio.to_thread.run_sync(lambda: process.wait(STOP_SECONDS))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerFailed(f"the service did not end within {STOP_SECONDS:.0f} s of SIGTERM") from None
        if code and error is None:
            raise ServerFailed(f"the service ended with exit code {code}")

    def client(self, *, connections: int) -> httpx2.AsyncClient:
        """Return a client that talks to the service only; the proxies of the environment are not for loopback."""
        limits = httpx2.Limits(max_connections=connections)
        return httpx2.AsyncClient(base_url=self.base_url, limits=limits, timeout=START_SECONDS, trust_env=False)

    async def ready(self, client: httpx2.AsyncClient) -> dict[str, Any]:
        """Wait until the corpus is loaded; return what the service says of itself."""
        try:
            response = await client.get("/health")
        except httpx2.HTTPError as failure:
            raise ServerFailed(f"the service did not become ready: {failure!r}") from failure
        health: dict[str, Any] = response.raise_for_status().json()
        return health
