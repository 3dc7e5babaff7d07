"""Reading traces. One trace says in which week its observations lie, so that one partition of them is read."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Final

from tracecore.backend import Page, TraceQuery
from tracecore.records import Trace
from tracecore_postgres.candidates import search_traces
from tracecore_postgres.reading import Reading, fetch, walked
from tracecore_sql.cursors import Key, decode_cursor, page_of
from tracecore_sql.filters import Conditions, check_limit, trace_conditions
from tracecore_sql.from_rows import TRACE_COLUMNS, payload_of, trace_of

__all__ = ["PostgresTraces"]

_COLUMNS: Final = ", ".join(TRACE_COLUMNS)
_ORDER: Final = "start_ns DESC, trace_id DESC"
_INDEXED: Final = ("project", "user_id", "session_id", "start_ns")
_CURSOR: Final = "postgres traces"
_GET: Final = f"""
SELECT {", ".join(f"t.{column}" for column in TRACE_COLUMNS)}, b.input, b.output
FROM tc_traces t
LEFT JOIN tc_observations r
    ON r.week = t.week AND r.project = t.project AND r.trace_id = t.trace_id AND r.span_id = t.root_id
LEFT JOIN tc_bodies b ON b.week = r.week AND b.id = r.id
WHERE t.project = ? AND t.trace_id = ?
"""


class PostgresTraces:
    """Read traces; see :class:`tracecore.backend.TraceStore`."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, newest start first."""
        check_limit(query.limit)
        key = None if query.cursor is None else decode_cursor(_CURSOR, query.cursor, ids=1)
        if query.search is None:
            where = _conditions(project, query, key)
            sql = f"SELECT {_COLUMNS} FROM tc_traces WHERE {where.sql} ORDER BY {_ORDER} LIMIT {query.limit + 1}"
            rows = await fetch(self._reading, sql, where.values)
        else:
            async with self._reading() as connection:
                rows = await search_traces(
                    connection,
                    project,
                    query.search,
                    conditions=lambda after: _conditions(project, query, after or key),
                    limit=query.limit + 1,
                )
        found = [trace_of(row) for row in rows]
        return page_of(found, query.limit, lambda trace: (_CURSOR, (trace.start_ns, trace.trace_id)))

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        rows = await fetch(self._reading, _GET, [project, trace_id])
        return trace_of(rows[0][:-2], payload_of(rows[0][-2]), payload_of(rows[0][-1])) if rows else None


def _conditions(project: str, query: TraceQuery, after: Key | None) -> Conditions:
    where = trace_conditions(project, query, position="strpos", lasted="end_ns::numeric - start_ns")
    where = walked(where, by=_INDEXED)
    if after is not None:
        where.after(after, "start_ns", "trace_id")
    return where
