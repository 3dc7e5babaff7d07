"""Reading traces. Users and sessions are looked up in their index and, for recent traces, by walking those."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from typing import Final

from tracecore.backend import Page, TraceQuery
from tracecore.records import Trace
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.filters import Conditions, check_limit, trace_conditions
from tracecore_sql.from_rows import TRACE_COLUMNS, payload_of, trace_of
from tracecore_sqlite.candidates import search_traces
from tracecore_sqlite.reading import RECENT, SETTLED, Reader, Rows, fetch, rows_of

__all__ = ["SqliteTraces"]

_COLUMNS: Final = ", ".join(TRACE_COLUMNS)
_ORDER: Final = "start_ns DESC, trace_id DESC"
_CURSOR: Final = "sqlite traces"
_GET: Final = f"""
SELECT {", ".join(f"t.{column}" for column in TRACE_COLUMNS)}, b.input, b.output
FROM tc_traces t
LEFT JOIN tc_observations r ON r.project = t.project AND r.trace_id = t.trace_id AND r.span_id = t.root_id
LEFT JOIN tc_bodies b ON b.id = r.id
WHERE t.project = ? AND t.trace_id = ?
"""


class SqliteTraces:
    """Read traces; see :class:`tracecore.backend.TraceStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, newest start first."""
        check_limit(query.limit)
        where = trace_conditions(project, query)
        if query.cursor is not None:
            where.after(decode_cursor(_CURSOR, query.cursor, ids=1), "start_ns", "trace_id")
        connection = await self._reader()
        rows = await connection.run(_find, connection.raw, project, query, where)
        found = [trace_of(row) for row in rows]
        return page_of(found, query.limit, lambda trace: (_CURSOR, (trace.start_ns, trace.trace_id)))

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        rows = await fetch(self._reader, _GET, [project, trace_id])
        return trace_of(rows[0][:-2], payload_of(rows[0][-2]), payload_of(rows[0][-1])) if rows else None


def _find(raw: sqlite3.Connection, project: str, query: TraceQuery, where: Conditions) -> Rows:
    count = query.limit + 1
    if query.search is not None:
        found = search_traces(raw, query.search, columns=_COLUMNS, where=where, order=_ORDER, project=project)
        return [] if found is None else rows_of(raw, f"{found[0]} LIMIT ?", [*found[1], count])
    if query.user_id is None and query.session_id is None:
        sql = f"SELECT {_COLUMNS} FROM tc_traces WHERE {where.sql} ORDER BY {_ORDER} LIMIT ?"
        return rows_of(raw, sql, [*where.values, count])
    # Named, because SQLite takes an interval of time for a better key than a user.
    by = "tc_traces_by_user" if query.session_id is None else "tc_traces_by_session"
    halves = (
        f"SELECT * FROM (SELECT {_COLUMNS} FROM tc_traces INDEXED BY {index} WHERE {half} AND {where.sql} "
        f"ORDER BY {_ORDER} LIMIT ?)"
        for half, index in ((SETTLED, by), (RECENT, "tc_traces_recent"))
    )
    sql = f"{' UNION ALL '.join(halves)} ORDER BY {_ORDER} LIMIT ?"
    return rows_of(raw, sql, [*where.values, count, *where.values, count, count])
