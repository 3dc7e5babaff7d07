"""Sorting texts into the search index: slices of the queue that every writer fills.

Any number of processes may do this at once. Each takes rows of the queue that nobody else holds, deletes them, and then
reads the texts: whoever writes one of these texts meanwhile waits for its place in the queue, and gets it anew.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tracecore_postgres.reading import BODIES, rows_of
from tracecore_postgres.search import indexed_words, naming_words
from tracecore_sql.searching import NAMES, TEXTS

__all__ = ["Indexer"]

_SLICE_ROWS: Final = 200
_SLICE_BYTES: Final = 256 * 1024

_IS_DUE: Final = "SELECT count(*) >= $1 FROM (SELECT 1 FROM tc_unindexed LIMIT $1) q"
_SIZE: Final = " + ".join(f"coalesce(octet_length({text}), 0)" for text in TEXTS if text.startswith("b."))
# The next rows, at most so many and of so many bytes, but at least one. The planner has to know how few they are.
_TAKE: Final = f"""
WITH next AS MATERIALIZED (
    SELECT q.week, q.id FROM tc_unindexed q ORDER BY q.week, q.id LIMIT {{rows}} FOR UPDATE SKIP LOCKED
),
sized AS (
    SELECT o.week, o.id, row_number() OVER w AS place, sum({_SIZE}) OVER w AS upto
    FROM next o {BODIES} WINDOW w AS (ORDER BY o.week, o.id ROWS UNBOUNDED PRECEDING)
)
DELETE FROM tc_unindexed q USING sized s
WHERE q.week = s.week AND q.id = s.id AND (s.place = 1 OR s.upto <= ?)
RETURNING q.week, q.id
"""  # noqa: S608 - made of constants of this package
# A row of the queue whose observation is gone is of no use to anybody.
_READ: Final = f"""
SELECT o.week, o.id, o.project, {", ".join((*NAMES, *TEXTS))}
FROM unnest(?::integer[], ?::bigint[]) AS k (week, id)
CROSS JOIN LATERAL (SELECT * FROM tc_observations f WHERE f.week = k.week AND f.id = k.id LIMIT 1) o
{BODIES}
"""  # noqa: S608 - as above
_KEEP: Final = """
INSERT INTO tc_search (week, id, words) VALUES ($1, $2, $3) ON CONFLICT (id, week) DO UPDATE SET words = excluded.words
"""


class Indexer:
    """Index slices through the writing connection."""

    async def maintain(self, connection: Any) -> bool:
        """Index 200 observations or 256 KiB of texts, if so many wait; return whether more remains."""
        if not await self._is_due(connection):
            return False
        async with connection.transaction(isolation="read_committed"):
            taken = await rows_of(connection, _TAKE.format(rows=_SLICE_ROWS), [_SLICE_BYTES])
            rows = await rows_of(connection, _READ, [[week for week, _ in taken], [number for _, number in taken]])
            documents: list[tuple[int, int, list[int]]] = []
            for week, number, project, *stored in rows:
                names, texts = stored[: len(NAMES)], stored[len(NAMES) :]
                documents.append((week, number, [*indexed_words(project, texts), *naming_words(project, names)]))
                await asyncio.sleep(0)  # each takes its part of a millisecond; whoever waits for the loop comes between
            await connection.executemany(_KEEP, documents)
        return bool(taken) and await self._is_due(connection)

    async def _is_due(self, connection: Any) -> bool:
        return bool(await connection.fetchval(_IS_DUE, _SLICE_ROWS))
