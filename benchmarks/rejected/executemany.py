"""Rejected: ``executemany`` for a batch of rows."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct

from benchmarks.busy_host import BusyHost, speed_alone
from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import interleaved, ratio, row_of
from benchmarks.progress import Step

__all__ = ["COLUMNS", "INTO", "ONE_ROW", "REASON", "SCHEMA", "WAYS", "rows_beside", "rows_of", "run", "store"]

REASON: Final = (
    "`executemany` steps row by row, and the driver gives the GIL up at every step and takes it again. Alone that costs"
    " little. Beside a thread of the host program that computes, every step has to wait until that thread is made to"
    " let go, up to 5 ms (`sys.getswitchinterval`). One `INSERT … VALUES (…), (…), …` for the whole batch, all values"
    " bound at once, gives the GIL up once, and then inserts beside the host while that computes on. Batches of 512"
    " rows of 3.5 KB, four indexes, a transaction each."
)

Values: TypeAlias = tuple[Any, ...]
Insert: TypeAlias = Callable[[sqlite3.Connection, list[Values]], object]

_BATCH: Final = 512
_BATCHES: Final = 2
_ROUNDS: Final = 6
_IDLE: Final = "this ÷ alone"
COLUMNS: Final = ("trace_id", "span_id", "name", "user", "start", "duration", "status", "body")
SCHEMA: Final = f"""
CREATE TABLE spans (id INTEGER PRIMARY KEY, {", ".join(COLUMNS)}, UNIQUE (trace_id, span_id));
CREATE INDEX by_start ON spans (start);
CREATE INDEX by_user ON spans (user, start);
CREATE INDEX by_name ON spans (name, start);
"""
_BODY: Final = "x" * 3_400
ONE_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"
INTO: Final = f"INSERT INTO spans ({', '.join(COLUMNS)}) VALUES "  # noqa: S608 - the names are those above


def rows_of(batch: int) -> list[Values]:
    """Return the rows of one batch."""
    numbers = range(batch * _BATCH, (batch + 1) * _BATCH)
    return [(f"{n // 5:032x}", f"{n:016x}", f"step-{n % 9}", f"user-{n % 97}", n, 7, "ok", _BODY) for n in numbers]


def _executemany(connection: sqlite3.Connection, rows: list[Values]) -> None:
    connection.executemany(INTO + ONE_ROW, rows)


def _one_statement(connection: sqlite3.Connection, rows: list[Values]) -> None:
    connection.execute(INTO + ", ".join([ONE_ROW] * len(rows)), [value for row in rows for value in row])


WAYS: Final[dict[str, tuple[str, Insert]]] = {
    "executemany": ("executemany", _executemany),
    "one": ("chosen: one statement per batch", _one_statement),
}


def store(insert: Insert, batches: int, path: Path) -> float:
    """Insert batches into a new file, a transaction each, and return rows per second."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = normal")
        connection.executescript(SCHEMA)
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


def run(settings: Settings, step: Step) -> Table:
    """Store in both ways, alone and beside a host that computes, in turn."""
    batches = max(1, settings.size_of(_BATCHES))
    ways = {name: (label, partial(store, insert, batches)) for name, (label, insert) in WAYS.items()}
    rows = rows_beside("rejected.executemany", ways, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    return Table(suite="rejected/executemany", title="Into SQLite", method=REASON, rows=rows)


class Beside(Struct, frozen=True):
    """Hold one round of a way: rows per second alone and beside a host, and the % of its speed that the host keeps."""

    alone: float
    beside: float
    host: float


def rows_beside(
    prefix: str, ways: Mapping[str, tuple[str, Callable[[Path], float]]], *, rounds: int, seed: int, step: Step
) -> list[Row]:
    """Store into new files in each way, alone and beside a host that computes, in turn; the first round is dropped.

    A way has a label, and a function that stores into the file of a path and returns rows per second.
    """
    candidates = {name: partial(_beside, stored_into) for name, (_, stored_into) in ways.items()}
    taken = interleaved(candidates, rounds=rounds, seed=seed, step=step)
    return [row for name, (label, _) in ways.items() for row in _rows_of_way(f"{prefix}.{name}", label, taken[name])]


def _beside(stored_into: Callable[[Path], float]) -> Beside:
    """Store alone and then beside a host, whose speed alone is that of this moment."""
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
        alone, host_alone = stored_into(Path(folder) / "alone.db"), speed_alone()
        with BusyHost() as host:
            mark = host.mark()
            beside = stored_into(Path(folder) / "beside.db")
            return Beside(alone, beside, 100 * ratio(host.speed_since(mark), host_alone))


def _rows_of_way(key: str, label: str, taken: list[Beside]) -> list[Row]:
    alone, beside, kept = ([getattr(one, which) for one in taken] for which in ("alone", "beside", "host"))
    ratios = {_IDLE: ratio(statistics.median(beside), statistics.median(alone))}
    return [
        row_of(f"{key}.alone", f"{label}, alone", "rows/s", alone),
        row_of(f"{key}.beside", f"{label}, beside a busy thread", "rows/s", beside, ratios=ratios),
        row_of(f"{key}.host", "the busy thread keeps of its speed", "%", kept),
    ]
