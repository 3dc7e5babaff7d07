"""Traces as Langfuse's older operations show them (``Trace``, ``TraceWithDetails``)."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from tracecore.records import Trace
from tracecore.server.api.payloads import value_of
from tracecore.server.api.shapes import DEFAULT_ENVIRONMENT
from tracecore.server.api.times import iso

__all__ = ["TraceAnswer", "io_of", "metrics_of", "trace_shape"]

_NS: Final = 1_000_000_000


class TraceAnswer(Struct, kw_only=True, rename="camel"):
    """Show a trace; what was not asked for is not there."""

    id: str
    project_id: str
    timestamp: str
    name: str | None
    user_id: str | None
    session_id: str | None
    release: str | None
    version: str | None
    environment: str
    tags: tuple[str, ...]
    public: bool
    bookmarked: bool
    metadata: Any
    created_at: str
    updated_at: str
    html_path: str
    external_id: str | None = None
    input: Any = None
    output: Any = None
    latency: float | UnsetType = UNSET
    """Seconds."""
    total_cost: float | UnsetType = UNSET
    """USD, as far as known."""
    observations: list[Any] | UnsetType = UNSET
    scores: list[Any] | UnsetType = UNSET


def trace_shape(trace: Trace, **more: Any) -> TraceAnswer:
    """Return a trace as an answer has it."""
    said = trace.attributes
    return TraceAnswer(
        id=trace.trace_id,
        project_id=trace.project,
        timestamp=iso(trace.start_ns),
        name=trace.name,
        user_id=said.user_id,
        session_id=said.session_id,
        release=said.release,
        version=said.version,
        environment=said.environment or DEFAULT_ENVIRONMENT,
        tags=said.tags,
        public=bool(said.public),
        bookmarked=bool(trace.bookmarked),
        metadata=value_of(said.metadata),
        created_at=iso(trace.start_ns),
        updated_at=iso(trace.end_ns),
        html_path=f"/project/{trace.project}/traces/{trace.trace_id}",
        **more,
    )


def metrics_of(trace: Trace) -> dict[str, float]:
    """Return what a trace amounts to, as members of its answer."""
    return {"latency": trace.duration_ns / _NS, "total_cost": trace.total_cost or 0.0}


def io_of(trace: Trace) -> dict[str, Any]:
    """Return what went into the root of a trace and came out, as members of its answer."""
    return {"input": value_of(trace.input), "output": value_of(trace.output)}
