"""Reading the ledger: the statements of PostgreSQL, which leap along the key from each process to the next."""

# ruff: noqa: S608 - the SQL is made of constants of these packages; every value is a parameter

from __future__ import annotations

from functools import partial
from typing import Final

from tracecore_postgres.reading import Reading, fetch
from tracecore_sql.ledger_reader import LedgerReader, LedgerTexts, entry_as

__all__ = ["PostgresLedger"]

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
SELECT {entry_as("l")}, {entry_as("b")}
FROM last l LEFT JOIN LATERAL (
    SELECT e.* FROM tc_ledger e
    WHERE e.project = l.project AND e.process = l.process AND e.minute_ns < ?::bigint
    ORDER BY e.minute_ns DESC LIMIT 1
) b ON true
WHERE coalesce(l.minute_ns >= ?::bigint, true)
"""
_TEXTS: Final = LedgerTexts(cursor="postgres ledger", last=_LAST, accounts=_ACCOUNTS, moments=2)


class PostgresLedger(LedgerReader):
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(partial(fetch, reading), _TEXTS)
