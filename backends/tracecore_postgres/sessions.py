"""Reading sessions: a page of keys and the totals of their traces, by one statement and so as of one moment."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tracecore.backend import Page, SessionQuery
from tracecore.records import Session
from tracecore_postgres.reading import Reading, fetch
from tracecore_postgres.texts import value_of
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.filters import Conditions, check_limit, session_conditions
from tracecore_sql.from_rows import Row

__all__ = ["PostgresSessions"]

_CURSOR: Final = "postgres sessions"
_ORDER: Final = "last_start_ns DESC, session_id DESC"
_OWN: Final = "session_id, last_start_ns, environment, public, bookmarked"
_OWN_WIDTH: Final = 5
_OF_USER: Final = "session_id IN (SELECT u.session_id FROM tc_traces u WHERE u.project = ? AND u.user_id = ?)"
_PAGE: Final = f"""
WITH page AS MATERIALIZED (
    SELECT project, {_OWN} FROM tc_sessions WHERE project = ? AND {{condition}} ORDER BY {_ORDER} LIMIT {{count}}
)
SELECT {", ".join(f"p.{column}" for column in _OWN.split(", "))}, t.*
FROM page p CROSS JOIN LATERAL (
    SELECT
        count(*), sum(s.observation_count), sum(s.error_count), min(s.start_ns), max(s.end_ns), sum(s.input_tokens),
        sum(s.output_tokens), sum(s.total_tokens), sum(s.total_cost), min(s.cost_known),
        array_agg(DISTINCT s.user_id) FILTER (WHERE s.user_id IS NOT NULL)
    FROM tc_traces s WHERE s.project = p.project AND s.session_id = p.session_id
) t
ORDER BY {_ORDER}
"""


class PostgresSessions:
    """Read sessions; see :class:`tracecore.backend.SessionStore`."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions, the one with the most recently started trace first."""
        check_limit(query.limit)
        where = session_conditions(query)
        if query.user_id is not None:
            where.add(_OF_USER, project, query.user_id)
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
        """Return sessions with their key in the list, at most ``count``."""
        sql = _PAGE.format(condition=where.sql or "true", count=count)
        rows = await fetch(self._reading, sql, [project, *where.values])
        return [(row[1], _session(project, row[:_OWN_WIDTH], row[_OWN_WIDTH:])) for row in rows]


def _session(project: str, own: Row, totals: Row) -> Session:
    session_id, _, environment, public, bookmarked = own
    session = Session(
        project=project,
        session_id=session_id,
        environment=environment,
        public=None if public is None else bool(public),
        bookmarked=None if bookmarked is None else bool(bookmarked),
    )
    traces, observations, errors, start_ns, end_ns, read, written, total, cost, known, users = totals
    if not traces:
        return session
    # A sum of bigint is numeric, which the driver makes a Decimal.
    counts: dict[str, Any] = {
        "trace_count": traces, "observation_count": observations, "error_count": errors, "input_tokens": read,
        "output_tokens": written, "total_tokens": total,
    }  # fmt: skip
    return replace(
        session,
        **{name: int(value) for name, value in counts.items()},
        user_ids=tuple(sorted(value_of(user) for user in users or ())),
        start_ns=start_ns,
        end_ns=end_ns,
        total_cost=cost,
        cost_known=bool(known),
    )
