"""Reading observations.

A list over all traces follows the start in every partition at once and stops when its page is full. Of one trace only
the partition of its week is read.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Final

from tracecore.backend import ObservationQuery, Page
from tracecore.records import Observation
from tracecore_postgres.candidates import search_observations
from tracecore_postgres.meeting import DIALECT
from tracecore_postgres.reading import BODIES, Reading, Rows, fetch, fetch_within, walked, within_patience
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.cursors import Key, decode_cursor, page_of
from tracecore_sql.filters import Conditions, check_limit, observation_conditions, start_column
from tracecore_sql.from_rows import observation_of
from tracecore_sql.searching import leading_tokens
from tracecore_sql.where import proved

__all__ = ["PostgresObservations"]

_LIST: Final = ", ".join(f"o.{column}" for column in LIST_COLUMNS)
_BODY: Final = ", ".join(f"b.{column}" for column in BODY_COLUMNS)
_LONG: Final = (*(f"b.{column}" for column in BODY_COLUMNS), "o.trace_metadata")
_TIES: Final = "span_id DESC, trace_id DESC"
_NEWEST_FIRST: Final = "o.start_ns DESC, o.span_id DESC, o.trace_id DESC"
_INDEXED: Final = ("project", "trace_id", "o.trace_id =", "o.trace_id IN", "start_ns", "substr(o.extra,")
_CURSOR: Final = "postgres observations"
_ITS_WEEK: Final = "week = (SELECT t.week FROM tc_traces t WHERE t.project = ? AND t.trace_id = ?)"


class PostgresObservations:
    """Read observations; see :class:`tracecore.backend.ObservationStore`."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations, newest start first."""
        check_limit(query.limit)
        key = None if query.cursor is None else decode_cursor(_CURSOR, query.cursor, ids=2)
        async with within_patience() if query.where else nullcontext():
            rows, is_cut = await self._found(project, query, key)
        found = [observation_of(row) for row in rows]
        return page_of(
            found, query.limit, lambda span: (_CURSOR, (span.start_ns, span.span_id, span.trace_id)), is_cut=is_cut
        )

    async def get(self, project: str, trace_id: str, span_id: str) -> Observation | None:
        """Return one observation with its payloads, or None."""
        found = await self._of_trace(project, trace_id, "AND o.span_id = ?", span_id)
        return found[0] if found else None

    async def tree(self, project: str, trace_id: str) -> list[Observation]:
        """Return every observation of a trace, by start then span id."""
        found = await self._of_trace(project, trace_id, "")
        return sorted(found, key=lambda span: (span.start_ns, span.span_id))

    async def _found(self, project: str, query: ObservationQuery, key: Key | None) -> tuple[Rows, bool]:
        """Return the rows of a page, one more where there are more, and whether it ends before, being long."""
        found = None
        if query.search is not None or proved(query) or leading_tokens(project, query):
            async with self._reading() as connection:
                found = await search_observations(
                    connection,
                    project,
                    query,
                    order=_order(query),
                    conditions=lambda after: _conditions(project, query, after or key),
                )
        return await self._list(query, _conditions(project, query, key)) if found is None else found

    async def _list(self, query: ObservationQuery, where: Conditions) -> tuple[Rows, bool]:
        page = f"FROM tc_observations o WHERE {where.sql} ORDER BY {_order(query)} LIMIT {query.limit + 1}"
        if not query.bodies:
            return await fetch(self._reading, f"SELECT {_LIST} {page}", where.values), False
        # The page is found before any body is looked up; sorting it again is next to nothing.
        source = f"(SELECT o.* {page}) o {BODIES}"
        return await fetch_within(
            self._reading, f"{_LIST}, {_BODY}", source, where.values, lengths=_LONG, order=_NEWEST_FIRST
        )

    async def _of_trace(self, project: str, trace_id: str, also: str, *values: Any) -> list[Observation]:
        sql = (
            f"SELECT {_LIST}, {_BODY} FROM tc_observations o {BODIES} "
            f"WHERE o.project = ? AND o.trace_id = ? AND o.{_ITS_WEEK} {also}"
        )
        rows = await fetch(self._reading, sql, [project, trace_id, project, trace_id, *values])
        return [observation_of(row) for row in rows]


def _conditions(project: str, query: ObservationQuery, after: Key | None) -> Conditions:
    where = walked(observation_conditions(project, query, DIALECT), by=_INDEXED)
    if query.trace_id is not None:
        where.add(_ITS_WEEK, project, query.trace_id)
    if after is not None:
        where.after(after, start_column(query), "span_id", "trace_id")
    return where


def _order(query: ObservationQuery) -> str:
    return f"{start_column(query)} DESC, {_TIES}"
