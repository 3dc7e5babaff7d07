"""Reading scores: by what they judge, by their name, or by time."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Final

from tracecore.backend import Page, ScoreQuery
from tracecore.records import Score
from tracecore_postgres.reading import Reading, fetch, fetch_within, walked
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.filters import check_limit
from tracecore_sql.scores import SCORE_COLUMNS, score_conditions, score_of, single_values

__all__ = ["PostgresScores"]

_COLUMNS: Final = ", ".join(SCORE_COLUMNS)
_ORDER: Final = "timestamp_ns DESC, score_id DESC"
_INDEXED: Final = (
    "project", "score_id", "name =", "trace_id", "observation_id", "session_id", "experiment_id", "timestamp_ns",
)  # fmt: skip
_CURSOR: Final = "postgres scores"
_GET: Final = f"SELECT {_COLUMNS} FROM tc_scores WHERE project = ? AND score_id = ?"


class PostgresScores:
    """Read scores; see :class:`tracecore.backend.ScoreStore`."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def find(self, project: str, query: ScoreQuery) -> Page[Score]:
        """Return one page of scores, newest timestamp first."""
        check_limit(query.limit)
        where = walked(score_conditions(project, single_values(query)), by=_INDEXED)
        if query.cursor is not None:
            where.after(decode_cursor(_CURSOR, query.cursor, ids=1), "timestamp_ns", "score_id")
        page = f"SELECT {_COLUMNS} FROM tc_scores WHERE {where.sql} ORDER BY {_ORDER} LIMIT {query.limit + 1}"
        rows, is_cut = await fetch_within(
            self._reading, _COLUMNS, f"({page}) p", where.values, lengths=("comment", "metadata"), order=_ORDER
        )
        found = [score_of(row) for row in rows]
        return page_of(found, query.limit, lambda score: (_CURSOR, (score.timestamp_ns, score.score_id)), is_cut=is_cut)

    async def get(self, project: str, score_id: str) -> Score | None:
        """Return one score, or None."""
        rows = await fetch(self._reading, _GET, [project, score_id])
        return score_of(rows[0]) if rows else None
