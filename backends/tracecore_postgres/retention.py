"""Removing what is too old: traces that ended before some time, and everything of them.

Slice by slice: any number of processes may do it at once, and it may be stopped anywhere. Traces go first, with their
scores and what their sessions follow. Their observations go with them, unless the whole week is too old and goes at the
end as it is: dropping a partition costs as good as nothing, where removing a million rows takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tracecore_postgres.address import Address
from tracecore_postgres.connection import Connection, within
from tracecore_postgres.failures import sqlstate_of
from tracecore_postgres.partitions import WEEK_NS, Partitions, partition
from tracecore_postgres.removing import remove_observations, remove_scores, remove_traces

__all__ = ["Retention"]

_SLICE: Final = 200
_LOOK_EVERY_NS: Final = 60 * 10**9
_DAY_NS: Final = 24 * 3600 * 10**9
_LOCK_TIMEOUT: Final = "55P03"

# The oldest week that has a trace to remove, and whether all of its traces are to be.
_NEXT: Final = """
SELECT w.week, w.week > 0 AND NOT EXISTS (SELECT FROM tc_traces t WHERE t.week = w.week AND t.end_ns >= $2)
FROM (SELECT week FROM tc_traces WHERE week <= $1 AND end_ns < $2 ORDER BY week LIMIT 1) w
"""
# Somebody who writes to one of these traces keeps it for the next time.
_TAKE: Final = """
SELECT project, trace_id FROM tc_traces WHERE week = $1 AND end_ns < $2 LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_EMPTY_WEEKS: Final = """
SELECT p.week FROM (
    SELECT substring(c.relname from '^tc_observations_w(\\d+)$')::integer AS week
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relispartition AND c.relname ~ '^tc_observations_w\\d+$'
) p
WHERE p.week < $2 AND NOT EXISTS (SELECT FROM tc_traces t WHERE t.week = p.week)
ORDER BY p.week LIMIT 1
"""
_PATIENCE: Final = "SET LOCAL lock_timeout = '500ms'"
_HAS_TRACES: Final = "SELECT EXISTS (SELECT FROM tc_traces WHERE week = $1)"
_FORGET_QUEUE: Final = "DELETE FROM tc_unindexed WHERE week = $1"
_TABLES: Final = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relispartition AND c.relkind = 'r' AND c.relname ~ ('_w' || $2 || '$')
"""


class Retention:
    """Remove slices of what is older than the address allows. ``wall`` and ``clock`` are in ns."""

    def __init__(
        self, address: Address, partitions: Partitions, *, wall: Callable[[], int], clock: Callable[[], int]
    ) -> None:
        self._schema = address.schema
        self._days = address.retention_days
        self._partitions = partitions
        self._wall = wall
        self._clock = clock
        self._next_look = clock()

    async def maintain(self, connection: Connection, settings: str) -> bool:
        """Remove one slice, looking once a minute until one is found; return whether more may remain."""
        if self._days is None or self._clock() < self._next_look:
            return False
        bound_ns = self._wall() - int(self._days * _DAY_NS)
        self._next_look = self._clock() + _LOOK_EVERY_NS  # also after an error: other chores have their turn meanwhile
        removed = await self._remove_traces(connection, bound_ns, settings)
        if removed or await self._drop_week(connection, bound_ns // WEEK_NS, settings):
            self._next_look = self._clock()
            return True
        return False

    async def _remove_traces(self, connection: Connection, bound_ns: int, settings: str) -> bool:
        async with within(connection, settings, always=True):
            found = await connection.fetchrow(_NEXT, bound_ns // WEEK_NS, bound_ns)
            if found is None:
                return False
            week, goes_as_it_is = found
            taken = await connection.fetch(_TAKE, week, bound_ns, _SLICE)
            if not taken:
                return False  # others are at it
            traces = [row[0] for row in taken], [row[1] for row in taken]
            if not goes_as_it_is:
                await remove_observations(connection, traces, week)
            await remove_traces(connection, traces)
            await remove_scores(connection, traces)
            return True

    async def _drop_week(self, connection: Connection, before: int, settings: str) -> bool:
        """Drop the partitions of one week that is too old and has no trace any more."""
        try:
            async with within(connection, settings, always=True):
                week = await connection.fetchval(_EMPTY_WEEKS, self._schema, before)
                if week is None:
                    return False
                await connection.execute(_PATIENCE)
                # Whoever writes holds the partition until the end, and then the trace is seen.
                await connection.execute(f"LOCK TABLE {partition('tc_observations', week)} IN ACCESS EXCLUSIVE MODE")
                if await connection.fetchval(_HAS_TRACES, week):
                    return False
                tables = [name for (name,) in await connection.fetch(_TABLES, self._schema, str(week))]
                await connection.execute(f"DROP TABLE {', '.join(tables)}")
                await connection.execute(_FORGET_QUEUE, week)
        except Exception as error:
            if sqlstate_of(error) == _LOCK_TIMEOUT:
                return False  # somebody uses it: the next time
            raise
        self._partitions.forget()
        return True
