"""The stores of a backend that a server needs, and what no store offers by itself: a look-up, and walks of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from msgspec.structs import replace

from tracecore.backend import (
    LARGEST_PAGE,
    Backend,
    ObservationQuery,
    ObservationStore,
    Page,
    ScoreQuery,
    ScoreStore,
    SessionStore,
    TraceQuery,
    TraceStore,
)
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected
from tracecore.measures import MeasureStore, Measuring
from tracecore.records import Observation
from tracecore.selection import length_of_observation

__all__ = [
    "measures_of",
    "observation_of",
    "observations_of",
    "scores_of",
    "sessions_of",
    "traces_of",
    "tree_of",
    "walked",
]

T = TypeVar("T")
Q = TypeVar("Q", ObservationQuery, ScoreQuery, TraceQuery)


def traces_of(backend: Backend) -> TraceStore:
    """Return the trace store, or say that there is none."""
    return _present(backend.traces, "traces", backend)


def observations_of(backend: Backend) -> ObservationStore:
    """Return the observation store, or say that there is none."""
    return _present(backend.observations, "observations", backend)


def sessions_of(backend: Backend) -> SessionStore:
    """Return the session store, or say that there is none."""
    return _present(backend.sessions, "sessions", backend)


def scores_of(backend: Backend) -> ScoreStore:
    """Return the score store, or say that there is none."""
    return _present(backend.scores, "scores", backend)


def measures_of(backend: Backend) -> MeasureStore:
    """Return what measures, or say that nothing does."""
    return _present(backend.measures if isinstance(backend, Measuring) else None, "measures", backend)


async def observation_of(
    backend: Backend, project: str, observation_id: str, *, bodies: bool = False
) -> Observation | None:
    """Return the observation of an id, the newest where several traces have one of it, or None."""
    query = ObservationQuery(where=(Condition("id", "=", observation_id),), limit=1)
    found = (await observations_of(backend).find(project, query)).items
    if not found or not bodies:
        return found[0] if found else None
    return await observations_of(backend).get(project, found[0].trace_id, found[0].span_id)


async def walked(find: Callable[[str, Q], Awaitable[Page[T]]], project: str, query: Q) -> AsyncIterator[T]:
    """Yield all that a query selects, page by page: a page may be shorter than was asked for."""
    while True:
        page = await find(project, query)
        for item in page.items:
            yield item
        if page.next_cursor is None:
            return
        query = replace(query, cursor=page.next_cursor)


async def tree_of(
    store: ObservationStore, project: str, trace_id: str, *, most_bytes: int, hold: Callable[[int], None]
) -> list[Observation]:
    """Return the observations of a trace as the store does, having read no more than so many bytes of payloads.

    ``hold`` is told of the bytes of each as it is read.

    Raises:
        BackendRejected: the trace has more.
    """
    found: list[Observation] = []
    query = ObservationQuery(trace_id=trace_id, bodies=True, limit=LARGEST_PAGE)
    async for one in walked(store.find, project, query):
        length = length_of_observation(one)
        most_bytes -= length
        if most_bytes < 0:
            what = f"the payloads of trace {trace_id[:100]!r} are too long for one answer"
            raise BackendRejected(what, "read them page by page, as /v2/observations?traceId= does")
        hold(length)
        found.append(one)
    return sorted(found, key=lambda one: (one.start_ns, one.span_id))


def _present(store: T | None, noun: str, backend: Backend) -> T:
    if store is None:
        raise BackendRejected(f"{backend.location} keeps no {noun} that can be read", "use SQLite or PostgreSQL")
    return store
