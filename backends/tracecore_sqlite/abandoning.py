"""Giving up what runs in processes that are gone.

It is written like any batch: merged into its rows, with the roll-up of its traces. So an end that another process
writes at that moment is kept, for it comes after being abandoned in whatever order the two arrive.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from tracecore.ledger import ABANDONED_AFTER_NS, LOOK_EVERY_NS, abandoned
from tracecore.records import Observation, Span
from tracecore_sql.from_rows import Row, text_of
from tracecore_sql.statements import load_statements
from tracecore_sqlite.writer import Writer

__all__ = ["Abandoner"]

_SLICE: Final = 32
"""Each is merged into its row by itself, which takes a millisecond."""


class Abandoner:
    """Give up slices through the writing connection; every method runs on its thread.

    ``wall`` says how long a process has not been seen, ``clock`` when to look again; both in ns.
    """

    def __init__(
        self, raw: sqlite3.Connection, writer: Writer, *, wall: Callable[[], int], clock: Callable[[], int]
    ) -> None:
        self._raw = raw
        self._writer = writer
        self._wall = wall
        self._clock = clock
        self._next_look = clock()
        self._find = load_statements("tracecore_sqlite", "statements.sql")["abandoned"]

    def maintain(self) -> bool:
        """Give up one slice, every ten seconds at most until one is found; return whether more may remain."""
        if self._clock() < self._next_look:
            return False
        rows = self._raw.execute(self._find, (self._wall() - ABANDONED_AFTER_NS, _SLICE)).fetchall()
        if not rows:
            self._next_look = self._clock() + LOOK_EVERY_NS
            return False
        self._writer.write([_abandoned(row) for row in rows])
        return True


def _abandoned(row: Row) -> Observation:
    project, trace_id, span_id, name, start_ns, seen_ns = map(text_of, row)
    return abandoned(Span(project, trace_id, span_id, name, start_ns, status="running"), seen_ns)
