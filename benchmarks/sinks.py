"""Backends for measuring: one that keeps nothing, and one that decides when another begins to work."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from tracecore.backend import Backend, Batch, Capabilities, Receipt
from tracecore.errors import BackendUnavailable

__all__ = ["HeldBackend", "NullBackend"]

_LONGEST_OPENING_S: Final = 30.0


class NullBackend:
    """Count what arrives and forget it: what is left is the cost of everything before the store."""

    capabilities: Final = Capabilities()
    location: Final = "nowhere"
    traces: Final = None
    observations: Final = None
    sessions: Final = None
    scores: Final = None
    ledger: Final = None
    sql: Final = None

    def __init__(self) -> None:
        self.records = 0

    async def open(self) -> None:
        """Do nothing."""

    async def write(self, batch: Batch) -> None:
        """Count the records."""
        self.records += len(batch)

    async def maintain(self) -> bool:
        """Do nothing."""
        return False

    async def close(self) -> None:
        """Do nothing."""


class HeldBackend:
    """Pass everything on to another backend, but hold back the first batch until told, and its deferred work for ever.

    What is emitted before :meth:`release` waits in the buffer; then the pump alone works it off. Deferred work (the
    search index) is measured by itself, afterwards, unless the backend is ``maintaining`` itself as in a program. While
    it is ``away`` every write is refused at once, as by a server that nobody has started.
    """

    def __init__(self, backend: Backend, *, held: bool = False, maintaining: bool = False) -> None:
        self._backend = backend
        self._maintaining = maintaining
        self.away = False
        self.asked_again_at: float | None = None
        """When a write was let through for the first time since the backend came back, on the performance counter."""
        self._gate = threading.Event()
        self._opened = threading.Event()
        if not held:
            self._gate.set()
        self.capabilities = backend.capabilities
        self.location = backend.location
        self.traces = backend.traces
        self.observations = backend.observations
        self.sessions = backend.sessions
        self.scores = backend.scores
        self.ledger = backend.ledger
        self.sql = backend.sql

    def release(self) -> None:
        """Let the pump begin."""
        self._gate.set()

    def come_back(self) -> None:
        """Take what is written, from now on."""
        self.asked_again_at = None
        self.away = False

    def wait_until_open(self) -> None:
        """Wait until the backend is open.

        Raises:
            RuntimeError: it takes too long.
        """
        if not self._opened.wait(_LONGEST_OPENING_S):
            raise RuntimeError(f"{self.location} is not open after {_LONGEST_OPENING_S} s")

    async def open(self) -> None:
        """Open the backend, and wait until released: how long opening takes is not measured."""
        await self._backend.open()
        self._opened.set()
        await asyncio.to_thread(self._gate.wait)

    async def write(self, batch: Batch) -> Receipt | None:
        """Write the batch.

        Raises:
            BackendUnavailable: nobody is there.
        """
        if self.away:
            raise BackendUnavailable("the backend is away", "try again")
        if self.asked_again_at is None:
            self.asked_again_at = time.perf_counter()
        return await self._backend.write(batch)

    async def maintain(self) -> bool:
        """Do nothing now, or what the backend does."""
        return self._maintaining and await self._backend.maintain()

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()
