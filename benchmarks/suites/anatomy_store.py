"""What storing a span consists of, behind the caller: CPU of each step of the pump and of the SQLite backend.

The steps are timed where they are called, on the thread that runs them, while a backlog of the request mix is written
batch by batch: sealing, making rows, and every statement by its table.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import AT_ONCE
from benchmarks.measure import row_of
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Texts, traced_service
from benchmarks.sinks import NullBackend
from tracecore import Config, Recorder
from tracecore.records import Record
from tracecore_sqlite import writer as sqlite_writer
from tracecore_sqlite.backend import open_backend
from tracecore_sqlite.connection import Connection

__all__ = ["run"]

METHOD: Final = (
    "µs of CPU time per span while a backlog of requests of 5 spans is written into a new SQLite file in batches of"
    " 512, steps timed one by one on the thread that runs them. Statements hold the GIL while their values are bound"
    " and give it up while SQLite works; the other steps hold it throughout."
)
_ROUNDS: Final = 5
_REQUESTS: Final = 4_000
_BATCH: Final = 512
_SHARE: Final = "share"
_WHOLE: Final = "the whole"
_STATEMENTS: Final = {
    "INSERT INTO tc_observations": "observations",
    "INSERT OR REPLACE INTO tc_bodies": "bodies",
    "INSERT INTO tc_traces": "roll_up",
    "COMMIT": "commit",
}
"""The steps that are statements, by how those begin."""
_LABELS: Final = {
    "seal": "open span to record",
    "list_values": "records to rows",
    "body_values": "payloads to rows",
    "observations": "statement: observations, three trees",
    "bodies": "statement: payloads",
    "roll_up": "statement: roll-up of the traces, four trees",
    "commit": "COMMIT: write-ahead log and checkpoints",
    "other": "the rest: other statements, sorting out, freeing",
    _WHOLE: _WHOLE,
}


class Stopwatch:
    """Add up CPU time of the calling thread by step."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(_LABELS, 0.0)

    def timing(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed as this step."""

        def timed(*args: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*args)
            finally:
                self.spent[step] += time.thread_time() - started

        return timed


class TimedConnection:
    """Stand for a connection whose statements are timed by their table."""

    def __init__(self, raw: sqlite3.Connection, watch: Stopwatch) -> None:
        self._raw = raw
        self._timed = {begin: watch.timing(name, raw.execute) for begin, name in _STATEMENTS.items()}

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement."""
        for begin, timed in self._timed.items():
            if sql.startswith(begin):
                cursor: sqlite3.Cursor = timed(sql, *values)
                return cursor
        return self._raw.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def run(settings: Settings, step: Step) -> Table:
    """Write a backlog several times and say what its steps take."""
    rounds = settings.rounds_of(_ROUNDS)
    requests = range(settings.size_of(_REQUESTS))
    taken: dict[str, list[float]] = {name: [] for name in _LABELS}
    for number in range(rounds + 1):
        step(f"round {number} of {rounds}" if number else "warm-up", number / (rounds + 1))
        spent = _round(Texts(settings.seed), requests)
        if number:
            for name, seconds in spent.items():
                taken[name].append(seconds / len(requests) / SPANS * 1e6)
    return Table(suite="anatomy/store", title="Inside storing", method=METHOD, rows=_rows(taken))


def _round(texts: Texts, requests: range) -> dict[str, float]:
    watch = Stopwatch()
    items = asyncio.run(_emitted(texts, requests))
    sealed = watch.timing("seal", _sealed)
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
        started = time.process_time()
        batches = [sealed(items[first : first + _BATCH]) for first in range(0, len(items), _BATCH)]
        sealing = time.process_time() - started
        written = asyncio.run(_written(Path(folder) / "traces.db", batches, watch))
    watch.spent[_WHOLE] = sealing + written
    watch.spent["other"] = 2 * watch.spent[_WHOLE] - sum(watch.spent.values())
    return watch.spent


async def _emitted(texts: Texts, requests: range) -> list[Any]:
    """Answer the requests and return what is in the buffer then."""
    recorder = Recorder(Config(backend="memory:", pending_after_ms=0, buffer_items=1_000_000), backend=NullBackend())
    recorder.begin()  # no pump
    handle = traced_service(texts, recorder)
    for first in range(0, len(requests), AT_ONCE):
        await asyncio.gather(*map(handle, requests[first : first + AT_ONCE]))
    assert recorder.route is not None
    return [item for lane in recorder.route.ring.lanes() for item in lane.take(1 << 30, 1 << 60)]


def _sealed(items: list[Any]) -> list[Record]:
    return [item.seal() for item in items]


async def _written(path: Path, batches: list[list[Record]], watch: Stopwatch) -> float:
    """Write the batches as the backend does, and return the seconds of CPU that took."""
    backend = open_backend(f"sqlite:///{path}")
    await backend.open()
    try:
        connection: Connection = backend._writing  # type: ignore[assignment]  # noqa: SLF001 - it is open
        return await connection.run(_write_timed, TimedConnection(connection.raw, watch), batches, watch)
    finally:
        await backend.close()


def _write_timed(raw: Any, batches: list[list[Record]], watch: Stopwatch) -> float:
    """Run on the thread of the connection."""
    names = ("list_values", "body_values")
    plain = {name: getattr(sqlite_writer, name) for name in names}
    for name, function in plain.items():
        setattr(sqlite_writer, name, watch.timing(name, function))
    try:
        writer = sqlite_writer.Writer(raw)
        started = time.thread_time()
        for batch in batches:
            writer.write(batch)
        return time.thread_time() - started
    finally:
        for name, function in plain.items():
            setattr(sqlite_writer, name, function)


def _rows(taken: dict[str, list[float]]) -> list[Row]:
    whole = row_of("anatomy.store.whole", _WHOLE, "µs", taken[_WHOLE])
    assert whole.value is not None
    rows = [whole]
    for name, label in _LABELS.items():
        if name != _WHOLE:
            share = statistics.median(taken[name]) / whole.value
            rows.append(row_of(f"anatomy.store.{name}", label, "µs", taken[name], ratios={_SHARE: share}))
    return rows
