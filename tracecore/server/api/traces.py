"""Traces: the operations that Langfuse had before observations carried everything, and erasing them.

``fields`` says what a list shows of each trace: ``core`` always, ``io``, ``scores``, ``observations`` (their ids) and
``metrics``; all of it where nothing is said. Less is much faster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, ObservationQuery, Page, ScoreQuery, TraceQuery
from tracecore.conditions import Condition
from tracecore.erasure import LARGEST_ERASURE
from tracecore.errors import BackendRejected, NotFound
from tracecore.records import Trace
from tracecore.selection import length_of_score
from tracecore.server.api.legacy_score_shapes import legacy_score
from tracecore.server.api.numbered import numbered
from tracecore.server.api.paging import PageMeta, Paging
from tracecore.server.api.payloads import size_of
from tracecore.server.api.shapes import whole
from tracecore.server.api.times import ns_of
from tracecore.server.api.trace_shapes import TraceAnswer, io_of, metrics_of, trace_shape
from tracecore.server.api.unit_prices import show_prices
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.forgetting import erase_traces
from tracecore.services.stores import observations_of, scores_of, traces_of, tree_of, walked
from tracecore.services.synthetic import is_synthetic
from tracecore.wire import LARGEST_ANSWER

__all__ = ["operations"]

operations = Operations()

Part: TypeAlias = Literal["core", "io", "scores", "observations", "metrics"]
_PARTS: Final[frozenset[Part]] = frozenset(get_args(Part))
_MOST: Final = 20_000
"""Observations, and scores, of the traces of one answer."""
T = TypeVar("T")
Q = TypeVar("Q", ObservationQuery, ScoreQuery)


class TracesQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select a numbered page of traces."""

    user_id: str | None = None
    name: str | None = None
    session_id: str | None = None
    from_timestamp: datetime | None = None
    to_timestamp: datetime | None = None
    order_by: str | None = None
    """``timestamp.desc``: lists have no other order."""
    tags: tuple[str, ...] = ()
    version: str | None = None
    release: str | None = None
    environment: tuple[str, ...] = ()
    fields: str | None = None


class TracesAnswer(Struct):
    """Hold a numbered page of traces."""

    data: list[TraceAnswer]
    meta: PageMeta


class TraceIds(Struct, frozen=True, rename="camel"):
    """Name traces."""

    trace_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=LARGEST_ERASURE)]


class Message(Struct, frozen=True):
    """Say what was done."""

    message: str


@operations.get("/traces", permission="project:read", deprecated=True)
async def list_traces(call: Call, query: TracesQuery) -> TracesAnswer:
    """Return a numbered page of traces, the newest start first."""
    asked, store = _asked(query), traces_of(call.backend)

    async def find(limit: int, cursor: str | None) -> Page[Trace]:
        return await store.find(call.project, replace(asked, limit=limit, cursor=cursor))

    parts = _parts(query.fields)
    traces, meta = await numbered(find, find, query)
    call.hold(sum(size_of(trace.attributes.metadata) for trace in traces))
    more: dict[str, dict[str, Any]] = {trace.trace_id: {} for trace in traces}
    if "metrics" in parts:
        for trace in traces:
            more[trace.trace_id].update(metrics_of(trace))
    if "io" in parts:
        for trace in traces:
            whole_trace = await store.get(call.project, trace.trace_id) or trace
            call.hold(size_of(whole_trace.input, whole_trace.output), "ask for a smaller limit, or fields without io")
            more[trace.trace_id].update(io_of(whole_trace))
    if "observations" in parts:
        for trace_id, ids in (await _observation_ids(call, traces)).items():
            more[trace_id]["observations"] = ids
    if "scores" in parts:
        for trace_id, ids in (await _score_ids(call, traces)).items():
            more[trace_id]["scores"] = ids
    return TracesAnswer([trace_shape(trace, **more[trace.trace_id]) for trace in traces], meta)


