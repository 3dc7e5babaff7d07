"""Reading the ledger: the statements of SQLite, which leap along the key from each process to the next."""

# ruff: noqa: S608 - the SQL is made of constants of these packages; every value is a parameter

from __future__ import annotations

from functools import partial
from typing import Final

from tracecore_sql.ledger_reader import LedgerReader, LedgerTexts, entry_as
from tracecore_sqlite.reading import Reader, fetch

__all__ = ["SqliteLedger"]

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
SELECT {entry_as("l")}, {entry_as("b")}
FROM last l LEFT JOIN tc_ledger b ON ?2 IS NOT NULL AND b.project = ?1 AND b.process = l.process AND b.minute_ns = (
    SELECT max(m.minute_ns) FROM tc_ledger m WHERE m.project = ?1 AND m.process = l.process AND m.minute_ns < ?2
)
WHERE ?2 IS NULL OR l.minute_ns >= ?2
"""
_TEXTS: Final = LedgerTexts(cursor="sqlite ledger", last=_LAST, accounts=_ACCOUNTS, moments=1)


class SqliteLedger(LedgerReader):
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(partial(fetch, reader), _TEXTS)
