"""Rejected: ``executemany`` for a batch of rows. ``python -m benchmarks.rejected.executemany``

``executemany`` steps row by row, and the driver gives the GIL up at every step and takes it again. Alone that costs
little. Beside a thread of the host program that computes, every step has to wait until that thread is made to let go, up
to 5 ms (``sys.getswitchinterval``). One ``INSERT … VALUES (…), (…), …`` for the whole batch, all values bound at once,
gives the GIL up once, and then inserts beside the host while that computes on.

Seen on CPython 3.11 and SQLite 3.40, 2 shared cores, batches of 512 rows of 3.5 KB, four indexes:

==============================  ============  =======================  ====================
rows per second                 alone         beside a busy thread     the thread keeps
==============================  ============  =======================  ====================
executemany                     NN,NNN        NNN                      NN %
one statement per batch         NN,NNN        NN,NNN                   NN %
==============================  ============  =======================  ====================
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.busy_host import BusyHost, speed_alone

__all__ = ["WAYS", "main", "rows_of", "store"]

Values: TypeAlias = tuple[Any, ...]
Insert: TypeAlias = Callable[[sqlite3.Connection, list[Values]], object]

_BATCH: Final = 512
_BATCHES: Final = 2
_ROUNDS: Final = 8
_COLUMNS: Final = ("trace_id", "span_id", "name", "user", "start", "duration", "status", "body")
_SCHEMA: Final = f"""
CREATE TABLE spans (id INTEGER PRIMARY KEY, {", ".join(_COLUMNS)}, UNIQUE (trace_id, span_id));
CREATE INDEX by_start ON spans (start);
CREATE INDEX by_user ON spans (user, start);
CREATE INDEX by_name ON spans (name, start);
"""
_BODY: Final = "x" * 3_400
_ROW: Final = f"({', '.join('?' * len(_COLUMNS))})"
_INTO: Final = f"INSERT INTO spans ({', '.join(_COLUMNS)}) VALUES "


def rows_of(batch: int) -> list[Values]:
    """Return the rows of one batch."""
    numbers = range(batch * _BATCH, (batch + 1) * _BATCH)
    return [(f"{n // 5:032x}", f"{n:016x}", f"step-{n % 9}", f"user-{n % 97}", n, 7, "ok", _BODY) for n in numbers]


def _executemany(connection: sqlite3.Connection, rows: list[Values]) -> None:
    connection.executemany(_INTO + _ROW, rows)


def _one_statement(connection: sqlite3.Connection, rows: list[Values]) -> None:
    connection.execute(_INTO + ", ".join([_ROW] * len(rows)), [value for row in rows for value in row])


WAYS: Final[dict[str, Insert]] = {"executemany": _executemany, "one statement per batch": _one_statement}


def store(insert: Insert, batches: int, path: Path) -> float:
    """Insert batches into a new file, a transaction each, and return rows per second."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = normal")
        connection.executescript(_SCHEMA)
        prepared = [rows_of(batch) for batch in range(batches)]
        began = time.perf_counter()
        for rows in prepared:
            connection.execute("BEGIN IMMEDIATE")
            insert(connection, rows)
            connection.execute("COMMIT")
        rate = batches * _BATCH / (time.perf_counter() - began)
        [(stored,)] = connection.execute("SELECT count(*) FROM spans").fetchall()
        if stored != batches * _BATCH:
            raise RuntimeError(f"{stored} rows are stored, expected {batches * _BATCH}")
        return rate


def main() -> None:
    """Print rows per second of both, alone and beside a host that computes."""
    alone = speed_alone()
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
        for name, insert in WAYS.items():
            rates = [store(insert, _BATCHES, Path(folder) / f"{name}-{number}.db") for number in range(_ROUNDS)]
            beside: list[float] = []
            kept: list[float] = []
            for number in range(_ROUNDS):
                with BusyHost() as host:
                    mark = host.mark()
                    beside.append(store(insert, _BATCHES, Path(folder) / f"{name}-busy-{number}.db"))
                    kept.append(host.speed_since(mark) / alone)
            print(f"{name}: {statistics.median(rates):,.0f} rows/s alone; beside a busy thread", end=" ")
            print(f"{min(beside):,.0f} to {max(beside):,.0f}, which keeps {statistics.median(kept):.0%} of its speed")


if __name__ == "__main__":
    main()
