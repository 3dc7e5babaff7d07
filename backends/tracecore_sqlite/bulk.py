"""Many rows in one statement.

``executemany`` steps row by row and gives the GIL up at each step; beside a thread that computes, every step then waits
up to 5 ms for it: 300 rows/s. A single ``INSERT … SELECT … FROM (VALUES (…), (…), …)`` with all values bound at once
gives it up once. Statements of a few sizes are prepared and kept; a batch goes into the next larger one, and ``LIMIT``
leaves out the rows that are not there: a fifth of them on average, at a fifth of a row's price each, where cutting a
batch of 400 rows into sizes that fit would wait for the GIL four times.

NULL is bound as NaN, which SQLite stores as NULL: the driver sends None through its adapters, 350 ns a value, and a row
is half NULLs (9.1 µs to bind a row of 37 against 2.4).
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from typing import Any, Final

__all__ = ["NULL", "ROWS_AT_ONCE", "Insert", "padded"]

NULL: Final = math.nan
ROWS_AT_ONCE: Final = 768
"""Rows of full width that are prepared and bound at once: for so long the program's other threads wait, 1 to 2 ms."""

_VALUES_AT_ONCE: Final = 28_672
"""Rows of 7 values, as bodies are, go in by 4,096; SQLite allows 32,766 values in one statement, or as it was built."""
_SIZES: Final = (
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, ROWS_AT_ONCE, 1024, 1536, 2048, 3072, 4096
)  # fmt: skip


class Insert:
    """Insert rows of one width with as few statements as their number allows."""

    def __init__(self, raw: sqlite3.Connection, template: str, width: int) -> None:
        """Prepare nothing yet; ``template`` holds ``{rows}`` where a query gives the rows."""
        self._execute = raw.execute
        self._template = template
        self._row = f"({', '.join('?' * width)})"
        self._width = width
        most = min(_VALUES_AT_ONCE, raw.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 1) // width
        self._sizes = [size for size in _SIZES if size <= most]
        self._statements: dict[int, str] = {}

    def __call__(self, values: list[Any]) -> tuple[int, int]:
        """Insert the rows whose values follow each other in a flat list.

        Return how many were inserted or changed, and the row id of the last that was inserted.
        """
        most = self._sizes[-1] * self._width
        changed = last = 0
        for start in range(0, len(values), most):
            cursor = self._insert(values if len(values) <= most else values[start : start + most])
            changed, last = changed + cursor.rowcount, cursor.lastrowid or last
        return changed, last

    def _insert(self, values: list[Any]) -> sqlite3.Cursor:
        rows = len(values) // self._width
        size = self._sizes[bisect_left(self._sizes, rows)]
        return self._execute(self._sized(size), [*values, *[NULL] * ((size - rows) * self._width), rows])

    def _sized(self, size: int) -> str:
        statement = self._statements.get(size)
        if statement is None:
            rows = f"SELECT * FROM (VALUES {', '.join([self._row] * size)}) WHERE true LIMIT ?"
            statement = self._statements[size] = self._template.format(rows=rows)
        return statement


def padded(values: list[Any]) -> list[Any]:
    """Return values for ``IN (…)``, the last repeated up to a power of two: few statements serve every number."""
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))
