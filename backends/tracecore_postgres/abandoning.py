"""Giving up what runs in processes that are gone.

It is written like any batch: merged into its rows, with the roll-up of its traces. So an end that another process
writes at that moment is kept, for it comes after being abandoned in whatever order the two arrive; and of two processes
that give the same up the second changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tracecore.ledger import ABANDONED_AFTER_NS, LOOK_EVERY_NS, abandoned
from tracecore.records import Observation, Span
from tracecore_postgres.connection import Connection, within
from tracecore_postgres.sql import sql
from tracecore_postgres.texts import values_of

__all__ = ["Abandoner"]

_SLICE: Final = 64


class Abandoner:
    """Find slices to give up.

    ``wall`` says how long a process has not been seen, ``clock`` when to look again; both in ns.
    """

    def __init__(self, *, wall: Callable[[], int], clock: Callable[[], int]) -> None:
        self._wall = wall
        self._clock = clock
        self._next_look = clock()

    async def find(self, connection: Connection, settings: str) -> list[Observation]:
        """Return the records that give up one slice; looks every ten seconds at most, until there is one."""
        if self._clock() < self._next_look:
            return []
        async with within(connection, settings):
            rows = await connection.fetch(sql().abandoned, self._wall() - ABANDONED_AFTER_NS, _SLICE)
        if not rows:
            self._next_look = self._clock() + LOOK_EVERY_NS
        return [_abandoned(values_of(row)) for row in rows]


def _abandoned(row: Sequence[Any]) -> Observation:
    project, trace_id, span_id, name, start_ns, seen_ns = row
    return abandoned(Span(project, trace_id, span_id, name, start_ns, status="running"), seen_ns)
