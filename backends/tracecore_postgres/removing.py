"""Removing traces with everything of theirs, within a transaction that has locked their rows.

Locks are taken in the order of writers: traces, sessions, scores. Rows of the queue of texts go before those of the
index: whoever is just indexing one of them has ended by then.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from tracecore_postgres.connection import Connection
from tracecore_postgres.sql import sql

__all__ = ["Keys", "remove_observations", "remove_rows", "remove_scores", "remove_traces"]

Keys: TypeAlias = tuple[list[Any], list[Any]]
"""Projects, and what is named in each: as they are stored."""

_OF_KEYS: Final = "USING unnest($1::text[], $2::text[]) AS k (project, trace_id)"
_LOCK_SCORES: Final = """
SELECT FROM tc_scores WHERE (project, trace_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY project, score_id FOR UPDATE
"""
_REMOVE_SCORES: Final = f"""
DELETE FROM tc_scores s {_OF_KEYS} WHERE s.project = k.project AND s.trace_id = k.trace_id RETURNING 1
"""
_REMOVE_TRACES: Final = f"""
DELETE FROM tc_traces t {_OF_KEYS} WHERE t.project = k.project AND t.trace_id = k.trace_id
RETURNING t.project, t.session_id
"""
_REMOVE_OBSERVATIONS: Final = f"""
DELETE FROM tc_observations o {_OF_KEYS} WHERE o.week = $3 AND o.project = k.project AND o.trace_id = k.trace_id
RETURNING o.id
"""
_REMOVE_BY_ID: Final = "DELETE FROM {table} WHERE week = $1 AND id = ANY($2::bigint[])"
_LOCK_SESSIONS: Final = """
SELECT FROM tc_sessions WHERE (project, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY project, session_id FOR UPDATE
"""


async def remove_traces(connection: Connection, traces: Keys) -> None:
    """Remove traces, and have their sessions follow what is left."""
    rows = await connection.fetch(_REMOVE_TRACES, *traces)
    sessions = sorted({(row[0], row[1]) for row in rows if row[1] is not None})
    if sessions:
        names = [project for project, _ in sessions], [session_id for _, session_id in sessions]
        await connection.fetch(_LOCK_SESSIONS, *names)
        await connection.execute(sql().follow_traces, *names)


async def remove_scores(connection: Connection, traces: Keys) -> int:
    """Remove the scores of traces; return how many."""
    await connection.fetch(_LOCK_SCORES, *traces)
    return len(await connection.fetch(_REMOVE_SCORES, *traces))


async def remove_observations(connection: Connection, traces: Keys, week: int) -> int:
    """Remove the observations of traces of one week; return how many."""
    ids = [row[0] for row in await connection.fetch(_REMOVE_OBSERVATIONS, *traces, week)]
    await remove_rows(connection, week, ids)
    return len(ids)


async def remove_rows(connection: Connection, week: int, ids: Sequence[int]) -> None:
    """Remove what lies under the ids of observations that are gone."""
    for table in ("tc_bodies", "tc_unindexed", "tc_search"):
        await connection.execute(_REMOVE_BY_ID.format(table=table), week, ids)
