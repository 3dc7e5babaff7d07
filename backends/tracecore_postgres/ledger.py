"""Reading the ledger. The processes of a project are found by leaping along the key from each to the next."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tracecore.backend import LedgerQuery, LedgerTotals, Page
from tracecore.ledger import Period, add_up
from tracecore.records import LedgerEntry
from tracecore_postgres.reading import Reading, fetch, page_of
from tracecore_sql.cursors import decode_cursor
from tracecore_sql.filters import check_limit
from tracecore_sql.ledger import LEDGER_COLUMNS, entry_of, ledger_conditions

__all__ = ["PostgresLedger"]

_COLUMNS: Final = ", ".join(LEDGER_COLUMNS)
_WIDTH: Final = len(LEDGER_COLUMNS)
_ORDER: Final = "minute_ns DESC, process DESC"
_CURSOR: Final = "postgres ledger"
# Each entry of a project is one of thousands of its process: walking through all of them would take seconds in time.
_LAST: Final = """
WITH RECURSIVE wanted (project) AS (SELECT ?::text COLLATE "C"),
processes (process) AS (
    SELECT min(l.process) FROM tc_ledger l WHERE l.project = (SELECT w.project FROM wanted w)
    UNION ALL
    SELECT (
        SELECT min(l.process) FROM tc_ledger l
        WHERE l.project = (SELECT w.project FROM wanted w) AND l.process > p.process
    )
    FROM processes p WHERE p.process IS NOT NULL
),
last AS (
    SELECT l.* FROM processes p CROSS JOIN LATERAL (
        SELECT e.* FROM tc_ledger e
        WHERE e.project = (SELECT w.project FROM wanted w) AND e.process = p.process
        ORDER BY e.minute_ns DESC LIMIT 1
    ) l
)
"""
_ACCOUNTS: Final = f"""
{_LAST}
SELECT {", ".join(f"l.{column}" for column in LEDGER_COLUMNS)}, {", ".join(f"b.{column}" for column in LEDGER_COLUMNS)}
FROM last l LEFT JOIN LATERAL (
    SELECT e.* FROM tc_ledger e
    WHERE e.project = l.project AND e.process = l.process AND e.minute_ns < ?::bigint
    ORDER BY e.minute_ns DESC LIMIT 1
) b ON true
WHERE coalesce(l.minute_ns >= ?::bigint, true)
"""


class PostgresLedger:
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

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
            sql = f"SELECT {_COLUMNS} FROM tc_ledger WHERE project = ? AND {condition}"
        sql = f"{sql} ORDER BY {_ORDER} LIMIT {query.limit + 1}"
        found = [entry_of(row) for row in await fetch(self._reading, sql, [project, *where.values])]
        return page_of(found, query.limit, lambda entry: (_CURSOR, (entry.minute_ns, entry.process)))

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Return the sum over the last entry of each process, less what it had said before ``since_ns``."""
        rows = await fetch(self._reading, _ACCOUNTS, [project, since_ns, since_ns])
        return add_up(_period(row) for row in rows)


def _period(row: Sequence[Any]) -> Period:
    last, before = row[:_WIDTH], row[_WIDTH:]
    return entry_of(last), None if before[0] is None else entry_of(before)
