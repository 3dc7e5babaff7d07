"""What all requests of one server share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from tracecore.backend import Backend, Batch
from tracecore.catalog_prompts import CatalogPrompts
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.kinds import catalog_of
from tracecore.server.access import Gate
from tracecore.server.answers import LARGE_AT_ONCE
from tracecore.server.bodies import Allowance, Limits
from tracecore.server.probe import Probe
from tracecore.server.prompt_feeds import PromptFeeds
from tracecore.server.requests import Requests
from tracecore.services.ingest import BatchWriter
from tracecore.services.keys import Keys
from tracecore.services.legacy_ingestion import TraceLocks
from tracecore.services.models import Models
from tracecore.services.projects import Projects
from tracecore.services.signing import Signer

__all__ = ["ServerState"]


class ServerState:
    """Hold the backend, the one writer to it, and the gate."""

    def __init__(
        self,
        backend: Backend,
        *,
        limits: Limits | None = None,
        pepper: str | None = None,
        wall: Callable[[], int] = wall_ns,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        catalog = catalog_of(backend)
        self.backend: Final = backend
        self.limits: Final = limits or Limits()
        self.wall: Final = wall
        self.clock: Final = clock
        self.allowance: Final = Allowance(self.limits.in_hand_bytes)
        self.decoding: Final = anyio.Semaphore(LARGE_AT_ONCE)
        """Held by each large body from decoding to writing."""
        self.writer: Final = BatchWriter(backend)
        self.trace_locks: Final = TraceLocks()
        self.keys: Final = Keys(catalog, pepper)
        self.projects: Final = Projects(catalog)
        self.models: Final = Models(catalog, backend.observations, clock=clock)
        self.prompts: Final = CatalogPrompts(catalog, wall=lambda: self.wall())  # noqa: PLW0108 - a test may put another
        self.prompt_feeds: Final = PromptFeeds(self.prompts, clock=clock)
        self.signer: Final = Signer(catalog, pepper)
        self.gate: Final = Gate(self.keys, wall=wall, clock=clock)
        self.probe: Final = Probe(catalog, wall=wall, clock=clock)
        self.requests: Final = Requests()
        self.describe: Callable[[], bytes] = lambda: b"{}"
        """Returns the OpenAPI document; the application, which knows its operations, puts it here."""

    async def prepare(self, batch: Batch) -> Batch:
        """Return the records that are written for those that arrived: with what they cost."""
        return await self.models.priced(batch)
