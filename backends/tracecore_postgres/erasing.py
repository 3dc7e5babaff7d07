"""Erasing in one schema: slice by slice, each a transaction beside those of batches.

A slice is some traces with everything of theirs, so that nobody reads one in part; their rows are locked first, as by
everybody who writes to them. Whoever writes to one of them meanwhile finds it gone, and makes it again.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct

from tracecore.catalog import CatalogStore, Delete
from tracecore.erasure import Erased, check_ids, check_limit, check_project
from tracecore_postgres.catalog import Committing
from tracecore_postgres.connection import Connection
from tracecore_postgres.removing import remove_observations, remove_rows, remove_scores, remove_traces
from tracecore_postgres.texts import stored_value, stored_values, value_of

__all__ = ["Eraser"]

_TRACES: Final = 64
_OBSERVATIONS: Final = 1000
"""What goes in one slice, at most; a trace that has more goes by itself."""
_ROWS: Final = 500
_OLD: Final = "start_ns < $2 AND end_ns < $2"
_FIND_OLD: Final = f"SELECT trace_id FROM tc_traces WHERE project = $1 AND {_OLD} ORDER BY start_ns LIMIT $3"
_FIND_ANY: Final = "SELECT trace_id FROM tc_traces WHERE project = $1 LIMIT $2"
_LOCK: Final = """
SELECT trace_id, week, observation_count FROM tc_traces
WHERE project = $1 AND trace_id = ANY(${names}::text[]) AND {condition} ORDER BY project, trace_id FOR UPDATE
"""
_LOCK_NAMED: Final = _LOCK.format(names=2, condition="true")
_LOCK_OLD: Final = _LOCK.format(names=3, condition=_OLD)
_DELETE_SCORES: Final = """
DELETE FROM tc_scores WHERE project = $1 AND score_id IN (
    SELECT s.score_id FROM tc_scores s WHERE s.project = $1 AND {condition}
    ORDER BY s.project, s.score_id {limit} FOR UPDATE
) RETURNING score_id
"""
_NAMED_SCORES: Final = _DELETE_SCORES.format(condition="s.score_id = ANY($2::text[])", limit="")
_OLD_SCORES: Final = _DELETE_SCORES.format(
    condition="""s.timestamp_ns < $2 AND NOT EXISTS (
        SELECT FROM tc_traces t WHERE t.project = s.project AND t.trace_id = s.trace_id
    )""",
    limit="LIMIT $3",
)
_REST: Final = (
    _DELETE_SCORES.format(condition="true", limit="LIMIT $2"),
    """
    DELETE FROM tc_sessions WHERE project = $1 AND session_id IN (
        SELECT s.session_id FROM tc_sessions s WHERE s.project = $1 ORDER BY s.session_id LIMIT $2 FOR UPDATE
    ) RETURNING 1
    """,
    """
    DELETE FROM tc_ledger WHERE project = $1 AND (process, minute_ns) IN (
        SELECT l.process, l.minute_ns FROM tc_ledger l WHERE l.project = $1
        ORDER BY l.process, l.minute_ns LIMIT $2 FOR UPDATE
    ) RETURNING 1
    """,
)
"""What a project has besides traces and the catalog."""
# Retention has removed their traces, and leaves them to the end of their week.
_LEFT_BEHIND: Final = """
DELETE FROM tc_observations o USING (
    SELECT q.week, q.id FROM tc_observations q WHERE q.project = $1
    AND NOT EXISTS (SELECT FROM tc_traces t WHERE t.project = q.project AND t.trace_id = q.trace_id) LIMIT $2
) k WHERE o.week = k.week AND o.id = k.id RETURNING o.week, o.id
"""
_ENTRIES: Final = "SELECT kind, key FROM tc_catalog WHERE project = $1 LIMIT $2"


class _Slice(Struct):
    """Hold what one transaction did."""

    looked_for: int = 0
    """How many of the wanted traces it was about, beginning with the first; 0 where none was found."""
    traces: list[str] = []
    """Those that were there."""
    observations: int = 0
    scores: int = 0


class Eraser:
    """Erase; see :class:`tracecore.erasure.Erasable`."""

    def __init__(self, committing: Committing, catalog: CatalogStore) -> None:
        self._committing = committing
        self._catalog = catalog

    async def erase(self, project: str, trace_ids: Sequence[str], score_ids: Sequence[str]) -> Erased:
        """Erase traces and scores."""
        check_ids(trace_ids, score_ids)
        left = list(dict.fromkeys(trace_ids))
        done: list[_Slice] = []
        while left:
            done.append(await self._committing(partial(_erase_named, project=project, trace_ids=left[:_TRACES])))
            left = left[done[-1].looked_for :]
        wanted = list(dict.fromkeys(score_ids))
        gone = await self._delete(_NAMED_SCORES, project, stored_values(wanted)) if wanted else []
        found = {value_of(score_id) for (score_id,) in gone}
        return Erased(
            traces=tuple(trace_id for one in done for trace_id in one.traces),
            scores=tuple(score_id for score_id in wanted if score_id in found),
            observation_count=sum(one.observations for one in done),
            score_count=sum(one.scores for one in done) + len(gone),
        )

    async def erase_before(self, project: str, until_ns: int, limit: int) -> bool:
        """Erase some of what ended before a time."""
        check_limit(limit)
        if await self._traces(limit, _FIND_OLD, _LOCK_OLD, project, until_ns):
            return True
        return await self._rows(_OLD_SCORES, project, until_ns, limit=limit)

    async def erase_project(self, project: str, limit: int) -> bool:
        """Erase some of what a project has."""
        check_project(project)
        check_limit(limit)
        if await self._traces(limit, _FIND_ANY, _LOCK_NAMED, project):
            return True
        for statement in _REST:
            if await self._rows(statement, project, limit=limit):
                return True
        if await self._committing(partial(_erase_left_behind, project=project, limit=min(limit, _ROWS))):
            return True
        found = await self._delete(_ENTRIES, project, min(limit, _ROWS))
        await self._catalog.commit([Delete(project, value_of(kind), value_of(key)) for kind, key in found])
        return bool(found)

    async def _traces(self, limit: int, find: str, lock: str, *values: Any) -> bool:
        """Erase traces that a statement finds, slice by slice up to so many; return whether it came to that."""
        left = limit
        while left > 0:
            done = await self._committing(
                partial(_erase_found, find=find, lock=lock, values=values, most=min(left, _TRACES))
            )
            if not done.looked_for:
                return False
            left -= len(done.traces)
        return True

    async def _rows(self, statement: str, *values: Any, limit: int) -> bool:
        """Delete rows by one statement after the other, up to so many; return whether it came to that."""
        left = limit
        while left > 0:
            count = len(await self._delete(statement, *values, min(left, _ROWS)))
            if not count:
                return False
            left -= count
        return True

    async def _delete(self, statement: str, project: str, *values: Any) -> list[Sequence[Any]]:
        return await self._committing(lambda connection: connection.fetch(statement, stored_value(project), *values))


async def _erase_named(connection: Connection, project: str, trace_ids: Sequence[str]) -> _Slice:
    """Erase the first of these traces, as many as go in one slice, and the scores of those that are not there."""
    rows = await connection.fetch(_LOCK_NAMED, stored_value(project), stored_values(trace_ids))
    there = {value_of(row[0]): (row[1], row[2]) for row in rows}
    some = _fitting([(trace_id, there.get(trace_id, (0, 0))[1]) for trace_id in trace_ids])
    weeks = {trace_id: there[trace_id][0] for trace_id in some if trace_id in there}
    return await _erase_locked(connection, project, some, weeks)


async def _erase_found(connection: Connection, find: str, lock: str, values: Sequence[Any], most: int) -> _Slice:
    """Erase the first of the traces that a statement finds; the first of the values is the project."""
    stored = stored_values(values)
    found = [row[0] for row in await connection.fetch(find, *stored, most)]
    rows = await connection.fetch(lock, *stored, found) if found else []
    # Somebody else may have been at some of them meanwhile: the others are looked for again.
    some = _fitting([(value_of(row[0]), row[2]) for row in rows])
    weeks = {value_of(row[0]): row[1] for row in rows}
    done = await _erase_locked(connection, values[0], some, {trace_id: weeks[trace_id] for trace_id in some})
    done.looked_for = len(found)
    return done


def _fitting(sized: Sequence[tuple[str, int]]) -> list[str]:
    """Return the first of some traces, of so many observations together, but at least one."""
    some: list[str] = []
    weight = 0
    for trace_id, observations in sized:
        if some and weight + observations > _OBSERVATIONS:
            break
        some.append(trace_id)
        weight += observations
    return some


async def _erase_locked(
    connection: Connection, project: str, trace_ids: Sequence[str], weeks: dict[str, int]
) -> _Slice:
    """Erase traces by the week in which they lie, and the scores of them and of others that are not there.

    One that has come to be there meanwhile stays: its row is not locked.
    """
    observations = 0
    for week in sorted(set(weeks.values())):
        of_week = [trace_id for trace_id, its_week in weeks.items() if its_week == week]
        observations += await remove_observations(connection, _keys(project, of_week), week)
    if weeks:
        await remove_traces(connection, _keys(project, list(weeks)))
    scores = await remove_scores(connection, _keys(project, trace_ids)) if trace_ids else 0
    return _Slice(len(trace_ids), list(weeks), observations, scores)


def _keys(project: str, trace_ids: Sequence[str]) -> tuple[list[Any], list[Any]]:
    return [stored_value(project)] * len(trace_ids), stored_values(trace_ids)


async def _erase_left_behind(connection: Connection, project: str, limit: int) -> bool:
    rows = await connection.fetch(_LEFT_BEHIND, stored_value(project), limit)
    for week in sorted({row[0] for row in rows}):
        await remove_rows(connection, week, [row[1] for row in rows if row[0] == week])
    return bool(rows)
