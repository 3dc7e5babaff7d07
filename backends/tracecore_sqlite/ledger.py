"""Reading the ledger. The processes of a project are found by leaping along the key from each to the next."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Any, Final

from tracecore.backend import LedgerQuery, LedgerTotals, Page
from tracecore.ledger import Period, add_up
from tracecore.records import LedgerEntry
from tracecore_sql.cursors import decode_cursor
from tracecore_sql.filters import check_limit
from tracecore_sql.ledger import LEDGER_COLUMNS, entry_of, ledger_conditions
from tracecore_sqlite.reading import Reader, fetch, page_of

__all__ = ["SqliteLedger"]

_COLUMNS: Final = ", ".join(LEDGER_COLUMNS)
_WIDTH: Final = len(LEDGER_COLUMNS)
_ORDER: Final = "minute_ns DESC, process DESC"
_CURSOR: Final = "sqlite ledger"
# Each entry of a project is one of thousands of its process: walking through all of them would take seconds in time.
_LAST: Final = """
WITH RECURSIVE processes (process) AS (
    SELECT min(process) FROM tc_ledger WHERE project = ?1
    UNION ALL
    SELECT (SELECT min(l.process) FROM tc_ledger l WHERE l.project = ?1 AND l.process > p.process)
    FROM processes p WHERE p.process IS NOT NULL
),
last AS (
    SELECT l.* FROM processes p CROSS JOIN tc_ledger l ON l.project = ?1 AND l.process = p.process AND l.minute_ns = (
        SELECT max(m.minute_ns) FROM tc_ledger m WHERE m.project = ?1 AND m.process = p.process
    )
)
"""
_ACCOUNTS: Final = f"""
{_LAST}
SELECT {", ".join(f"l.{column}" for column in LEDGER_COLUMNS)}, {", ".join(f"b.{column}" for column in LEDGER_COLUMNS)}
FROM last l LEFT JOIN tc_ledger b ON ?2 IS NOT NULL AND b.project = ?1 AND b.process = l.process AND b.minute_ns = (
    SELECT max(m.minute_ns) FROM tc_ledger m WHERE m.project = ?1 AND m.process = l.process AND m.minute_ns < ?2
)
WHERE ?2 IS NULL OR l.minute_ns >= ?2
"""


class SqliteLedger:
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project: str, query: LedgerQuery) -> Page[LedgerEntry]:
        """Return one page of entries, newest minute first."""
        check_limit(query.limit)
        where = ledger_conditions(query)
        if query.cursor is not None:
            where.after(decode_cursor(_CURSOR, query.cursor, ids=1), "minute_ns", "process")
        condition = where.sql or "true"
        if query.last:
            sql = f"{_LAST} SELECT {_COLUMNS} FROM last WHERE {condition}"
        else:
            sql = f"SELECT {_COLUMNS} FROM tc_ledger WHERE project = ?1 AND {condition}"
        rows = await fetch(self._reader, f"{sql} ORDER BY {_ORDER} LIMIT ?", [project, *where.values, query.limit + 1])
        found = [entry_of(row) for row in rows]
        return page_of(found, query.limit, lambda entry: (_CURSOR, (entry.minute_ns, entry.process)))

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Return the sum over the last entry of each process, less what it had said before ``since_ns``."""
        return add_up(_period(row) for row in await fetch(self._reader, _ACCOUNTS, [project, since_ns]))


def _period(row: tuple[Any, ...]) -> Period:
    last, before = row[:_WIDTH], row[_WIDTH:]
    return entry_of(last), None if before[0] is None else entry_of(before)