@operations.get("/traces/{trace_id:path}", permission="project:read", deprecated=True)
async def get_trace(call: Call, trace_id: str) -> TraceAnswer:
    """Return one trace with its observations and scores."""
    trace = await traces_of(call.backend).get(call.project, trace_id)
    if trace is None:
        raise _unknown(trace_id)
    if trace.observation_count > _MOST:
        raise _too_large(f"trace {trace_id!r} has {trace.observation_count} observations")
    store = observations_of(call.backend)
    every = await tree_of(store, call.project, trace_id, most_bytes=LARGEST_ANSWER, hold=call.hold)
    tree = [one for one in every if not is_synthetic(one)]
    scores: list[Any] = []
    async for score in _every(
        scores_of(call.backend).find, call.project, ScoreQuery(trace_id=trace_id, limit=LARGEST_PAGE)
    ):
        call.hold(length_of_score(score), "read its scores by themselves: /v3/scores?traceId=")
        scores.append(legacy_score(score))
    observations = [whole(one) for one in tree]
    await show_prices(call, tree, observations)
    return trace_shape(trace, observations=observations, scores=scores, **io_of(trace), **metrics_of(trace))


@operations.delete("/traces/{trace_id:path}", permission="traces:delete")
async def delete_trace(call: Call, trace_id: str) -> Message:
    """Erase a trace with everything that belongs to it; it is gone when this is answered."""
    erased = await erase_traces(call.backend, call.project, [trace_id])
    if not erased.traces:
        raise _unknown(trace_id)
    return Message("Trace deleted successfully")


@operations.delete("/traces", permission="traces:delete")
async def delete_traces(call: Call, body: TraceIds) -> Message:
    """Erase traces with everything that belongs to them; ids that are not known do not matter."""
    erased = await erase_traces(call.backend, call.project, list(dict.fromkeys(body.trace_ids)))
    return Message(f"Traces deleted successfully: {len(erased.traces)}")


def _asked(query: TracesQuery) -> TraceQuery:
    if query.order_by not in {None, "timestamp.desc", "timestamp.DESC"}:
        raise InvalidRequest(f"orderBy={query.order_by}: lists are in the order of timestamp.desc; leave it out")
    if len(query.environment) > 1:
        raise InvalidRequest("environment: name one; /v2/observations takes several")
    return TraceQuery(
        user_id=query.user_id, name=query.name, session_id=query.session_id, tags=query.tags, version=query.version,
        release=query.release, environment=query.environment[0] if query.environment else None,
        since_ns=None if query.from_timestamp is None else ns_of(query.from_timestamp),
        until_ns=None if query.to_timestamp is None else ns_of(query.to_timestamp),
    )  # fmt: skip


def _parts(fields: str | None) -> frozenset[Part]:
    named = {part.strip() for part in (fields or "").split(",")}
    return frozenset(part for part in _PARTS if part in named) if fields else _PARTS


async def _observation_ids(call: Call, traces: Sequence[Trace]) -> dict[str, list[str]]:
    """Return the ids of the observations of traces, by trace."""
    found: dict[str, list[str]] = {trace.trace_id: [] for trace in traces}
    if not found:
        return found
    query = ObservationQuery(
        limit=LARGEST_PAGE, since_ns=min(trace.start_ns for trace in traces),
        until_ns=max(trace.end_ns for trace in traces) + 1, where=(Condition("trace_id", "any of", tuple(found)),),
    )  # fmt: skip
    async for one in _every(observations_of(call.backend).find, call.project, query):
        if not is_synthetic(one):
            found[one.trace_id].append(one.span_id)
    return found


async def _score_ids(call: Call, traces: Sequence[Trace]) -> dict[str, list[str]]:
    """Return the ids of the scores of traces, by trace."""
    found: dict[str, list[str]] = {trace.trace_id: [] for trace in traces}
    if not found:
        return found
    query = ScoreQuery(limit=LARGEST_PAGE, trace_ids=tuple(found))
    async for score in _every(scores_of(call.backend).find, call.project, query):
        if score.trace_id is not None:
            found[score.trace_id].append(score.score_id)
    return found


async def _every(find: Callable[[str, Q], Awaitable[Page[T]]], project: str, query: Q) -> AsyncIterator[T]:
    """Yield all that a query selects.

    Raises:
        InvalidRequest: it is more than a list should hold.
    """
    count = 0
    async for item in walked(find, project, query):
        count += 1
        if count > _MOST:
            raise InvalidRequest(f"more than {_MOST} observations or scores: ask for fewer traces, or other fields")
        yield item


def _too_large(what: str) -> BackendRejected:
    return BackendRejected(what, "read them page by page: /v2/observations?traceId=")


def _unknown(trace_id: str) -> NotFound:
    return NotFound("trace", trace_id, "it is not in the project of the key")
