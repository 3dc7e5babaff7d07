"""Writing a batch: one transaction.

The ordinary case, new traces whose observations nobody knows, is one statement: it inserts the traces with their
roll-ups, the observations and their payloads. Traces that were there before are locked, given what is new, merged with
what is not, and rolled up again from all that is stored of them. Both ways give the same rows: the fast one skips work
whose result is known. Where it cannot be taken (a trace seems new, because retention has removed its row, but not yet
its observations; a text has to be escaped), the batch is written again with more care.

The rows of traces are the locks: whoever writes to a trace has its row, and rows are taken in the order of their keys,
of traces first and of sessions next, so that writers wait for each other, but not in a circle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct

from tracecore.backend import Batch
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import LedgerEntry, Observation, Score, Session, Span, TraceAttributes, merge
from tracecore.rollup import Saying, unite_attributes
from tracecore_postgres.connection import Connection
from tracecore_postgres.failures import is_about_text, sqlstate_of
from tracecore_postgres.packing import NULL, NotPlain, check_size, columns_of, packed
from tracecore_postgres.sql import BODIES, ENTRIES, SCORES, SESSIONS, STAGED, UNITED, Sql, sql
from tracecore_postgres.texts import stored_values, values_of
from tracecore_postgres.touched import Touched
from tracecore_sql.columns import LIST_COLUMNS
from tracecore_sql.from_rows import observation_of, payload_of, unpack_tags
from tracecore_sql.ledger import ledger_values
from tracecore_sql.to_rows import attribute_values, body_values, list_values, score_values

__all__ = ["ROWS_AT_ONCE", "Kinds", "TraceRemoved", "Writer", "parts", "sorted_out"]

ROWS_AT_ONCE: Final = 1024
"""Observations of one statement: preparing so many holds up the loop for some milliseconds."""
_CHARACTERS_AT_ONCE: Final = 32 * 1024 * 1024
_IDS_AT_ONCE: Final = 4096
"""The increment of the sequence of ids."""
_LISTED: Final = len(LIST_COLUMNS)
_IS_THERE: Final = "23505"
"""The SQLSTATE of what is unique and there already."""

Trace: TypeAlias = tuple[str, str]
"""Project and trace id."""
Identity: TypeAlias = tuple[str, str, str]
"""Project, trace id, span id."""
Weeks: TypeAlias = tuple[int, int]
"""The first and the last week that may have a partition."""


class TraceRemoved(BackendUnavailable):
    """Report that somebody removed a trace between two looks at it: writing again finds it new."""


class Locked(Struct, frozen=True):
    """Hold what a trace was when its row was locked."""

    week: int
    session_id: str | None
    start_ns: int


class Kinds(Struct):
    """Hold the records of a batch by kind, one record of each identity."""

    observations: list[Observation] = []
    sessions: list[Session] = []
    scores: list[Score] = []
    entries: list[LedgerEntry] = []


class Writer:
    """Write batches through one connection.

    ``begin`` are the statements that begin a transaction, ``ids`` names the sequence of ids.
    """

    def __init__(self, connection: Connection, *, begin: str) -> None:
        self._connection = connection
        self._begin = begin
        self._ids = range(0)

    async def write(self, kinds: Kinds, weeks: Weeks) -> None:
        """Keep every record, or none of them.

        Raises:
            BackendRejected: a record holds what no column does.
            Exception: as the driver puts it.
        """
        try:
            await self._transact(kinds, weeks, careful=False)
        except NotPlain:
            pass
        except Exception as error:
            if not is_about_text(error) and sqlstate_of(error) != _IS_THERE:
                raise
        else:
            return
        # Some text holds what PostgreSQL cannot, or a trace that seemed new has observations: looking at every
        # character, and for every row, beforehand would cost every batch.
        await self._transact(kinds, weeks, careful=True)

    async def _transact(self, kinds: Kinds, weeks: Weeks, *, careful: bool) -> None:
        connection = self._connection
        await connection.execute(self._begin)
        try:
            await _Transaction(connection, self._take_ids, weeks=weeks, careful=careful).write(kinds)
            ended = await connection.execute("COMMIT")
        except Exception:
            if not connection.is_closed() and connection.is_in_transaction():
                with contextlib.suppress(Exception):  # whoever lent the connection cuts one that is not clean
                    await connection.execute("ROLLBACK")
            raise
        if ended != "COMMIT":
            raise BackendUnavailable("a transaction came to nothing", "try again")

    async def _take_ids(self, count: int) -> range:
        """Return so many ids that nobody else has.

        What is left of a block is dropped with the connection: a server that lost power may hand out its block again.
        """
        if len(self._ids) < count:
            first: int = await self._connection.fetchval("SELECT nextval('tc_ids')")
            self._ids = range(first, first + _IDS_AT_ONCE)
        taken, self._ids = self._ids[:count], self._ids[count:]
        return taken


class _Transaction:
    """Write one batch within a transaction that has begun."""

    def __init__(self, connection: Connection, take_ids: Callable[[int], Any], *, weeks: Weeks, careful: bool) -> None:
        self._connection = connection
        self._take_ids = take_ids
        self._weeks = weeks
        self._careful = careful
        self._sql: Sql = sql()
        self._touched = Touched()

    async def write(self, kinds: Kinds) -> None:
        """Write the records of all kinds, in the order of the locks."""
        for part in parts(kinds.observations):
            await self._write_new(part)
        await self._write_sessions(kinds.sessions)
        if kinds.scores:
            await self._put(self._sql.upsert_scores, SCORES, score_values(kinds.scores, NULL))
        if kinds.entries:
            await self._write_ledger(kinds.entries)

    # -- observations

    async def _write_new(self, observations: list[Observation]) -> None:
        """Write observations; those of known traces another way."""
        rows = self._rows(observations, await self._take_ids(len(observations)))
        known: set[Trace] = set()
        differ: dict[Trace, Locked] = {}
        anew = False
        statement = self._sql.write_new if self._careful else self._sql.write_only_new
        for kind, project, name, number in await self._fetch(statement, NULL, *self._weeks, *rows):
            if kind == "known":
                known.add((project, name))
            elif kind == "differ":
                differ[project, name] = Locked(number, None, 0)
            elif kind == "session":
                self._touched.begins(project, name, number)
            elif number:
                # Retention has removed a trace, and its observations not yet: it is known all the same.
                anew = True
        if differ:
            for trace, after in (await self._unite(differ)).items():
                self._touched.begins(trace[0], after.session_id, after.start_ns)
        if anew:
            known = {(one.project, one.trace_id) for one in observations}
        if known:
            rest = [one for one in observations if (one.project, one.trace_id) in known]
            await self._write_known(rest, known, anew=anew)

    async def _write_known(self, observations: list[Observation], traces: set[Trace], *, anew: bool) -> None:
        """Write observations of traces that are there, which are rolled up if they have changed, or ``anew``."""
        locked = await self._lock(traces)
        ids = await self._take_ids(len(observations))
        kept = await self._insert(observations, ids, locked)
        changed = {(one.project, one.trace_id) for number, one in zip(ids, observations, strict=True) if number in kept}
        turned_away = [one for number, one in zip(ids, observations, strict=True) if number not in kept]
        if turned_away:
            changed |= await self._merge(turned_away, locked)
        if changed or anew:
            await self._roll_up(locked if anew else {trace: locked[trace] for trace in changed})

    async def _lock(self, traces: Iterable[Trace]) -> dict[Trace, Locked]:
        wanted = sorted(traces)
        rows = await self._fetch(self._sql.lock_traces, *self._texts(zip(*wanted, strict=True)))
        locked = {(project, trace_id): Locked(*rest) for project, trace_id, *rest in rows}
        if len(locked) < len(wanted):
            raise TraceRemoved("a trace was removed while it was written", "try again")
        return locked

    async def _insert(
        self, observations: Sequence[Observation], ids: Sequence[int], locked: dict[Trace, Locked]
    ) -> set[int]:
        """Insert observations of locked traces, and return the ids of those that were not there."""
        owners = (*self._texts(zip(*locked, strict=True)), [trace.week for trace in locked.values()])
        kept: set[int] = set()
        for at in range(0, len(observations), ROWS_AT_ONCE):
            part = slice(at, at + ROWS_AT_ONCE)
            rows = self._rows(observations[part], ids[part])
            kept.update(number for (number,) in await self._fetch(self._sql.write_known, NULL, *owners, *rows))
        return kept

    async def _merge(self, observations: list[Observation], locked: dict[Trace, Locked]) -> set[Trace]:
        """Merge observations into those that are there, and return the traces of which this has changed one."""
        wanted = {(one.project, one.trace_id, one.span_id): one for one in observations}
        weeks = [locked[project, trace_id].week for project, trace_id, _ in wanted]
        found = await self._fetch(self._sql.find_observations, *self._texts(zip(*wanted, strict=True)), weeks)
        replaced: list[tuple[int, int, Observation]] = []
        for week, number, *row in found:
            known = observation_of(row)
            merged = merge(known, wanted[known.project, known.trace_id, known.span_id])
            if merged != known and isinstance(merged, Span):
                replaced.append((week, number, merged))
        if not replaced:
            return set()
        ids = [number for _, number, _ in replaced]
        await self._fetch(self._sql.remove_observations, [week for week, _, _ in replaced], ids)
        traces = {(one.project, one.trace_id) for _, _, one in replaced}
        await self._insert([one for _, _, one in replaced], ids, {trace: locked[trace] for trace in traces})
        return traces

    # -- roll-ups

    async def _roll_up(self, locked: dict[Trace, Locked]) -> None:
        """Recompute known traces from all that is stored of them."""
        rows = await self._of_traces(self._sql.roll_up, locked)
        differ: dict[Trace, Locked] = {}
        after: dict[Trace, Locked] = {}
        for project, trace_id, week, session_id, start_ns, disagree in rows:
            after[project, trace_id] = Locked(week, session_id, start_ns)
            if disagree:
                differ[project, trace_id] = locked[project, trace_id]
        if differ:
            after |= await self._unite(differ)
        for trace, now in after.items():
            was = locked[trace]
            self._touched.moves(trace[0], (was.session_id, was.start_ns), (now.session_id, now.start_ns))

    async def _unite(self, traces: dict[Trace, Locked]) -> dict[Trace, Locked]:
        """Unite the attributes of traces whose observations carry different ones; return what a session follows."""
        sayings: dict[Trace, list[Saying]] = {}
        for project, trace_id, *row in await self._of_traces(self._sql.sayings, traces):
            sayings.setdefault((project, trace_id), []).append(_saying(row))
        values: list[Any] = []
        for trace, said in sayings.items():
            values += (*trace, *attribute_values(unite_attributes(said), NULL))
        rows = await self._put(self._sql.unite_traces, UNITED, values)
        return {
            (project, trace_id): Locked(traces[project, trace_id].week, session_id, start_ns)
            for project, trace_id, session_id, start_ns in rows
        }

    async def _of_traces(self, statement: str, traces: dict[Trace, Locked]) -> list[Sequence[Any]]:
        weeks = [trace.week for trace in traces.values()]
        return await self._fetch(statement, *self._texts(zip(*traces, strict=True)), weeks)

    # -- the rest

    async def _write_sessions(self, own: list[Session]) -> None:
        values = self._touched.values(own, NULL)
        if values:
            await self._put(self._sql.upsert_sessions, SESSIONS, values)
        if self._touched.moved:
            await self._fetch(self._sql.follow_traces, *self._texts(zip(*sorted(self._touched.moved), strict=True)))

    async def _write_ledger(self, entries: list[LedgerEntry]) -> None:
        await self._put(self._sql.upsert_ledger, ENTRIES, ledger_values(entries, NULL))
        ended = [entry for entry in entries if entry.ended]
        if ended:  # also where a later entry stands in its place
            projects = stored_values(entry.project for entry in ended)
            processes = stored_values(entry.process for entry in ended)
            await self._fetch(self._sql.end_processes, projects, processes, [entry.minute_ns for entry in ended])

    # -- values

    async def _fetch(self, statement: str, *values: Any) -> list[Sequence[Any]]:
        return [values_of(row) for row in await self._connection.fetch(statement, *values)]

    async def _put(self, statement: str, columns: Mapping[str, str], values: list[Any]) -> list[Sequence[Any]]:
        """Run a statement on rows whose values follow each other in a flat list."""
        texts = packed(columns_of(values, len(columns)), columns.values(), escaped=self._careful)
        check_size(texts)
        return await self._fetch(statement, NULL, *texts)

    def _rows(self, observations: Sequence[Observation], ids: Sequence[int]) -> list[str]:
        """Return the packed columns of observations and of their bodies."""
        listed = columns_of(list_values(observations, NULL), _LISTED)
        bodies = columns_of(body_values(observations, ids, NULL), len(BODIES))
        columns = [ids, *listed, [_process(one) for one in observations], *bodies]
        texts = packed(columns, (*STAGED.values(), *BODIES.values()), escaped=self._careful)
        check_size(texts)
        return texts

    def _texts(self, columns: Iterable[Sequence[str]]) -> list[list[Any]]:
        return [stored_values(column) for column in columns]


def sorted_out(batch: Batch) -> Kinds:
    """Return the records of a batch by kind, those of one identity merged.

    Raises:
        BackendRejected: something in the batch is no record.
    """
    observations: dict[Identity, Observation] = {}
    others: dict[tuple[Any, ...], Any] = {}
    for record in batch:
        if isinstance(record, Span):
            _add(observations, (record.project, record.trace_id, record.span_id), record)
        elif isinstance(record, Session):
            _add(others, (Session, record.project, record.session_id), record)
        elif isinstance(record, Score):
            _add(others, (Score, record.project, record.score_id), record)
        elif isinstance(record, LedgerEntry):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may not be typed
            _add(others, (LedgerEntry, record.project, record.process, record.minute_ns), record)
        else:
            raise BackendRejected(f"a batch cannot hold a {type(record).__name__}", "write records only")
    kinds = Kinds(observations=list(observations.values()))
    for record in others.values():
        if isinstance(record, Session):
            kinds.sessions.append(record)
        elif isinstance(record, Score):
            kinds.scores.append(record)
        else:
            kinds.entries.append(record)
    return kinds


def _add(found: dict[Any, Any], identity: tuple[Any, ...], record: Any) -> None:
    earlier = found.get(identity)
    found[identity] = record if earlier is None else merge(earlier, record)


def parts(observations: list[Observation]) -> Iterable[list[Observation]]:
    """Yield what goes into one statement: so many rows, or so many characters of payloads, but at least one row.

    A trace is cut in two only where it is too much for a statement: to the second one it would be a known trace.
    """
    if not observations:
        return
    if len(observations) <= ROWS_AT_ONCE and sum(map(_weight, observations)) <= _CHARACTERS_AT_ONCE:
        yield observations
        return
    traces: dict[Trace, list[Observation]] = {}
    for one in observations:
        traces.setdefault((one.project, one.trace_id), []).append(one)
    part: list[Observation] = []
    weight = 0
    for trace in sorted(traces):  # the order of the locks
        of_trace = traces[trace]
        more = sum(map(_weight, of_trace))
        if part and (len(part) + len(of_trace) > ROWS_AT_ONCE or weight + more > _CHARACTERS_AT_ONCE):
            yield part
            part, weight = [], 0
        if len(of_trace) <= ROWS_AT_ONCE and more <= _CHARACTERS_AT_ONCE:
            part += of_trace
            weight += more
        else:
            yield from _pieces(of_trace)
    if part:
        yield part


def _pieces(of_trace: list[Observation]) -> Iterable[list[Observation]]:
    """Yield the pieces of a trace that is too much for one statement."""
    part: list[Observation] = []
    weight = 0
    for one in of_trace:
        if part and (len(part) == ROWS_AT_ONCE or weight + _weight(one) > _CHARACTERS_AT_ONCE):
            yield part
            part, weight = [], 0
        part.append(one)
        weight += _weight(one)
    yield part


def _weight(one: Observation) -> int:
    return len(one.input) + len(one.output) + len(one.metadata)


def _process(one: Observation) -> str:
    """Return the process in which an observation runs, or NULL when it does not run."""
    provenance = one.provenance
    if provenance is None or one.status != "running" or provenance.service_instance_id is None:
        return NULL
    return provenance.service_instance_id


def _saying(row: Sequence[Any]) -> Saying:
    ended, span_id, name, user_id, session_id, tags, release, version, environment, public, metadata = row
    return (
        ended,
        span_id,
        TraceAttributes(
            name, user_id, session_id, unpack_tags(tags), payload_of(metadata), release, version, environment,
            None if public is None else bool(public),
        ),
    )  # fmt: skip
