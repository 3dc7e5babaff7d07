"""Langfuse's older ingestion: changes of traces and observations, made records.

A trace is the span that stands for it (:mod:`tracecore.services.synthetic`), which is made with the first observation
of it if nobody has made the trace by then. Every observation carries what was said of its trace, as those of newer
clients do, so that lists find it by its user or its session; where that changes later, it is written to all of them.

What changes say together depends on what is stored, so nobody else may write to the same trace between reading and
writing: within one process that holds. Of two servers over one database that are sent two events about one observation
at the same moment, the later write wins field by field, as everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeAlias

import anyio
from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, Backend, Batch, ObservationQuery
from tracecore.conditions import MOST_VALUES, Condition
from tracecore.errors import BackendRejected
from tracecore.records import Observation, Provenance, TraceAttributes
from tracecore.services.legacy_changes import Change, folded, is_ours, needs_payloads, passed_on
from tracecore.services.stores import observations_of, walked
from tracecore.services.synthetic import synthetic_id

__all__ = ["LegacyIngestion", "TraceLocks", "Write"]

Write: TypeAlias = Callable[[Batch], Awaitable[None]]
"""Writes records; returns when they are durable."""
_STRIPES: Final = 64


class TraceLocks:
    """Let one at a time change a trace; of many traces some share a lock."""

    def __init__(self) -> None:
        self._locks = [anyio.Lock() for _ in range(_STRIPES)]

    @asynccontextmanager
    async def held(self, project: str, trace_ids: Iterable[str]) -> AsyncGenerator[None]:
        """Hold the locks of traces, taken in one order by everybody."""
        async with AsyncExitStack() as stack:
            for stripe in sorted({hash((project, trace_id)) % _STRIPES for trace_id in trace_ids}):
                await stack.enter_async_context(self._locks[stripe])
            yield


class _Made(Struct, frozen=True):
    """Hold a record, and the changes that it answers for."""

    record: Observation
    changes: Sequence[Change]


class LegacyIngestion:
    """Keep what changes say, in one project."""

    def __init__(
        self, backend: Backend, project: str, *, locks: TraceLocks, write: Write, provenance: Provenance
    ) -> None:  # fmt: skip
        self._backend = backend
        self._project = project
        self._locks = locks
        self._write = write
        self._provenance = provenance

    async def keep(self, changes: Sequence[Change]) -> list[BackendRejected | None]:
        """Write what changes say; return why one is not kept, or None, in the same order.

        Raises:
            BackendUnavailable: it may be that some of it is kept; all of it may be sent again.
        """
        traces: dict[str, dict[str, list[Change]]] = {}
        resolved = await self._with_traces(changes)
        for trace_id, change in resolved:
            traces.setdefault(trace_id, {}).setdefault(change.span_id, []).append(change)
        async with self._locks.held(self._project, traces):
            made: list[_Made] = []
            for trace_id, spans in traces.items():
                made += await self._made(trace_id, spans)
            rejected = await self._written(made)
        return [rejected.get(id(change)) for change in changes]

    async def _with_traces(self, changes: Sequence[Change]) -> list[tuple[str, Change]]:
        """Return changes with the ids of their traces: where one names none, that of the observation it is about.

        What is about an observation that nobody has named a trace for is a trace by itself, under its own id.
        """
        known = {change.span_id: change.trace_id for change in changes if change.trace_id is not None}
        unknown = [*dict.fromkeys(change.span_id for change in changes if change.span_id not in known)]
        for start in range(0, len(unknown), MOST_VALUES):
            some = Condition("id", "any of", tuple(unknown[start : start + MOST_VALUES]))
            query = ObservationQuery(where=(some,), limit=LARGEST_PAGE)
            async for stored in walked(observations_of(self._backend).find, self._project, query):
                known.setdefault(stored.span_id, stored.trace_id)  # the newest, where several traces have one of it
        return [(change.trace_id or known.get(change.span_id, change.span_id), change) for change in changes]

    async def _made(self, trace_id: str, spans: dict[str, list[Change]]) -> list[_Made]:
        """Return the records that changes of one trace make: of what they are about, and of what carries the trace."""
        root_id = synthetic_id(trace_id)
        stored = await self._stored(trace_id, spans, root_id)
        made = {
            span_id: _Made(folded(self._project, trace_id, stored.get(span_id), told, self._provenance), told)
            for span_id, told in spans.items()
        }
        before = stored.get(root_id)
        root = made[root_id].record if root_id in made else before
        earliest = min((one.record.start_ns for one in made.values() if is_ours(one.record)), default=None)
        if earliest is not None and (root is None or (is_ours(root) and earliest < root.start_ns)):
            root = self._stand_in(trace_id, earliest) if root is None else replace(root, start_ns=earliest)
            made[root_id] = _Made(root, made[root_id].changes if root_id in made else ())
        said = TraceAttributes() if root is None else root.trace
        found = [
            _Made(_told(one.record, said), one.changes) if span_id != root_id and is_ours(one.record) else one
            for span_id, one in made.items()
        ]
        if before is not None and passed_on(before.trace, TraceAttributes()) != passed_on(said, TraceAttributes()):
            found += await self._others(trace_id, said, made)
        return found

    async def _stored(self, trace_id: str, spans: dict[str, list[Change]], root_id: str) -> dict[str, Observation]:
        """Return what is stored of observations and of their trace, with payloads where these are needed."""
        store = observations_of(self._backend)
        found: dict[str, Observation] = {}
        ids = [*dict.fromkeys((*spans, root_id))]
        for start in range(0, len(ids), MOST_VALUES):
            some = Condition("id", "any of", tuple(ids[start : start + MOST_VALUES]))
            query = ObservationQuery(trace_id=trace_id, where=(some,), limit=LARGEST_PAGE)
            found |= {one.span_id: one async for one in walked(store.find, self._project, query)}
        for span_id, told in spans.items():
            if span_id in found and needs_payloads(found[span_id], told):
                found[span_id] = await store.get(self._project, trace_id, span_id) or found[span_id]
        return found

    def _stand_in(self, trace_id: str, start_ns: int) -> Observation:
        """Return the span for a trace of which nobody has said anything yet."""
        change = Change(trace_id=trace_id, span_id=synthetic_id(trace_id), at_ns=0, is_update=False, start_ns=start_ns)
        return folded(self._project, trace_id, None, [change], self._provenance)

    async def _others(self, trace_id: str, said: TraceAttributes, made: dict[str, _Made]) -> list[_Made]:
        """Return the other observations of a trace with what is said of it now."""
        query = ObservationQuery(trace_id=trace_id, limit=LARGEST_PAGE)
        found: list[_Made] = []
        while True:
            page = await observations_of(self._backend).find(self._project, query)
            found += [
                _Made(_told(one, said), ()) for one in page.items if one.span_id not in made and is_ours(one)
            ]  # fmt: skip
            if page.next_cursor is None:
                return found
            query = replace(query, cursor=page.next_cursor)

    async def _written(self, made: Sequence[_Made]) -> dict[int, BackendRejected]:
        """Write records; return why changes were rejected, by the identity of the change."""
        try:
            await self._write([one.record for one in made])
        except BackendRejected as error:
            if len(made) == 1:
                return {id(change): error for change in made[0].changes}
            rejected: dict[int, BackendRejected] = {}
            for one in made:  # each by itself: one that is refused costs no other
                rejected |= await self._written([one])
            return rejected
        return {}


def _told(observation: Observation, said: TraceAttributes) -> Observation:
    return replace(observation, trace=passed_on(said, observation.trace))
