"""The reference backend: everything in this process, clarity over speed.

It is what the contract means, in plain Python: other backends are compared with it by the conformance suite, and
programs use it in their own tests. Nothing survives the process. ``memory:`` opens a store of its own, ``memory:name``
the store of that name, which everybody in this process shares and which outlives ``close``.

Invariant: records are changed by :meth:`MemoryBackend.write` alone, or erased, and everything of a call is done or
nothing; what is found abandoned is written like everything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar, cast

from msgspec.structs import replace

from tracecore.backend import (
    Access,
    Batch,
    Capabilities,
    LedgerQuery,
    LedgerTotals,
    ObservationQuery,
    Page,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.erasure import LARGEST_ERASURE, Erased, check_ids, check_limit, check_project
from tracecore.errors import BackendRejected, BackendUnavailable, Closed, ConfigError
from tracecore.ledger import LOOK_EVERY_NS, abandoned, add_up, is_gone, last_entries
from tracecore.measures import MeasureQuery, MeasureRow
from tracecore.measuring import measure_observations, measure_scores
from tracecore.memory_catalog import Entries, MemoryCatalog
from tracecore.records import (
    ABSENT,
    Generation,
    LedgerEntry,
    Observation,
    Record,
    Score,
    Session,
    Span,
    Trace,
    merge,
)
from tracecore.rollup import roll_up, roll_up_session
from tracecore.selection import (
    any_says,
    entry_matches,
    length_of_observation,
    length_of_score,
    observation_matches,
    page_of,
    score_matches,
    session_matches,
    trace_matches,
    without_payloads,
)

__all__ = ["MemoryBackend", "MemoryData", "open_backend"]

Key: TypeAlias = tuple[str, str]
"""A project, and a name inside it."""
T = TypeVar("T")

_SLICE: Final = 500
"""Observations that are found abandoned at once."""

_named: Final[dict[str, MemoryData]] = {}


def open_backend(url: str, *, access: Access = "write") -> MemoryBackend:
    """Return an unopened backend for ``memory:`` (its own data) or ``memory:name`` (data shared by that name).

    Raises:
        ConfigError: the URL is not of this form.
    """
    scheme, colon, name = url.partition(":")
    name = name.removeprefix("//")
    if scheme != "memory" or not colon or set(name) & set("/?#"):
        raise ConfigError("backend", url, "backend URL", "memory: or memory:name")
    data = _named.setdefault(name, MemoryData()) if name else MemoryData()
    return MemoryBackend(data, location=f"memory:{name}", access=access)


class MemoryData:
    """Hold the records and what follows from them."""

    def __init__(self) -> None:
        self.traces: dict[Key, dict[str, Observation]] = {}
        """The observations of each trace, by span id."""
        self.rollups: dict[Key, Trace] = {}
        """The roll-up of each trace; the same keys as ``traces``."""
        self.sessions: dict[Key, Session] = {}
        """The own record of each session that has one, without roll-up fields."""
        self.scores: dict[Key, Score] = {}
        self.entries_of_catalog: Entries = {}
        self.ledger: dict[Key, dict[int, LedgerEntry]] = {}
        """The entries of each process, by the start of their minute."""

    def session(self, project: str, session_id: str) -> Session:
        """Return the own record of a session, an empty one when it has none."""
        return self.sessions.get((project, session_id)) or Session(project, session_id)

    def traces_of(self, project: str, session_id: str) -> list[Trace]:
        """Return the traces that carry a session id."""
        return [
            trace
            for (owner, _), trace in self.rollups.items()
            if owner == project and trace.attributes.session_id == session_id
        ]

    def entries(self, project: str) -> Iterator[LedgerEntry]:
        """Yield every ledger entry of a project."""
        for (owner, _), entries in self.ledger.items():
            if owner == project:
                yield from entries.values()

    def judged(self, score: Score) -> Observation | None:
        """Return the observation that a score judges, if it is here."""
        return self.traces.get((score.project, score.trace_id or ""), {}).get(score.observation_id or "")

    def abandoned(self, now_ns: int) -> Iterator[Observation]:
        """Yield a record that ends it for each observation that runs in a process that is gone at a wall-clock time."""
        for key in [key for key, trace in self.rollups.items() if trace.running]:
            for span in self.traces[key].values():
                process = None if span.provenance is None else span.provenance.service_instance_id
                entries = None if process is None else self.ledger.get((span.project, process))
                if span.status == "running" and entries:
                    last = entries[max(entries)]
                    if is_gone(last, now_ns):
                        yield abandoned(span, last.seen_ns)

    def erase_traces(self, project: str, trace_ids: Iterable[str]) -> tuple[int, int]:
        """Remove traces with everything of theirs; return how many observations and scores have gone."""
        wanted = set(trace_ids)
        gone = [self.traces.pop((project, trace_id), {}) for trace_id in wanted]
        for trace_id in wanted:
            self.rollups.pop((project, trace_id), None)
        scores = [key for key, one in self.scores.items() if one.project == project and one.trace_id in wanted]
        for key in scores:
            del self.scores[key]
        return sum(map(len, gone)), len(scores)

    def erase_some(self, project: str, limit: int) -> bool:
        """Remove some of what a project has besides traces; return whether there was any."""
        kept = cast("list[dict[Any, Any]]", [self.scores, self.sessions, self.ledger, self.entries_of_catalog])
        for records in kept:
            mine = [key for key in records if key[0] == project][:limit]
            for key in mine:
                del records[key]
            if mine:
                return True
        return False

    def keep(self, record: Record) -> None:
        """Merge one record into what is known of its identity."""
        if isinstance(record, Span):
            spans = self.traces.setdefault((record.project, record.trace_id), {})
            spans[record.span_id] = _merged(spans.get(record.span_id), record)
        elif isinstance(record, Session):
            session = Session(record.project, record.session_id, record.environment, record.public, record.bookmarked)
            key = (record.project, record.session_id)
            self.sessions[key] = _merged(self.sessions.get(key), session)
        elif isinstance(record, Score):
            key = (record.project, record.score_id)
            self.scores[key] = _merged(self.scores.get(key), record)
        else:
            entries = self.ledger.setdefault((record.project, record.process), {})
            entries[record.minute_ns] = _merged(entries.get(record.minute_ns), record)


class MemoryBackend:
    """Keep records in this process; see :class:`tracecore.backend.Backend` for what each member means."""

    sql: Final = None
    capabilities: Final = Capabilities(
        traces=True, observations=True, sessions=True, scores=True, search=True, ledger=True, catalog=True,
        measures=True,
    )  # fmt: skip

    def __init__(
        self,
        data: MemoryData,
        *,
        location: str,
        access: Access,
        wall: Callable[[], int] = wall_ns,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._data = data
        self._access = access
        self._wall = wall
        self._clock = clock
        self._next_look = 0
        self._open = False
        self.location: Final = location
        self.traces: Final = MemoryTraces(self._readable)
        self.observations: Final = MemoryObservations(self._readable)
        self.sessions: Final = MemorySessions(self._readable)
        self.scores: Final = MemoryScores(self._readable)
        self.ledger: Final = MemoryLedger(self._readable)
        self.measures: Final = MemoryMeasures(self._readable)
        self.catalog: Final = MemoryCatalog(lambda: self._readable().entries_of_catalog, self._check_writable)

    def beside(self) -> MemoryBackend:
        """Return an unopened backend that reads the same data, whose own it may be."""
        return MemoryBackend(self._data, location=self.location, access="read")

    async def open(self) -> None:
        """Allow reads and writes."""
        self._open = True
        self._next_look = self._clock()

    async def write(self, batch: Batch) -> None:
        """Keep every record of the batch, or none of it."""
        self._check_writable()
        for record in batch:
            if not isinstance(record, Span | Session | Score | LedgerEntry):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
                raise BackendRejected(f"a batch cannot hold a {type(record).__name__}", "write records only")
        touched: dict[Key, None] = {}
        for record in batch:
            self._data.keep(_copied(record))
            if isinstance(record, Span):
                touched[record.project, record.trace_id] = None
        for project, trace_id in touched:
            spans = self._data.traces[project, trace_id].values()
            self._data.rollups[project, trace_id] = roll_up(project, trace_id, spans)

    async def erase(self, project: str, *, trace_ids: Sequence[str] = (), score_ids: Sequence[str] = ()) -> Erased:
        """Erase traces with everything of theirs, and scores; see :class:`tracecore.erasure.Erasable`."""
        self._check_writable()
        check_ids(trace_ids, score_ids)
        data = self._data
        traces = tuple(one for one in dict.fromkeys(trace_ids) if (project, one) in data.traces)
        observations, of_traces = data.erase_traces(project, trace_ids)
        scores = tuple(one for one in dict.fromkeys(score_ids) if (project, one) in data.scores)
        for score_id in scores:
            del data.scores[project, score_id]
        return Erased(traces, scores, observations, of_traces + len(scores))

    async def erase_before(self, project: str, until_ns: int, *, limit: int = LARGEST_ERASURE) -> bool:
        """Erase some of the traces that ended before a time; return whether more may remain."""
        self._check_writable()
        check_limit(limit)
        data = self._data
        mine = [trace for trace in data.rollups.values() if trace.project == project and trace.end_ns < until_ns]
        some = sorted(mine, key=lambda trace: trace.start_ns)[:limit]
        data.erase_traces(project, [trace.trace_id for trace in some])
        if len(some) == limit:
            return True
        old = [
            key for key, score in data.scores.items()
            if score.project == project and score.timestamp_ns < until_ns
            and (score.trace_id is None or (project, score.trace_id) not in data.traces)
        ][:limit]  # fmt: skip
        for key in old:
            del data.scores[key]
        return len(old) == limit

    async def erase_project(self, project: str, *, limit: int = LARGEST_ERASURE) -> bool:
        """Erase some of everything that a project has; return whether more may remain."""
        self._check_writable()
        check_project(project)
        check_limit(limit)
        some = [trace_id for owner, trace_id in self._data.traces if owner == project][:limit]
        self._data.erase_traces(project, some)
        return bool(some) or self._data.erase_some(project, limit)

    async def maintain(self) -> bool:
        """Find what was abandoned, now and then; return whether more of it may remain."""
        if not self._open or self._access == "read" or self._clock() < self._next_look:
            return False
        found = list(islice(self._data.abandoned(self._wall()), _SLICE))
        if not found:
            self._next_look = self._clock() + LOOK_EVERY_NS
            return False
        await self.write(found)
        return True

    async def close(self) -> None:
        """Refuse reads and writes from now on."""
        self._open = False

    def _check_writable(self) -> None:
        if not self._open:
            raise BackendUnavailable(f"{self.location} is not open", "open it first")
        if self._access == "read":
            raise BackendRejected(f"{self.location} was opened for reading", 'open it with access="write"')

    def _readable(self) -> MemoryData:
        if not self._open:
            raise Closed(f"{self.location} is not open; open it first")
        return self._data


class MemoryTraces:
    """Read traces; see :class:`tracecore.backend.TraceStore`."""

    def __init__(self, data: Callable[[], MemoryData]) -> None:
        self._data = data

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, newest start first."""
        data = self._data()
        found = [
            replace(trace, input=ABSENT, output=ABSENT)
            for trace in data.rollups.values()
            if trace.project == project
            and trace_matches(trace, query)
            and (query.search is None or any_says(data.traces[project, trace.trace_id].values(), query.search))
        ]
        return page_of("memory traces", found, lambda trace: (trace.start_ns, trace.trace_id), query)

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        return self._data().rollups.get((project, trace_id))


