"""Erasing in one file: slice by slice through the writing connection, each slice one transaction.

A slice is some traces with everything of theirs, so that nobody reads one in part and writers wait for tens of
milliseconds. What the search index holds of an erased observation is under an id that is never used again: it leads
nowhere, and goes when the index is made anew (see ``search``).
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from msgspec import Struct

from tracecore.catalog import Delete
from tracecore.erasure import Erased, check_ids, check_limit, check_project
from tracecore_sql.filters import NEVER
from tracecore_sql.from_rows import text_of
from tracecore_sql.to_rows import storable
from tracecore_sqlite.catalog import apply
from tracecore_sqlite.search import note_orphans
from tracecore_sqlite.writer import Writer, Writing

__all__ = ["Eraser"]

_TRACES: Final = 64
_OBSERVATIONS: Final = 1000
"""What goes in one slice, at most; a trace that has more goes by itself."""
_ROWS: Final = 500
_SIZES: Final = "SELECT trace_id, observation_count FROM tc_traces WHERE project = ?"
_NAMED: Final = f"{_SIZES} AND trace_id IN ({{marks}})"
_OLD: Final = f"{_SIZES} AND start_ns < ? AND end_ns < ? ORDER BY start_ns LIMIT ?"
_ANY: Final = f"{_SIZES} LIMIT ?"
_OF_TRACES: Final = "WHERE project = ? AND trace_id IN ({marks})"
_OF_SCORES: Final = "WHERE project = ? AND score_id IN ({marks})"
_FOLLOW: Final = f"""
UPDATE tc_sessions SET last_start_ns = ifnull((
    SELECT max(t.start_ns) FROM tc_traces t
    WHERE t.settled = 1 AND t.project = tc_sessions.project AND t.session_id = tc_sessions.session_id
), {NEVER})
WHERE project = ? AND session_id IN ({{marks}})
"""
_EMPTY: Final = (
    f"DELETE FROM tc_sessions WHERE project = ? AND session_id IN ({{marks}}) AND last_start_ns = {NEVER} AND NOT own"
)
_OLD_SCORES: Final = """
DELETE FROM tc_scores WHERE id IN (
    SELECT s.id FROM tc_scores s WHERE s.project = ? AND s.timestamp_ns < ? AND NOT EXISTS (
        SELECT 1 FROM tc_traces t WHERE t.project = s.project AND t.trace_id = s.trace_id
    ) LIMIT ?
)
"""
_REST: Final = (
    "DELETE FROM tc_scores WHERE id IN (SELECT id FROM tc_scores WHERE project = ? LIMIT ?)",
    "DELETE FROM tc_sessions WHERE id IN (SELECT id FROM tc_sessions WHERE project = ? LIMIT ?)",
    """
    DELETE FROM tc_ledger WHERE (project, process, minute_ns) IN (
        SELECT project, process, minute_ns FROM tc_ledger WHERE project = ? LIMIT ?
    )
    """,
)
"""What a project has besides traces and the catalog."""
_ENTRIES: Final = "SELECT kind, key FROM tc_catalog WHERE project = ? LIMIT ?"


class _Slice(Struct):
    """Hold what one transaction did."""

    traces: list[str] = []
    """Those that were there."""
    looked_for: int = 0
    """How many of the wanted ones it was about, beginning with the first."""
    observations: int = 0
    scores: int = 0


class Eraser:
    """Erase; see :class:`tracecore.erasure.Erasable`."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    async def erase(self, project: str, trace_ids: Sequence[str], score_ids: Sequence[str]) -> Erased:
        """Erase traces and scores."""
        check_ids(trace_ids, score_ids)
        left = list(dict.fromkeys(trace_ids))
        done: list[_Slice] = []
        while left:
            done.append(await self._writing(partial(_erase_named, project=project, trace_ids=left[:_TRACES])))
            left = left[done[-1].looked_for :]
        scores = await self._writing(partial(_erase_scores, project=project, score_ids=score_ids)) if score_ids else []
        return Erased(
            traces=tuple(trace_id for one in done for trace_id in one.traces),
            scores=tuple(scores),
            observation_count=sum(one.observations for one in done),
            score_count=sum(one.scores for one in done) + len(scores),
        )

    async def erase_before(self, project: str, until_ns: int, limit: int) -> bool:
        """Erase some of what ended before a time."""
        check_limit(limit)
        if await self._traces(limit, _OLD, project, until_ns, until_ns):
            return True
        return await self._rows(_OLD_SCORES, [project, until_ns], limit)

    async def erase_project(self, project: str, limit: int) -> bool:
        """Erase some of what a project has."""
        check_project(project)
        check_limit(limit)
        if await self._traces(limit, _ANY, project):
            return True
        for statement in _REST:
            if await self._rows(statement, [project], limit):
                return True
        return bool(await self._writing(partial(_erase_entries, project=project, limit=min(limit, _ROWS))))

    async def _traces(self, limit: int, find: str, *values: Any) -> bool:
        """Erase traces that a statement finds, slice by slice up to so many; return whether it came to that."""
        left = limit
        while left > 0:
            done = await self._writing(partial(_erase_found, find=find, values=values, most=left))
            if not done.traces:
                return False
            left -= len(done.traces)
        return True

    async def _rows(self, statement: str, values: Sequence[Any], limit: int) -> bool:
        """Delete rows by one statement after the other, up to so many; return whether it came to that."""
        left = limit
        while left > 0:
            count = await self._writing(partial(_delete, statement=statement, values=[*values, min(left, _ROWS)]))
            if not count:
                return False
            left -= count
        return True


