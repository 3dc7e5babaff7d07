"""Rejected: an await for every row on a connection that lives in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiosqlite

from benchmarks.figures import Settings, Table
from benchmarks.progress import Step
from benchmarks.rejected.executemany import COLUMNS, INTO, ONE_ROW, SCHEMA, rows_beside, rows_of

__all__ = ["REASON", "WAYS", "run", "store"]

REASON: Final = (
    "A connection of aiosqlite has a thread of its own, and everything awaited on it goes there through a queue, is"
    " waited for, and comes back through the loop's selector: two threads change places, twice, for a row that takes"
    " SQLite a few microseconds. Alone that is most of what storing a row costs. Beside a thread of the host program"
    " that computes, each change of places waits up to 5 ms for the GIL (`sys.getswitchinterval`), and so does the row."
    " `executemany` in one await spares the way there and back and still gives the GIL up at every row. One statement"
    " for the whole batch, a transaction by itself, goes there and back once, and lets go once. A batch of 128 rows of"
    " 3.5 KB, four indexes."
)

Values: TypeAlias = tuple[Any, ...]
Insert: TypeAlias = Callable[[aiosqlite.Connection, list[Values]], Awaitable[object]]

_BATCH: Final = 128
_ROUNDS: Final = 4
_BACK: Final = f"SELECT {', '.join(COLUMNS)} FROM spans ORDER BY id"  # noqa: S608 - the names are those of the table


async def _await_each(connection: aiosqlite.Connection, rows: list[Values]) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    for row in rows:
        await connection.execute(INTO + ONE_ROW, row)
    await connection.execute("COMMIT")


async def _executemany(connection: aiosqlite.Connection, rows: list[Values]) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    await connection.executemany(INTO + ONE_ROW, rows)
    await connection.execute("COMMIT")


async def _one_statement(connection: aiosqlite.Connection, rows: list[Values]) -> None:
    """Insert with what is a transaction by itself."""
    await connection.execute(INTO + ", ".join([ONE_ROW] * len(rows)), [value for row in rows for value in row])


WAYS: Final[dict[str, tuple[str, Insert]]] = {
    "await": ("an await for each row", _await_each),
    "executemany": ("one await for the rows, one by one inside", _executemany),
    "one": ("chosen: one await, one statement", _one_statement),
}


async def store(insert: Insert, rows: list[Values], path: Path) -> float:
    """Insert a batch into a new file, read it back, and return rows per second."""
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        await connection.execute("PRAGMA journal_mode = wal")
        await connection.execute("PRAGMA synchronous = normal")
        await connection.executescript(SCHEMA)
        began = time.perf_counter()
        await insert(connection, rows)
        rate = len(rows) / (time.perf_counter() - began)
        if list(await connection.execute_fetchall(_BACK)) != rows:
            raise RuntimeError("what is stored is not what was inserted")
        return rate


def run(settings: Settings, step: Step) -> Table:
    """Store in each way, alone and beside a host that computes, in turn."""
    rows = rows_of(0)[: settings.size_of(_BATCH)]

    def stored_into(insert: Insert, path: Path) -> float:
        return asyncio.run(store(insert, rows, path))

    ways = {name: (label, partial(stored_into, insert)) for name, (label, insert) in WAYS.items()}
    table = rows_beside(
        "rejected.per_row_await", ways, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step
    )
    return Table(suite="rejected/per_row_await", title="On a connection's thread", method=REASON, rows=table)