class MemoryObservations:
    """Read observations; see :class:`tracecore.backend.ObservationStore`."""

    def __init__(self, data: Callable[[], MemoryData]) -> None:
        self._data = data

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations, newest start first."""
        found = [
            _copied(span) if query.bodies else without_payloads(_copied(span))
            for (owner, _), spans in self._data().traces.items()
            for span in spans.values()
            if owner == project and observation_matches(span, query)
        ]
        return page_of("memory observations", found, _place, query, length_of_observation)

    async def get(self, project: str, trace_id: str, span_id: str) -> Observation | None:
        """Return one observation with its payloads, or None."""
        span = self._data().traces.get((project, trace_id), {}).get(span_id)
        return None if span is None else _copied(span)

    async def tree(self, project: str, trace_id: str) -> list[Observation]:
        """Return every observation of a trace, by start then span id."""
        spans = self._data().traces.get((project, trace_id), {}).values()
        return [_copied(span) for span in sorted(spans, key=lambda span: (span.start_ns, span.span_id))]


class MemorySessions:
    """Read sessions; see :class:`tracecore.backend.SessionStore`."""

    def __init__(self, data: Callable[[], MemoryData]) -> None:
        self._data = data

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions, the one with the most recently started trace first."""
        data = self._data()
        names = {trace.attributes.session_id for trace in data.rollups.values() if trace.project == project}
        names |= {session_id for owner, session_id in data.sessions if owner == project}
        found = [
            (_last_start(traces), roll_up_session(data.session(project, name), traces))
            for name in names
            if name is not None
            for traces in [data.traces_of(project, name)]
        ]
        page = page_of(
            "memory sessions",
            [entry for entry in found if session_matches(entry[1], entry[0], query)],
            lambda entry: (entry[0], entry[1].session_id),
            query,
        )
        return Page([session for _, session in page.items], page.next_cursor)

    async def get(self, project: str, session_id: str) -> Session | None:
        """Return one session, or None when neither a trace nor a session record names it."""
        data = self._data()
        traces = data.traces_of(project, session_id)
        if not traces and (project, session_id) not in data.sessions:
            return None
        return roll_up_session(data.session(project, session_id), traces)


