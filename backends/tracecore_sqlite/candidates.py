"""How a search becomes SQL: over the candidates of the index when they are few, else newest first until a page is full.

A rare phrase has few candidates: each is looked at, then they are sorted. A common one has too many to sort, but is met
soon when the rows are walked in the order of the list. Both give the same answer. A user, a session and ids lead to
their observations in the same way.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from typing import Any, Final, TypeAlias

from tracecore.backend import ObservationQuery
from tracecore.phrase import Phrase
from tracecore_sql.filters import Conditions
from tracecore_sql.searching import TEXTS, leading_tokens
from tracecore_sql.where import leading_phrase
from tracecore_sqlite.search import expression, one_of, proves, statements

__all__ = ["Query", "search_observations", "search_traces"]

Query: TypeAlias = tuple[str, list[Any]]
"""A statement and the values of its marks."""

_FEW: Final = 10_000
_SAYS: Final = f"tc_says(?, {', '.join(TEXTS)})"
_BODIES: Final = "LEFT JOIN tc_bodies b ON b.id = o.id"


def search_observations(
    raw: sqlite3.Connection, project: str, query: ObservationQuery, *, columns: str, where: Conditions, order: str
) -> Query | None:
    """Return the query for the observations that hold the phrase that is searched for, or that something else leads to.

    It is whole but for its limit. None says that nothing holds what is searched for; or, where nothing is, that the
    list is better walked in its order.
    """
    wanted = Phrase(leading_phrase(query) or "")
    of_phrase = expression(wanted)
    if not of_phrase and query.search is not None:
        return None
    parts = [of_phrase, *map(one_of, leading_tokens(project, query))]
    matching = " AND ".join(f"({part})" for part in parts if part)
    many = not matching or _many(raw, matching)
    if many and query.search is None:
        return None
    says, said = ("", []) if query.search is None else (f"AND {_SAYS}", [query.search])
    bodies = _BODIES if said or any(condition.reads_body for condition in query.where) else ""
    if many:
        sql = f"SELECT {columns} FROM tc_observations o {bodies} WHERE {where.sql} {says} ORDER BY {order}"
        return sql, [*where.values, *said]
    source, values = _candidates(wanted, matching, bodies=bodies)
    if said:
        says = f"AND (c.sure OR {_SAYS})"
    return f"SELECT {columns} FROM {source} WHERE {where.sql} {says} ORDER BY {order}", [*values, *where.values, *said]


def search_traces(
    raw: sqlite3.Connection, phrase: str, *, columns: str, where: Conditions, order: str, project: str
) -> Query | None:
    """Return the query for the traces of which one observation holds a phrase, all but its limit, or None."""
    wanted = Phrase(phrase)
    matching = expression(wanted)
    if not matching:
        return None
    if _many(raw, matching):
        holding = (
            f"SELECT 1 FROM tc_observations o {_BODIES} "
            f"WHERE o.project = tc_traces.project AND o.trace_id = tc_traces.trace_id AND {_SAYS}"
        )
        sql = f"SELECT {columns} FROM tc_traces WHERE {where.sql} AND EXISTS ({holding}) ORDER BY {order}"
        return sql, [*where.values, phrase]
    source, values = _candidates(wanted, matching)
    holding = f"SELECT DISTINCT o.trace_id AS held FROM {source} WHERE o.project = ? AND (c.sure OR {_SAYS})"
    sql = (
        f"SELECT {columns} FROM ({holding}) CROSS JOIN tc_traces ON project = ? AND trace_id = held "
        f"WHERE {where.sql} ORDER BY {order}"
    )
    return sql, [*values, project, phrase, project, *where.values]


def _many(raw: sqlite3.Connection, matching: str) -> bool:
    (candidates,) = raw.execute(statements()["count_candidates"], (matching, _FEW + 1)).fetchone()
    return bool(candidates > _FEW)


def _candidates(phrase: Phrase, matching: str, *, bodies: str = _BODIES) -> Query:
    """Return the candidates of the index ``c``, each with its observation ``o`` and, where asked for, bodies ``b``."""
    return (
        f"({statements()['candidates']}) c CROSS JOIN tc_observations o ON o.id = c.id {bodies}",
        [int(proves(phrase)), matching],
    )
