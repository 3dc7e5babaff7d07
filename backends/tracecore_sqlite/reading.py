"""What the stores share: a page of rows in one hop to the reading thread.

Lists never touch ``tc_bodies`` unless they are asked for bodies or search, and every list follows an index; the tests
assert both from the query plan.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from tracecore_sql.to_rows import storable
from tracecore_sqlite.connection import Connection

__all__ = ["RECENT", "SETTLED", "Reader", "Rows", "fetch", "rows_of"]

Reader: TypeAlias = Callable[[], Awaitable[Connection]]
Rows: TypeAlias = list[tuple[Any, ...]]

# The two halves of tc_traces, worded as their partial indexes are.
SETTLED: Final = "settled = 1"
RECENT: Final = "settled IS NULL"


async def fetch(reader: Reader, sql: str, values: Sequence[Any]) -> Rows:
    """Run one statement on the reading connection."""
    connection = await reader()
    return await connection.run(rows_of, connection.raw, sql, values)


def rows_of(raw: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Rows:
    """Run one statement, on the thread of its connection."""
    return raw.execute(sql, storable(values)).fetchall()
