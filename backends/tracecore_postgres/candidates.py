"""How a search becomes SQL: over the candidates of the index when they are few, else newest first until a page is full.

A rare phrase has few candidates: they are looked up, and sorted. A common one has too many to sort, but is met soon
when the rows are walked in the order of the list. Both ways read a bounded slice of candidates at a time, in the order
of the list, prove them here, and go on behind the last one until the page is full; both give the same answer. A user, a
session and ids lead to their observations in the same way.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from tracecore.backend import LARGEST_PAGE_BYTES, ObservationQuery
from tracecore.phrase import Phrase
from tracecore_postgres.connection import Connection
from tracecore_postgres.reading import BODIES, Rows, rows_of
from tracecore_postgres.search import holds, wanted_words, word_of
from tracecore_postgres.texts import stored_values
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.cursors import Key
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import TRACE_COLUMNS
from tracecore_sql.searching import TEXTS, leading_tokens
from tracecore_sql.where import PROVED, leading_phrase, proved, proves

__all__ = ["search_observations", "search_traces"]

After: TypeAlias = Callable[[Key | None], Conditions]
"""Returns the conditions on rows of the list behind a position, or behind that of the cursor where there is none."""

_FEW: Final = 10_000
_SMALLEST: Final = 64
_LARGEST: Final = 1024
"""Rows of the list that are looked into at once: twice as many each time, because each slice finds its place anew."""
_SLICE_BYTES: Final = 8 * 1024 * 1024

_LISTED: Final = len(LIST_COLUMNS)
_WIDTH: Final = _LISTED + len(BODY_COLUMNS)


def _place_of(column: str) -> int:
    """Return where a column of an observation ``o`` or of its bodies ``b`` stands in a row of both."""
    table, _, name = column.partition(".")
    return LIST_COLUMNS.index(name) if table == "o" else _LISTED + BODY_COLUMNS.index(name)


_TEXTS_AT: Final = tuple(map(_place_of, TEXTS))

_COUNT: Final = f"""
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM tc_search s WHERE {{matching}} LIMIT {_FEW + 1}) i)
    + (SELECT count(*) FROM (SELECT 1 FROM tc_unindexed LIMIT {_FEW + 1}) q)
