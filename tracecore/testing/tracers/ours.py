"""tracecore's own adapter: `@observe`, `span`, and what the memory backend has kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, Final, TypeVar, cast

import msgspec

import tracecore
from tracecore.backend import ObservationQuery, Page
from tracecore.memory import open_backend
from tracecore.records import Observation
from tracecore.testing.tracers.adapter import Feature, Finished, Status

__all__ = ["Tracecore"]

Function = TypeVar("Function", bound=Callable[..., Any])

_FLUSH_S: Final = 10.0
_numbers = count()


class Tracecore:
    """Record into memory with the default recorder."""

    title = "tracecore"
    version = tracecore.__version__
    offers: frozenset[Feature] = frozenset(
        {"generators", "async generators", "bindings", "callables", "cancelled", "executor", "results"}
    )

    def __init__(self) -> None:
        self._url = ""

    def observed(self, function: Function, /) -> Function:
        """Return the function with ``@observe``."""
        return cast("Function", tracecore.observe(function))

    def span(self, name: str, /) -> AbstractContextManager[object]:
        """Return a span as a block."""
        return tracecore.span(name)

    def current(self) -> str | None:
        """Return the id of the current span."""
        return tracecore.current_span_id()

    def executor(self, workers: int, /) -> Executor:
        """Return the pool that carries the context."""
        return tracecore.ContextExecutor(workers)

    def reset(self) -> None:
        """Begin with an empty store."""
        self._url = f"memory:tracer{next(_numbers)}"
        tracecore.configure(backend=self._url, pending_after_ms=0, flush_interval_ms=10)

    def finished(self) -> Sequence[Finished]:
        """Return what is stored.

        Raises:
            AssertionError: something was lost, or written more than once.
        """
        result = tracecore.flush(_FLUSH_S)
        kept = [_finished(observation) for observation in asyncio.run(self._kept())]
        if not result.delivered or result.lost or tracecore.health().emitted != len(kept):
            raise AssertionError(f"{tracecore.health().emitted} emitted, {len(kept)} kept; {result}")
        return kept

    async def _kept(self) -> list[Observation]:
        backend, kept, cursor = open_backend(self._url, access="read"), list[Observation](), None
        await backend.open()
        while True:
            query = ObservationQuery(limit=1000, bodies=True, cursor=cursor)
            page: Page[Observation] = await backend.observations.find("default", query)
            kept += page.items
            cursor = page.next_cursor
            if cursor is None:
                return kept


def _finished(span: Observation) -> Finished:
    result = msgspec.json.decode(span.output) if span.output else None
    status = cast("Status", span.status)
    return Finished(span.name, span.span_id, span.parent_id, span.trace_id, status, result)
