"""Reading: the three stores over one reading connection. Each method is one hop to its thread.

Lists never touch ``tc_bodies`` unless they are asked for bodies or search, and every list follows an index; the tests
assert both from the query plan.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

from tracecore.backend import ObservationQuery, Page, SessionQuery, TraceQuery
from tracecore.records import Observation, Session, Trace
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.cursors import decode_cursor, encode_cursor
from tracecore_sql.filters import (
    NEVER,
    Conditions,
    check_limit,
    observation_conditions,
    session_conditions,
    trace_conditions,
)
from tracecore_sql.from_rows import TRACE_COLUMNS, observation_of, payload_of, text_of, trace_of
from tracecore_sql.to_rows import storable
from tracecore_sqlite.candidates import Query, search_observations, search_traces
from tracecore_sqlite.connection import Connection

__all__ = ["SqliteObservations", "SqliteSessions", "SqliteTraces"]

Reader: TypeAlias = Callable[[], Awaitable[Connection]]
Rows: TypeAlias = list[tuple[Any, ...]]
T = TypeVar("T")

_LIST: Final = ", ".join(f"o.{column}" for column in LIST_COLUMNS)
_BODY: Final = ", ".join(f"b.{column}" for column in BODY_COLUMNS)
_TRACE: Final = ", ".join(TRACE_COLUMNS)
_WITH_BODY: Final = "LEFT JOIN tc_bodies b ON b.id = o.id"
_ROOT: Final = "r.project = t.project AND r.trace_id = t.trace_id AND r.span_id = t.root_id"
_SESSION_TRACES: Final = "FROM tc_traces t WHERE t.project = s.project AND t.session_id = s.session_id"


class SqliteTraces:
    """Read traces; see :class:`tracecore.backend.TraceStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, newest start first."""
        check_limit(query.limit)
        where = trace_conditions(project, query)
        if query.cursor is not None:
            where.after(decode_cursor("sqlite traces", query.cursor, ids=1), "start_ns", "trace_id")
        connection = await self._reader()
        rows = await connection.run(_find_traces, connection.raw, project, query, where)
        traces = [trace_of(row) for row in rows]
        return _page(traces, query.limit, lambda trace: ("sqlite traces", (trace.start_ns, trace.trace_id)))

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        sql = (
            f"SELECT {', '.join(f't.{column}' for column in TRACE_COLUMNS)}, b.input, b.output FROM tc_traces t "
            f"LEFT JOIN tc_observations r ON {_ROOT} LEFT JOIN tc_bodies b ON b.id = r.id "
            "WHERE t.project = ? AND t.trace_id = ?"
        )
        rows = await _fetch(self._reader, sql, [project, trace_id])
        return trace_of(rows[0][:-2], payload_of(rows[0][-2]), payload_of(rows[0][-1])) if rows else None


class SqliteObservations:
    """Read observations; see :class:`tracecore.backend.ObservationStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations, newest start first."""
        check_limit(query.limit)
        where = observation_conditions(project, query)
        if query.cursor is not None:
            key = decode_cursor("sqlite observations", query.cursor, ids=2)
            where.after(key, "start_ns", "span_id", "trace_id")
        connection = await self._reader()
        rows = await connection.run(_find_observations, connection.raw, query, where)
        return _page(
            [observation_of(row) for row in rows],
            query.limit,
            lambda span: ("sqlite observations", (span.start_ns, span.span_id, span.trace_id)),
        )

    async def get(self, project: str, trace_id: str, span_id: str) -> Observation | None:
        """Return one observation with its payloads, or None."""
        found = await self._of_trace([project, trace_id, span_id], "o.project = ? AND o.trace_id = ? AND o.span_id = ?")
        return found[0] if found else None

    async def tree(self, project: str, trace_id: str) -> list[Observation]:
        """Return every observation of a trace, by start then span id."""
        found = await self._of_trace([project, trace_id], "o.project = ? AND o.trace_id = ?")
        return sorted(found, key=lambda span: (span.start_ns, span.span_id))

    async def _of_trace(self, values: list[Any], where: str) -> list[Observation]:
        sql = f"SELECT {_LIST}, {_BODY} FROM tc_observations o {_WITH_BODY} WHERE {where}"
        return [observation_of(row) for row in await _fetch(self._reader, sql, values)]


class SqliteSessions:
    """Read sessions; see :class:`tracecore.backend.SessionStore`. Their totals are summed here, from the traces."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions, the one with the most recently started trace first."""
        check_limit(query.limit)
        where = session_conditions(project, query)
        if query.user_id is not None:
            where.add(f"EXISTS (SELECT 1 {_SESSION_TRACES} AND t.user_id = ?)", query.user_id)
        if query.cursor is not None:
            where.after(decode_cursor("sqlite sessions", query.cursor, ids=1), "s.last_start_ns", "s.session_id")
        found = await self._read(where, query.limit + 1)
        page = _page(found, query.limit, lambda entry: ("sqlite sessions", (entry[0], entry[1].session_id)))
        return Page([session for _, session in page.items], page.next_cursor)

    async def get(self, project: str, session_id: str) -> Session | None:
        """Return one session, or None when neither a trace nor a session record names it."""
        found = await self._read(Conditions(["s.project = ?", "s.session_id = ?"], [project, session_id]), 1)
        return found[0][1] if found else None

    async def _read(self, where: Conditions, limit: int) -> list[tuple[int, Session]]:
        connection = await self._reader()
        return await connection.run(_read_sessions, connection.raw, where, limit)


