"""One statement per batch.

``executemany`` steps row by row and gives the GIL up at each step; beside a thread that computes, every step then waits
up to 5 ms for it: 300 rows/s. A single ``INSERT … VALUES (…), (…), …`` with all values bound at once gives it up once.
A few sizes are prepared and kept; a batch is cut into them.

NULL is bound as NaN, which SQLite stores as NULL: the driver sends None through its adapters, 350 ns a value, and a row
is half NULLs (9.1 µs to bind a row of 37 against 2.4).
"""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Final

__all__ = ["NULL", "Insert", "padded"]

NULL: Final = math.nan

_ROWS: Final = (1024, 256, 64, 16, 4, 1)


class Insert:
    """Insert rows of one width with as few statements as their number allows."""

    def __init__(self, raw: sqlite3.Connection, template: str, width: int) -> None:
        """Prepare nothing yet; ``template`` holds ``{rows}`` where the row values belong."""
        self._execute = raw.execute
        self._template = template
        self._row = f"({', '.join('?' * width)})"
        self._width = width
        largest = raw.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // width
        self._sizes = [min(_ROWS[0], largest), *(size for size in _ROWS[1:] if size < largest)]
        self._statements: dict[int, str] = {}

    def __call__(self, values: list[Any]) -> tuple[int, int]:
        """Insert the rows whose values follow each other in a flat list.

        Return how many were inserted or changed, and the row id of the last that was inserted.
        """
        width, changed, last, start = self._width, 0, 0, 0
        rows = len(values) // width
        for size in self._sizes:
            while rows >= size:
                end = start + size * width
                part = values if size * width == len(values) else values[start:end]
                cursor = self._execute(self._sized(size), part)
                changed, last = changed + cursor.rowcount, cursor.lastrowid or last
                start, rows = end, rows - size
        return changed, last

    def _sized(self, size: int) -> str:
        statement = self._statements.get(size)
        if statement is None:
            statement = self._statements[size] = self._template.format(rows=", ".join([self._row] * size))
        return statement


def padded(values: list[str]) -> list[str]:
    """Return values for ``IN (…)``, the last repeated up to a power of two: few statements serve every number."""
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))