@contextmanager
def _transaction(raw: sqlite3.Connection) -> Generator[None]:
    raw.execute("BEGIN IMMEDIATE")
    try:
        yield
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise


def _delete(writer: Writer, statement: str, values: Sequence[Any]) -> int:
    # A single statement is a transaction of its own.
    return writer.raw.execute(statement, storable(values)).rowcount


def _erase_named(writer: Writer, project: str, trace_ids: Sequence[str]) -> _Slice:
    """Erase the first of these traces, as many as go in one slice, and the scores of those that are not there."""
    raw = writer.raw
    with _transaction(raw):
        found = _rows_of(raw, _NAMED, project, trace_ids)
        sizes = {text_of(trace_id): count for trace_id, count in found}
        some = _fitting([(trace_id, sizes.get(trace_id, 0)) for trace_id in trace_ids])
        done = _erase_traces(raw, project, some)
        done.traces = [trace_id for trace_id in some if trace_id in sizes]
        return done


def _erase_found(writer: Writer, find: str, values: Sequence[Any], most: int) -> _Slice:
    """Erase the first of the traces that a statement finds; the first of its values is the project."""
    raw = writer.raw
    with _transaction(raw):
        found = raw.execute(find, storable([*values, min(most, _TRACES)])).fetchall()
        some = _fitting([(text_of(trace_id), count) for trace_id, count in found])
        return _erase_traces(raw, values[0], some) if some else _Slice()


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


def _erase_traces(raw: sqlite3.Connection, project: str, trace_ids: Sequence[str]) -> _Slice:
    """Erase traces with everything of theirs, within a transaction."""
    ids = [number for (number,) in _rows_of(raw, f"SELECT id FROM tc_observations {_OF_TRACES}", project, trace_ids)]
    packed = json.dumps(ids)
    note_orphans(raw, packed)
    for table in ("tc_bodies", "tc_stale", "tc_redocs", "tc_observations"):
        raw.execute(f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (packed,))
    settled = "SELECT DISTINCT session_id FROM tc_traces " + _OF_TRACES + " AND settled = 1 AND session_id IS NOT NULL"
    sessions = [session_id for (session_id,) in _rows_of(raw, settled, project, trace_ids)]
    _run(raw, f"DELETE FROM tc_traces {_OF_TRACES}", project, trace_ids)
    if sessions:
        _run(raw, _FOLLOW, project, sessions)
        _run(raw, _EMPTY, project, sessions)
    scores = _run(raw, f"DELETE FROM tc_scores {_OF_TRACES}", project, trace_ids).rowcount
    return _Slice(list(trace_ids), len(trace_ids), len(ids), scores)


def _erase_scores(writer: Writer, project: str, score_ids: Sequence[str]) -> list[str]:
    raw, wanted = writer.raw, list(dict.fromkeys(score_ids))
    with _transaction(raw):
        rows = _rows_of(raw, f"SELECT score_id FROM tc_scores {_OF_SCORES}", project, wanted)
        _run(raw, f"DELETE FROM tc_scores {_OF_SCORES}", project, wanted)
    found = {text_of(score_id) for (score_id,) in rows}
    return [score_id for score_id in wanted if score_id in found]


def _erase_entries(writer: Writer, project: str, limit: int) -> int:
    raw = writer.raw
    with _transaction(raw):
        found = raw.execute(_ENTRIES, [*storable([project]), limit]).fetchall()
        for kind, key in found:
            apply(raw, Delete(project, text_of(kind), text_of(key)))
    return len(found)


def _run(raw: sqlite3.Connection, sql: str, project: str, names: Sequence[Any]) -> sqlite3.Cursor:
    """Run a statement on a project and names in it."""
    return raw.execute(sql.format(marks=", ".join("?" * len(names))), storable([project, *names]))


def _rows_of(raw: sqlite3.Connection, sql: str, project: str, names: Sequence[Any]) -> list[Any]:
    return _run(raw, sql, project, names).fetchall()