class MemoryScores:
    """Read scores; see :class:`tracecore.backend.ScoreStore`."""

    def __init__(self, data: Callable[[], MemoryData]) -> None:
        self._data = data

    async def find(self, project: str, query: ScoreQuery) -> Page[Score]:
        """Return one page of scores, newest timestamp first."""
        scores = self._data().scores.values()
        found = [score for score in scores if score.project == project and score_matches(score, query)]
        return page_of(
            "memory scores", found, lambda score: (score.timestamp_ns, score.score_id), query, length_of_score
        )

    async def get(self, project: str, score_id: str) -> Score | None:
        """Return one score, or None."""
        return self._data().scores.get((project, score_id))


class MemoryLedger:
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    def __init__(self, data: Callable[[], MemoryData]) -> None:
        self._data = data

    async def find(self, project: str, query: LedgerQuery) -> Page[LedgerEntry]:
        """Return one page of entries, newest minute first."""
        entries = self._data().entries(project)
        chosen = last_entries(entries) if query.last else entries
        found = [_copied(entry) for entry in chosen if entry_matches(entry, query)]
        return page_of("memory ledger", found, lambda entry: (entry.minute_ns, entry.process), query)

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Return the sum over the last entry of each process, less what it had said before ``since_ns``."""
        entries = list(self._data().entries(project))
        since = min((entry.minute_ns for entry in entries), default=0) if since_ns is None else since_ns
        before = {entry.process: entry for entry in last_entries(e for e in entries if e.minute_ns < since)}
        return add_up((last, before.get(last.process)) for last in last_entries(entries) if last.minute_ns >= since)


class MemoryMeasures:
    """Measure what is kept; see :class:`tracecore.measures.MeasureStore`."""

    def __init__(self, data: Callable[[], MemoryData]) -> None:
        self._data = data

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Return the rows of the answer."""
        data = self._data()
        scores = [score for score in data.scores.values() if score.project == project]
        if query.view == "scores":
            judged = (
                (score, data.rollups.get((project, score.trace_id or "")), data.judged(score)) for score in scores
            )
            return measure_scores(judged, query)
        counts = Counter((score.trace_id, score.observation_id) for score in scores)
        spans = (span for (owner, _), spans in data.traces.items() if owner == project for span in spans.values())
        return measure_observations(((span, counts[span.trace_id, span.span_id]) for span in spans), query)


def _merged(known: T | None, record: T) -> T:
    return record if known is None else cast("T", merge(cast("Record", known), cast("Record", record)))


def _place(span: Observation) -> tuple[int, str, str]:
    """Return where an observation stands in lists."""
    return span.start_ns, span.span_id, span.trace_id


def _copied(record: T) -> T:
    """Return a record that shares nothing that can change: the maps of generations and entries are copied."""
    if isinstance(record, LedgerEntry):
        return replace(record, lost=None if record.lost is None else dict(record.lost))
    if not isinstance(record, Generation):
        return record
    maps = ("usage_details", "provided_usage_details", "cost_details", "provided_cost_details")
    return replace(record, **{name: dict(value) for name in maps if (value := getattr(record, name)) is not None})


def _last_start(traces: Iterable[Trace]) -> int | None:
    return max((trace.start_ns for trace in traces), default=None)
