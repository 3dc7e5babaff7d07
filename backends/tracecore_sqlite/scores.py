"""Reading scores: by what they judge, by their name, or by time."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Final

from tracecore.backend import Page, ScoreQuery
from tracecore.records import Score
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.filters import check_limit
from tracecore_sql.scores import SCORE_COLUMNS, score_conditions, score_of, single_values
from tracecore_sqlite.reading import Reader, fetch, rows_within

__all__ = ["SqliteScores"]

_COLUMNS: Final = ", ".join(SCORE_COLUMNS)
_ORDER: Final = "timestamp_ns DESC, score_id DESC"
_CURSOR: Final = "sqlite scores"
_OF_ID: Final = f"SELECT {_COLUMNS} FROM tc_scores WHERE id = ?"
_GET: Final = f"SELECT {_COLUMNS} FROM tc_scores WHERE project = ? AND score_id = ?"
_BY: Final = ("trace", "observation", "session", "experiment")
"""What is judged, by how few scores it has."""


class SqliteScores:
    """Read scores; see :class:`tracecore.backend.ScoreStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: ScoreQuery) -> Page[Score]:
        """Return one page of scores, newest timestamp first."""
        check_limit(query.limit)
        query = single_values(query)
        where = score_conditions(project, query)
        if query.cursor is not None:
            where.after(decode_cursor(_CURSOR, query.cursor, ids=1), "timestamp_ns", "score_id")
        # Named, because SQLite takes an interval of time for a better key than what is judged.
        source = f"tc_scores INDEXED BY {_index_for(query)}"
        sql = f"SELECT id FROM {source} WHERE {where.sql} ORDER BY {_ORDER} LIMIT ?"
        connection = await self._reader()
        rows, is_cut = await connection.run(
            rows_within, connection.raw, sql, [*where.values, query.limit + 1], more=_OF_ID
        )
        found = [score_of(row) for row in rows]
        return page_of(found, query.limit, lambda score: (_CURSOR, (score.timestamp_ns, score.score_id)), is_cut=is_cut)

    async def get(self, project: str, score_id: str) -> Score | None:
        """Return one score, or None."""
        rows = await fetch(self._reader, _GET, [project, score_id])
        return score_of(rows[0]) if rows else None


def _index_for(query: ScoreQuery) -> str:
    """Return the index that leads to the fewest scores; those of several names lie in no order of the list."""
    if query.score_ids:
        return "sqlite_autoindex_tc_scores_1"
    judged = next((noun for noun in _BY if getattr(query, f"{noun}_id") is not None), None)
    judged = judged or next((noun for noun in _BY if getattr(query, f"{noun}_ids")), None)
    return f"tc_scores_by_{judged or ('time' if query.name is None else 'name')}"
