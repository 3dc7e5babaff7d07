"""Reading the ledger of a database: what both dialects have in common, which is all but two statements."""

# ruff: noqa: S608 - the SQL is made of constants of these packages; every value is a parameter

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct

from tracecore.backend import LedgerQuery, LedgerTotals, Page
from tracecore.ledger import Period, add_up
from tracecore.records import LedgerEntry
from tracecore_sql.cursors import decode_cursor, page_of
from tracecore_sql.filters import check_limit
from tracecore_sql.from_rows import Row
from tracecore_sql.ledger import LEDGER_COLUMNS, entry_of, ledger_conditions

__all__ = ["LedgerReader", "LedgerTexts", "entry_as"]

Fetch: TypeAlias = Callable[[str, Sequence[Any]], Awaitable[Sequence[Row]]]
"""Run one statement with ``?`` marks; return its rows."""

_ENTRY: Final = ", ".join(LEDGER_COLUMNS)
_WIDTH: Final = len(LEDGER_COLUMNS)
_ORDER: Final = "minute_ns DESC, process DESC"


class LedgerTexts(Struct, frozen=True):
    """Hold what a dialect says in its own way, because each entry of a project is one of thousands of its process.

    Walking through all of them would take seconds in time: processes are found by leaping along the key.
    """

    cursor: str
    """Names the list, so that the cursor of another one is refused."""
    last: str
    """The ``WITH`` clause of ``last``, the last entry of each process of the project that is its first value."""
    accounts: str
    """Selects the last entry of each process, and the last one before a moment, or NULLs; ``entry_as`` each."""
    moments: int
    """How often ``accounts`` takes the moment, after the project."""


def entry_as(name: str) -> str:
    """Return what is selected of an entry that a statement calls ``name``."""
    return ", ".join(f"{name}.{column}" for column in LEDGER_COLUMNS)


class LedgerReader:
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    def __init__(self, fetch: Fetch, texts: LedgerTexts) -> None:
        self._fetch = fetch
        self._texts = texts

    async def find(self, project: str, query: LedgerQuery) -> Page[LedgerEntry]:
        """Return one page of entries, newest minute first."""
        check_limit(query.limit)
        texts, where = self._texts, ledger_conditions(query)
        if query.cursor is not None:
            where.after(decode_cursor(texts.cursor, query.cursor, ids=1), "minute_ns", "process")
        condition = where.sql or "true"
        if query.last:
            sql = f"{texts.last} SELECT {_ENTRY} FROM last WHERE {condition}"
        else:
            sql = f"SELECT {_ENTRY} FROM tc_ledger WHERE project = ? AND {condition}"
        sql = f"{sql} ORDER BY {_ORDER} LIMIT {query.limit + 1}"
        found = [entry_of(row) for row in await self._fetch(sql, [project, *where.values])]
        return page_of(found, query.limit, lambda entry: (texts.cursor, (entry.minute_ns, entry.process)))

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Return the sum over the last entry of each process, less what it had said before ``since_ns``."""
        rows = await self._fetch(self._texts.accounts, [project, *[since_ns] * self._texts.moments])
        return add_up(_period(row) for row in rows)


def _period(row: Row) -> Period:
    last, before = row[:_WIDTH], row[_WIDTH:]
    return entry_of(last), None if before[0] is None else entry_of(before)
