"""Reading sessions: a page of keys, then the totals of their traces, both as of one moment.

The key of a session is the start of its last trace. Settled traces have left it in ``tc_sessions``, recent ones are
grouped when read; a session that has both is listed by the later.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from tracecore.backend import Page, SessionQuery
from tracecore.records import Session
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.filters import NEVER, Conditions, check_limit, session_conditions
from tracecore_sql.from_rows import Row, text_of
from tracecore_sqlite.reading import RECENT, SETTLED, Reader, rows_of

__all__ = ["SqliteSessions"]

_CURSOR: Final = "sqlite sessions"
_ORDER: Final = "last_start_ns DESC, session_id DESC"
_OWN: Final = "own, environment, public, bookmarked"
_RECENT_SESSIONS: Final = f"""
SELECT t.session_id, max(t.start_ns) AS last_start_ns FROM tc_traces t
WHERE t.{RECENT} AND t.project = ? AND t.session_id IS NOT NULL GROUP BY t.session_id
"""
_OF_USER: Final = f"""
session_id IN (
    SELECT u.session_id FROM tc_traces u WHERE u.{SETTLED} AND u.project = ? AND u.user_id = ?
    UNION ALL SELECT u.session_id FROM tc_traces u WHERE u.{RECENT} AND u.project = ? AND u.user_id = ?
)
"""
_TRACES: Final = f"""
SELECT {{columns}} FROM tc_traces WHERE {SETTLED} AND project = ? AND session_id IN ({{ids}})
UNION ALL SELECT {{columns}} FROM tc_traces WHERE {RECENT} AND project = ? AND session_id IN ({{ids}})
"""
_TOTALS: Final = """
SELECT
    session_id, count(*), sum(observation_count), sum(error_count), min(start_ns), max(end_ns), sum(input_tokens),
    sum(output_tokens), sum(total_tokens), sum(total_cost), min(cost_known)
FROM ({traces}) GROUP BY session_id
"""
_SUMMED: Final = (
    "session_id, observation_count, error_count, start_ns, end_ns, input_tokens, output_tokens, total_tokens, "
    "total_cost, cost_known"
)


class SqliteSessions:
    """Read sessions; see :class:`tracecore.backend.SessionStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions, the one with the most recently started trace first."""
        check_limit(query.limit)
        where = session_conditions(query)
        if query.user_id is not None:
            where.add(_OF_USER, project, query.user_id, project, query.user_id)
        if query.cursor is not None:
            where.after(decode_cursor(_CURSOR, query.cursor, ids=1), "last_start_ns", "session_id")
        found = await self._read(project, where, query.limit + 1)
        page = page_of(found, query.limit, lambda entry: (_CURSOR, (entry[0], entry[1].session_id)))
        return Page([session for _, session in page.items], page.next_cursor)

    async def get(self, project: str, session_id: str) -> Session | None:
        """Return one session, or None when neither a trace nor a session record names it."""
        found = await self._read(project, Conditions(["session_id = ?"], [session_id]), 1)
        return found[0][1] if found else None

    async def _read(self, project: str, where: Conditions, count: int) -> list[tuple[int, Session]]:
        connection = await self._reader()
        return await connection.run(_in_one_moment, connection.raw, project, where, count)


def _in_one_moment(raw: sqlite3.Connection, project: str, where: Conditions, count: int) -> list[tuple[int, Session]]:
    raw.execute("BEGIN")
    try:
        return _with_totals(raw, project, _keys(raw, project, where, count))
    finally:
        raw.execute("COMMIT")


def _keys(raw: sqlite3.Connection, project: str, where: Conditions, count: int) -> list[Row]:
    """Return the key, id and own record of a page of sessions: of the recent ones, and of the rest."""
    condition = where.sql or "1"
    recent = (
        f"SELECT r.session_id, max(r.last_start_ns, ifnull(s.last_start_ns, {NEVER})) AS last_start_ns, {_OWN} "
        f"FROM ({_RECENT_SESSIONS}) r LEFT JOIN tc_sessions s ON s.project = ? AND s.session_id = r.session_id"
    )
    rest = (
        f"SELECT session_id, last_start_ns, {_OWN} FROM tc_sessions WHERE project = ? AND {condition} "
        f"AND session_id NOT IN (SELECT session_id FROM ({_RECENT_SESSIONS})) ORDER BY {_ORDER} LIMIT ?"
    )
    sql = f"SELECT * FROM ({recent}) WHERE {condition} UNION ALL SELECT * FROM ({rest}) ORDER BY {_ORDER} LIMIT ?"
    values = [project, project, *where.values, project, *where.values, project, count, count]
    return list(rows_of(raw, sql, values))


def _with_totals(raw: sqlite3.Connection, project: str, keys: Sequence[Row]) -> list[tuple[int, Session]]:
    ids = [key[0] for key in keys]
    marks = ", ".join("?" * len(ids))
    values = [project, *ids, project, *ids]
    totals = _TOTALS.format(traces=_TRACES.format(columns=_SUMMED, ids=marks))
    users = f"SELECT DISTINCT * FROM ({_TRACES.format(columns='session_id, user_id', ids=marks)})"
    summed = {row[0]: row[1:] for row in rows_of(raw, totals, values)}
    seen: dict[Any, set[str]] = {}
    for session_id, user_id in rows_of(raw, users, values):
        if user_id is not None:
            seen.setdefault(session_id, set()).add(text_of(user_id))
    return [(key[1], _session(project, key, summed.get(key[0]), tuple(sorted(seen.get(key[0], ()))))) for key in keys]


def _session(project: str, key: Row, totals: Row | None, user_ids: tuple[str, ...]) -> Session:
    session_id, _, _, environment, public, bookmarked = key
    own = Session(
        project=project,
        session_id=text_of(session_id),
        environment=text_of(environment),
        public=None if public is None else bool(public),
        bookmarked=None if bookmarked is None else bool(bookmarked),
    )
    if totals is None:
        return own
    traces, observations, errors, start_ns, end_ns, read, written, total, cost, known = totals
    return replace(
        own,
        trace_count=traces,
        observation_count=observations,
        error_count=errors,
        user_ids=user_ids,
        start_ns=start_ns,
        end_ns=end_ns,
        input_tokens=read,
        output_tokens=written,
        total_tokens=total,
        total_cost=cost,
        cost_known=bool(known),
    )
