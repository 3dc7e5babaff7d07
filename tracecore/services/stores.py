"""The stores of a backend that a server needs, and the one look-up that no store offers by itself."""

from __future__ import annotations

from typing import TypeVar

from tracecore.backend import Backend, ObservationQuery, ObservationStore, ScoreStore, SessionStore, TraceStore
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected
from tracecore.measures import MeasureStore, Measuring
from tracecore.records import Observation

__all__ = ["measures_of", "observation_of", "observations_of", "scores_of", "sessions_of", "traces_of"]

T = TypeVar("T")


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


def _present(store: T | None, noun: str, backend: Backend) -> T:
    if store is None:
        raise BackendRejected(f"{backend.location} keeps no {noun} that can be read", "use SQLite or PostgreSQL")
    return store
