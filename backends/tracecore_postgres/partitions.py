"""Partitions: one for each week of traces, made before anything is written into it.

A trace lies in the partition of the week in which it was first known to begin, so that a week that is too old goes at
once. Weeks long ago or in the future, as absurd clocks and imports of old data have them, share the partition of week
0.

A partition is made as a table of its own and attached, which lets everybody go on reading and writing meanwhile;
``CREATE TABLE … PARTITION OF`` would lock them out, and so would a default partition. Whatever table of the schema is
partitioned takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tracecore.records import Observation
from tracecore_postgres.address import Address
from tracecore_postgres.connection import Connection, within
from tracecore_postgres.schema import LOCK

__all__ = ["WEEK_NS", "Partitions"]

WEEK_NS: Final = 7 * 24 * 3600 * 10**9
_WEEKS_BACK: Final = 104
_WEEKS_AHEAD: Final = 1
_AHEAD_EVERY_NS: Final = 3600 * 10**9
_PARENTS: Final = """
SELECT c.relname::text FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 ORDER BY 1
"""
_ATTACHED: Final = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relispartition AND c.relname = ANY($2::text[])
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock($1, hashtext($2 || ' partitions'))"
_PATIENCE: Final = "SET LOCAL lock_timeout = '3s'"


class Partitions:
    """Make partitions, and know which are there. ``wall`` and ``clock`` are in ns."""

    def __init__(self, address: Address, *, wall: Callable[[], int], clock: Callable[[], int]) -> None:
        self._schema = address.schema
        self._wall = wall
        self._clock = clock
        self._made: set[int] = set()
        self._next_look = clock()

    @property
    def weeks(self) -> tuple[int, int]:
        """Return the first and the last week that may have a partition now."""
        now = self._wall() // WEEK_NS
        return now - _WEEKS_BACK, now + _WEEKS_AHEAD

    async def ensure(
        self, connection: Connection, observations: Iterable[Observation], settings: str
    ) -> tuple[int, int]:
        """Make the partitions that observations may need; return the weeks that may have one."""
        first, last = self.weeks
        wanted = {one.start_ns // WEEK_NS for one in observations} - self._made
        if wanted:
            await self._make(connection, [week for week in wanted if first <= week <= last], settings)
            self._made |= wanted
        return first, last

    async def maintain(self, connection: Connection, settings: str) -> bool:
        """Make next week's partitions ahead, looking once an hour; nothing of it remains."""
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + _AHEAD_EVERY_NS
            now = self._wall() // WEEK_NS
            await self._make(connection, [now, now + 1], settings)
        return False

    def forget(self) -> None:
        """Know of no partition any more: somebody has removed one."""
        self._made.clear()

    async def _make(self, connection: Connection, weeks: Sequence[int], settings: str) -> None:
        if not weeks:
            return
        parents = [name for (name,) in await connection.fetch(_PARENTS, self._schema)]
        if not await self._missing(connection, parents, weeks):
            return
        async with within(connection, settings, always=True):
            await connection.execute(_PATIENCE)
            await connection.fetch(_LOCK, LOCK, self._schema)
            for parent, week in await self._missing(connection, parents, weeks):
                name = partition(parent, week)
                await connection.execute(f"CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL)")
                bounds = f"FOR VALUES FROM ({week}) TO ({week + 1})"
                await connection.execute(f"ALTER TABLE {parent} ATTACH PARTITION {name} {bounds}")

    async def _missing(
        self, connection: Connection, parents: Sequence[str], weeks: Iterable[int]
    ) -> list[tuple[str, int]]:
        wanted = {partition(parent, week): (parent, week) for parent in parents for week in weeks}
        rows: list[Any] = list(await connection.fetch(_ATTACHED, self._schema, list(wanted)))
        for (name,) in rows:
            wanted.pop(name, None)
        return sorted(wanted.values())


def partition(parent: str, week: int) -> str:
    """Return the name of the partition of a week."""
    return f"{parent}_w{week}"
