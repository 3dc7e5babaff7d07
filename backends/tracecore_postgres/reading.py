"""What the stores share: a page of rows by one statement, so that all of it is as of one moment.

Statements are written with ``?`` marks, as the conditions are that both SQL backends share, and are numbered here.
Lists never touch ``tc_bodies`` unless they are asked for bodies or search, and every list follows an index; the tests
assert both from the query plan. A limit is part of the text, because the planner decides by it: a whole number that was
checked.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any, Final, TypeAlias

from tracecore.backend import LARGEST_PAGE_BYTES
from tracecore.errors import BackendUnavailable
from tracecore_postgres.connection import Connection
from tracecore_postgres.texts import stored_values, values_of
from tracecore_sql.filters import Conditions

__all__ = [
    "BODIES",
    "Reading",
    "Rows",
    "fetch",
    "fetch_within",
    "numbered",
    "rows_of",
    "walked",
    "within_patience",
]

BODIES: Final = """
LEFT JOIN LATERAL (SELECT * FROM tc_bodies f WHERE f.week = o.week AND f.id = o.id LIMIT 1) b ON true
"""
"""Joins the bodies ``b`` of observations ``o``: by their key, one by one, however many the planner expects."""
_PATIENCE_S: Final = 30
"""How long a list may look for what meets its conditions, or anything be measured."""
Rows: TypeAlias = list[Sequence[Any]]

Reading: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
"""Lends a connection for reading; whatever the driver raises meanwhile comes out as one of our errors."""


async def fetch(reading: Reading, sql: str, values: Sequence[Any]) -> Rows:
    """Run one statement on a connection that is lent for it."""
    async with reading() as connection:
        return await rows_of(connection, sql, values)


async def fetch_within(
    reading: Reading, columns: str, source: str, values: Sequence[Any], *, lengths: Iterable[str], order: str
) -> tuple[Rows, bool]:
    """Return the rows of a list until they are long together, and whether it is cut there.

    How long a text is the database knows without reading it.

    Args:
        reading: lends the connection.
        columns: what a row is.
        source: where the rows come from, as they follow FROM.
        values: those of the marks.
        lengths: the columns that may be long.
        order: that of the list.
    """
    length = " + ".join(f"coalesce(octet_length({column}), 0)" for column in lengths)
    sized = (
        f"SELECT {columns}, count(*) OVER () AS every, row_number() OVER w AS place, sum({length}) OVER w AS upto "
        f"FROM {source} WINDOW w AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)"
    )
    sql = f"SELECT * FROM ({sized}) s WHERE s.place = 1 OR s.upto <= {LARGEST_PAGE_BYTES} ORDER BY s.place"
    rows = await fetch(reading, sql, values)
    return [row[:-3] for row in rows], bool(rows) and len(rows) < rows[0][-3]


async def rows_of(connection: Connection, sql: str, values: Sequence[Any]) -> Rows:
    """Run one statement; its values are escaped as stored texts are, and its rows are what they stand for."""
    return [values_of(row) for row in await connection.fetch(numbered(sql), *stored_values(values))]


@asynccontextmanager
async def within_patience(
    what: str = "nothing met the conditions", remedy: str = "narrow them: to some time, a trace or a user"
) -> AsyncGenerator[None]:
    """Run a block that ends when its time is up; what it asks of the server is then cancelled.

    Raises:
        BackendUnavailable: it was; it says what was not done.
    """
    try:
        async with asyncio.timeout(_PATIENCE_S):
            yield
    except TimeoutError as error:
        raise BackendUnavailable(f"{what} within {_PATIENCE_S} s", remedy) from error


def numbered(sql: str) -> str:
    """Return a statement with its marks numbered from 1."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in zip(count(1), rest, strict=False))


def walked(where: Conditions, *, by: tuple[str, ...]) -> Conditions:
    """Return conditions by which a list is walked in its order until its page is full, by an index on some columns.

    Conditions often go together (of one user, or one name, everything runs), which the planner does not know: it takes
    them for so rare that it would rather read all there is and sort what is left. As the argument of a function, all of
    them together are to it what every other row meets.
    """
    kept, tested = Conditions(), Conditions()
    values = iter(where.values)
    for part in where.parts:
        (kept if part.startswith(tuple(f"{column} " for column in by)) else tested).add(
            part, *(next(values) for _ in range(part.count("?")))
        )
    if tested.parts:
        kept.add(f"coalesce({tested.sql}, false)", *tested.values)
    return kept