"""
_CANDIDATES: Final = """
(
    SELECT s.week, s.id FROM tc_search s WHERE {matching}
    UNION SELECT q.week, q.id FROM tc_unindexed q
) c CROSS JOIN LATERAL (SELECT * FROM tc_observations f WHERE f.week = c.week AND f.id = c.id LIMIT 1) o
"""
# Single values, because the planner would rather work out any other form for all observations at once; and arguments of
# a function, so that it walks (see reading.walked).
_IS_CANDIDATE: Final = """
coalesce(
    (SELECT s.words @> ?::integer[] FROM tc_search s WHERE s.week = o.week AND s.id = o.id)
    OR (SELECT true FROM tc_unindexed q WHERE q.week = o.week AND q.id = o.id),
    false
)
"""
_NEWEST_FIRST: Final = "o.start_ns DESC, o.span_id DESC, o.trace_id DESC"
_SIZE: Final = " + ".join(f"coalesce(octet_length({text}), 0)" for text in TEXTS)
_HOLDING: Final = f"""
coalesce((
    SELECT true FROM tc_observations o
    WHERE o.week = t.week AND o.project = t.project AND o.trace_id = t.trace_id AND {_IS_CANDIDATE} LIMIT 1
), false)
"""
# OFFSET 0 keeps the planner from looking at every trace to find some.
_OF_TRACES: Final = f"""
SELECT o.* FROM unnest(?::integer[], ?::text[]) AS t (week, trace_id) CROSS JOIN LATERAL (
    SELECT o.* FROM tc_observations o
    WHERE o.week = t.week AND o.project = ? AND o.trace_id = t.trace_id AND {_IS_CANDIDATE} OFFSET 0
) o
"""


class _Search:
    """Look for one phrase in one project, on one connection."""

    def __init__(self, connection: Connection, project: str, text: str) -> None:
        self.phrase = Phrase(text)
        self.words = wanted_words(project, self.phrase)
        self.either: list[list[int]] = []
        """Words of which a candidate has one of each list."""
        self._connection = connection

    def lead(self, groups: Iterable[list[str]]) -> None:
        """Look only for what has one token of each group."""
        for tokens in groups:
            words = [word_of(token) for token in tokens]
            if len(words) == 1:
                self.words += words
            else:
                self.either.append(words)

    @property
    def matching(self) -> tuple[str, list[Any]]:
        """Return the condition on what the index ``s`` says of a candidate, empty where nothing leads to any."""
        all_of = ["s.words @> ?::integer[]"] if self.words else []
        sql = " AND ".join([*all_of, *(["s.words && ?::integer[]"] * len(self.either))])
        return sql, [*([self.words] if self.words else []), *self.either]

    async def rows(self, sql: str, values: Sequence[Any]) -> Rows:
        """Run a statement."""
        return await rows_of(self._connection, sql, values)

    async def is_rare(self) -> bool:
        """Return whether something leads to candidates, and they are few."""
        matching, values = self.matching
        if not matching:
            return False
        ((candidates,),) = await self.rows(_COUNT.format(matching=matching), values)
        return bool(candidates <= _FEW)


class _Proof:
    """Say of rows of observations, with their bodies, whether they are what a query selects."""

    def __init__(self, query: ObservationQuery) -> None:
        self._conditions = [(one, [_place_of(column) for column in PROVED[one.column]]) for one in proved(query)]
        self._phrase = None if query.search is None else Phrase(query.search)
        self.reads_bodies = query.search is not None or any(one.reads_body for one, _ in self._conditions)

    def __call__(self, row: Sequence[Any]) -> bool:
        """Return whether a row has what is searched for, and meets the conditions that are proved."""
        return all(proves(one, *[row[place] for place in places]) for one, places in self._conditions) and (
            self._phrase is None or holds(self._phrase, (row[place] for place in _TEXTS_AT))
        )


def _slices(wanted: int) -> Iterator[int]:
    """Yield how many rows to read at once, time after time, where so many are wanted."""
    size = max(_SMALLEST, wanted)
    while True:
        yield min(size, _LARGEST)
        size *= 2


async def search_observations(
    connection: Connection, project: str, query: ObservationQuery, *, order: str, conditions: After
) -> tuple[Rows, bool] | None:
    """Return the first ``limit + 1`` observations that a query selects, as rows of what it asks for.

    Beside them stands whether there are fewer of them because they are long together.
    What is searched for and what is proved row by row is looked into here. None says that nothing is, and that the
    list is better walked in its order.
    """
    search = _Search(connection, project, leading_phrase(query) or "")
    if query.search is not None and not search.words:
        return [], False
    search.lead(leading_tokens(project, query))
    # One trace is walked through whatever the phrase.
    rare = query.trace_id is None and await search.is_rare()
    if not rare and query.search is None and not proved(query):
        return None
    proof, width = _Proof(query), _WIDTH if query.bodies else _LISTED
    bodies = query.bodies or proof.reads_bodies
    found: Rows = []
    left = LARGEST_PAGE_BYTES if query.bodies else None
    where = conditions(None)
    for size in _slices(query.limit + 1):
        inner, values = _candidates(search, where, rare=rare)
        inner = f"{inner} ORDER BY {order}"
        rows, goes_on = await _bounded(search, inner, values, size=size, order=_NEWEST_FIRST, bodies=bodies)
        for row in rows:
            if not proof(row):
                continue
            if left is not None:
                left -= sum(len(value) for value in row[_LISTED:width] if isinstance(value, str))
                if found and left < 0:
                    return found, True
            found.append(row[:width])
        if not goes_on or len(found) > query.limit:
            break
        last = dict(zip(LIST_COLUMNS, rows[-1], strict=False))
        where = conditions((last["start_ns"], last["span_id"], last["trace_id"]))
    return found[: query.limit + 1], False


def _candidates(search: _Search, where: Conditions, *, rare: bool) -> tuple[str, list[Any]]:
    """Return the statement for the candidates behind a position, all but its order and limit."""
    if rare:
        matching, leading = search.matching
        candidates = _CANDIDATES.format(matching=matching)
        return f"SELECT * FROM (SELECT o.* FROM {candidates}) o WHERE {where.sql}", [*leading, *where.values]
    sql = f"SELECT * FROM tc_observations o WHERE {where.sql}"
    return (f"{sql} AND {_IS_CANDIDATE}", [*where.values, search.words]) if search.words else (sql, where.values)


async def _bounded(
    search: _Search, inner: str, values: list[Any], *, size: int, order: str, bodies: bool = True
) -> tuple[Rows, bool]:
    """Return the first observations, ``size`` or fewer where their bodies are long, and whether more follow.

    Without ``bodies`` theirs are not read, and NULL.
    """
    listed = ", ".join(f"o.{name} AS o_{name}" for name in LIST_COLUMNS)
    body = ", ".join(f"{'b.' + name if bodies else 'NULL'} AS b_{name}" for name in BODY_COLUMNS)
    sized = (
        f"SELECT {listed}, {body}, row_number() OVER w AS place, sum({_SIZE if bodies else '0'}) OVER w AS upto, "
        f"count(*) OVER () AS every FROM ({inner} LIMIT {size}) o {BODIES if bodies else ''} "
        f"WINDOW w AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)"
    )
    sql = f"SELECT * FROM ({sized}) s WHERE place = 1 OR upto <= {_SLICE_BYTES} ORDER BY place"
    rows = await search.rows(sql, values)
    every = rows[0][-1] if rows else 0
    return rows, bool(every == size or len(rows) < every)


async def search_traces(connection: Connection, project: str, phrase: str, *, conditions: After, limit: int) -> Rows:
    """Return the first traces of which one observation holds a phrase, as rows of ``TRACE_COLUMNS``."""
    search = _Search(connection, project, phrase)
    if not search.words:
        return []
    rare = await search.is_rare()
    found: Rows = []
    where = conditions(None)
    for size in _slices(limit):
        sql, values = _traces(search, where, project, rare=rare)
        rows = await search.rows(f"{sql} ORDER BY start_ns DESC, trace_id DESC LIMIT {size}", values)
        weeks = {row[1]: row[-1] for row in rows}
        proved = await _proved(search, project, weeks)
        found += [row[:-1] for row in rows if row[1] in proved]
        if len(rows) < size or len(found) >= limit:
            break
        last = dict(zip(TRACE_COLUMNS, rows[-1], strict=False))
        where = conditions((last["start_ns"], last["trace_id"]))
    return found[:limit]


def _traces(search: _Search, where: Conditions, project: str, *, rare: bool) -> tuple[str, list[Any]]:
    """Return the query for traces with a candidate, each with its week, all but its order and limit."""
    columns = ", ".join(TRACE_COLUMNS)
    if not rare:
        sql = f"SELECT {columns}, week FROM tc_traces t WHERE {where.sql} AND {_HOLDING}"
        return sql, [*where.values, search.words]
    matching, leading = search.matching
    candidates = f"SELECT DISTINCT o.trace_id AS held FROM {_CANDIDATES.format(matching=matching)} WHERE o.project = ?"
    sql = (
        f"SELECT {columns}, week FROM ({candidates}) h CROSS JOIN LATERAL "
        f"(SELECT * FROM tc_traces f WHERE f.project = ? AND f.trace_id = h.held LIMIT 1) t WHERE {where.sql}"
    )
    return sql, [*leading, project, project, *where.values]


async def _proved(search: _Search, project: str, weeks: dict[str, int]) -> set[str]:
    """Return which of some traces, each in its week, hold the phrase."""
    proved: set[str] = set()
    order = "o.trace_id, o.span_id"
    behind, key = "", list[str]()
    for size in _slices(4 * len(weeks)) if weeks else ():
        left = [trace_id for trace_id in weeks if trace_id not in proved]
        values: list[Any] = [[weeks[trace_id] for trace_id in left], stored_values(left), project, search.words, *key]
        inner = f"{_OF_TRACES} {behind} ORDER BY {order}"
        rows, goes_on = await _bounded(search, inner, values, size=size, order=order)
        proved |= {row[1] for row in rows if holds(search.phrase, (row[at] for at in _TEXTS_AT))}
        if not goes_on or len(proved) == len(weeks):
            break
        behind, key = f"WHERE ({order}) > (?, ?)", [rows[-1][1], rows[-1][2]]
    return proved
