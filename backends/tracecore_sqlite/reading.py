"""What the stores share: a page of rows in one hop to the reading thread.

Lists never touch ``tc_bodies`` unless they are asked for bodies or search, and every list follows an index; the tests
assert both from the query plan.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from tracecore.backend import LARGEST_PAGE_BYTES
from tracecore_sql.to_rows import storable
from tracecore_sqlite.connection import Connection

__all__ = ["RECENT", "SETTLED", "Reader", "Rows", "fetch", "rows_of", "rows_within"]

Reader: TypeAlias = Callable[[], Awaitable[Connection]]
Rows: TypeAlias = list[tuple[Any, ...]]

# The two halves of tc_traces, worded as their partial indexes are.
SETTLED: Final = "settled = 1"
RECENT: Final = "settled IS NULL"


async def fetch(reader: Reader, sql: str, values: Sequence[Any]) -> Rows:
    """Run one statement on the reading connection."""
    connection = await reader()
    return await connection.run(rows_of, connection.raw, sql, values)


def rows_within(raw: sqlite3.Connection, sql: str, values: Sequence[Any], *, more: str) -> tuple[Rows, bool]:
    """Return the rows of a list until they are long together, and whether it is cut there.

    What may be long is read row by row, by the id that each begins with: were it part of the list, a list that has to
    be sorted would hold all of it. While the list goes on everything is as of one moment.

    Args:
        raw: the connection.
        sql: finds the rows.
        values: those of its marks.
        more: finds the rest of a row by the id.
    """
    found: Rows = []
    left = LARGEST_PAGE_BYTES
    rows = raw.execute(sql, storable(values))
    for key, *listed in rows:
        rest = raw.execute(more, (key,)).fetchone()
        row = (*listed, *rest)
        left -= sum(len(value) for value in row if isinstance(value, str | bytes))
        if found and left < 0:
            rows.close()
            return found, True
        found.append(row)
    return found, False


def rows_of(raw: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Rows:
    """Run one statement, on the thread of its connection."""
    return raw.execute(sql, storable(values)).fetchall()
