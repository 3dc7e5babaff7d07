"""Reading observations."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from contextlib import nullcontext
from typing import Any, Final

from tracecore.backend import ObservationQuery, Page
from tracecore.records import Observation
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.experiments import index_for
from tracecore_sql.filters import Conditions, check_limit, observation_conditions, start_column
from tracecore_sql.from_rows import observation_of
from tracecore_sqlite.candidates import search_observations
from tracecore_sqlite.meeting import DIALECT, within_patience
from tracecore_sqlite.reading import Reader, Rows, fetch, rows_of, rows_within

__all__ = ["SqliteObservations"]

_LIST: Final = ", ".join(f"o.{column}" for column in LIST_COLUMNS)
_BODY: Final = ", ".join(f"b.{column}" for column in BODY_COLUMNS)
_BODIES: Final = "LEFT JOIN tc_bodies b ON b.id = o.id"
_BODY_OF: Final = f"SELECT {_BODY} FROM (SELECT ? AS id) o {_BODIES}"
_WITH_BODY: Final = f"tc_observations o {_BODIES}"
_TIES: Final = "span_id DESC, trace_id DESC"
_CURSOR: Final = "sqlite observations"


class SqliteObservations:
    """Read observations; see :class:`tracecore.backend.ObservationStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations, newest start first."""
        check_limit(query.limit)
        where = observation_conditions(project, query, DIALECT)
        if query.cursor is not None:
            where.after(decode_cursor(_CURSOR, query.cursor, ids=2), start_column(query), "span_id", "trace_id")
        connection = await self._reader()
        rows, is_cut = await connection.run(_find, connection.raw, project, query, where)
        found = [observation_of(row) for row in rows]
        return page_of(
            found, query.limit, lambda span: (_CURSOR, (span.start_ns, span.span_id, span.trace_id)), is_cut=is_cut
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
        rows = await fetch(self._reader, f"SELECT {_LIST}, {_BODY} FROM {_WITH_BODY} WHERE {where}", values)
        return [observation_of(row) for row in rows]


def _find(raw: sqlite3.Connection, project: str, query: ObservationQuery, where: Conditions) -> tuple[Rows, bool]:
    """Return the rows of a page, one more where there are more, and whether it ends before, being long."""
    columns = f"o.id, {_LIST}" if query.bodies else _LIST
    order = f"{start_column(query)} DESC, {_TIES}"
    with within_patience(raw) if query.where else nullcontext():
        found = search_observations(raw, project, query, columns=columns, where=where, order=order)
        if found is None and query.search is not None:
            return [], False
        sql, values = found or (_walk(query, columns, where, order), where.values)
        sql, values = f"{sql} LIMIT ?", [*values, query.limit + 1]
        return rows_within(raw, sql, values, more=_BODY_OF) if query.bodies else (rows_of(raw, sql, values), False)


def _walk(query: ObservationQuery, columns: str, where: Conditions, order: str) -> str:
    """Return the statement of the list in its own order, all but its limit."""
    with_body = any(condition.reads_body for condition in query.where)
    index = index_for(query)
    observations = "tc_observations o" if index is None else f"tc_observations o INDEXED BY {index}"
    source = f"{observations} {_BODIES}" if with_body else observations
    return f"SELECT {columns} FROM {source} WHERE {where.sql} ORDER BY {order}"