def _find_traces(raw: sqlite3.Connection, project: str, query: TraceQuery, where: Conditions) -> Rows:
    order = "start_ns DESC, trace_id DESC"
    found: Query | None = f"SELECT {_TRACE} FROM tc_traces WHERE {where.sql} ORDER BY {order}", where.values
    if query.search is not None:
        found = search_traces(raw, query.search, columns=_TRACE, where=where, order=order, project=project)
    return _first(raw, found, query.limit + 1)


def _find_observations(raw: sqlite3.Connection, query: ObservationQuery, where: Conditions) -> Rows:
    order = "start_ns DESC, span_id DESC, trace_id DESC"
    columns = f"{_LIST}, {_BODY}" if query.bodies else _LIST
    source = f"tc_observations o {_WITH_BODY}" if query.bodies else "tc_observations o"
    found: Query | None = f"SELECT {columns} FROM {source} WHERE {where.sql} ORDER BY {order}", where.values
    if query.search is not None:
        found = search_observations(raw, query.search, columns=columns, where=where, order=order)
    return _first(raw, found, query.limit + 1)


def _first(raw: sqlite3.Connection, query: Query | None, count: int) -> Rows:
    return [] if query is None else _rows(raw, f"{query[0]} LIMIT ?", [*query[1], count])


def _read_sessions(raw: sqlite3.Connection, where: Conditions, limit: int) -> list[tuple[int, Session]]:
    """Read a page of sessions and sum their traces, in one transaction so that both are of one moment."""
    raw.execute("BEGIN")
    try:
        rows = raw.execute(
            "SELECT s.last_start_ns, s.project, s.session_id, s.environment, s.public, s.bookmarked FROM tc_sessions s "
            f"WHERE {where.sql} ORDER BY s.last_start_ns DESC, s.session_id DESC LIMIT ?",
            [*storable(where.values), limit],
        ).fetchall()
        return [(row[0], _session(raw, row)) for row in rows]
    finally:
        raw.execute("COMMIT")


def _session(raw: sqlite3.Connection, row: tuple[Any, ...]) -> Session:
    last_start, project, session_id, environment, public, bookmarked = row
    key = (project, session_id)
    totals: tuple[Any, ...] = (0, 0, 0, None, None, 0, 0, 0, None, 1)
    users: Rows = []
    if last_start != NEVER:
        totals = raw.execute(_SESSION_TOTALS, key).fetchone()
        users = raw.execute(_SESSION_USERS, key).fetchall()
    traces, observations, errors, start_ns, end_ns, read, written, total, cost, known = totals
    return Session(
        project=text_of(project),
        session_id=text_of(session_id),
        environment=text_of(environment),
        public=None if public is None else bool(public),
        bookmarked=None if bookmarked is None else bool(bookmarked),
        trace_count=traces,
        observation_count=observations,
        error_count=errors,
        user_ids=tuple(sorted(text_of(user_id) for (user_id,) in users)),
        start_ns=start_ns,
        end_ns=end_ns,
        input_tokens=read,
        output_tokens=written,
        total_tokens=total,
        total_cost=cost,
        cost_known=bool(known),
    )


_SESSION_TOTALS: Final = """
SELECT
    count(*), sum(observation_count), sum(error_count), min(start_ns), max(end_ns), sum(input_tokens),
    sum(output_tokens), sum(total_tokens), sum(total_cost), min(cost_known)
FROM tc_traces WHERE project = ? AND session_id = ?
"""
_SESSION_USERS: Final = """
SELECT DISTINCT user_id FROM tc_traces WHERE project = ? AND session_id = ? AND user_id IS NOT NULL
"""


async def _fetch(reader: Reader, sql: str, values: list[Any]) -> Rows:
    connection = await reader()
    return await connection.run(_rows, connection.raw, sql, values)


def _rows(raw: sqlite3.Connection, sql: str, values: list[Any]) -> Rows:
    return raw.execute(sql, storable(values)).fetchall()


def _page(items: list[T], limit: int, position: Callable[[T], tuple[str, tuple[Any, ...]]]) -> Page[T]:
    """Return the first ``limit`` items, and the cursor of the last when there are more."""
    shown = items[:limit]
    return Page(shown, encode_cursor(*position(shown[-1])) if len(items) > limit else None)
