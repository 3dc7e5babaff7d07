"""The request mix into PostgreSQL: rate, CPU on both sides, bytes; SQLite in turn; everything read back and compared.

The server comes with its durable settings, is started by the suite, and is reached over the loopback interface. Every
round has a schema of its own, which is removed afterwards. Deferred work, the search index, is done after one round,
alone, as figures of its own.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from benchmarks.delivering import (
    Delivered,
    Spot,
    backlog,
    beside_host,
    live,
    new_file,
    per_span,
    rows_beside_host,
    rows_of_backlog,
    rows_of_costs,
)
from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import PACING, Spent, drive
from benchmarks.machine import peak_memory, resident_memory
from benchmarks.measure import ratio, row_of
from benchmarks.postgres_server import PostgresServer, postgres_server
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Texts, bare_service
from benchmarks.stored import index
from tracecore.plugins import open_backend

__all__ = ["run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span, user and session) through a recorder whose pump has its own"
    f" thread, into a new schema per round. Pacing: {PACING}. The server is a process of its own on the same machine,"
    " with the settings it comes with (every commit waits for the disk), reached over TCP on the loopback interface."
    " CPU of the client is that of all threads of this process, less the same requests without tracing, round by round;"
    " CPU of the server is that of all its processes, its background work included. Into SQLite the same, in the same"
    " rounds, in shuffled order. Backlog: everything waits in the buffer first, so that the pump works alone. Time ends"
    " when flush says delivered. After each round every span is read back and compared."
)
_ROUNDS: Final = 5
_BUSY_ROUNDS: Final = 3
_REQUESTS: Final = 8_000
_SQLITE: Final = "this ÷ SQLite"
_MB: Final = 1 << 20


class Schemas:
    """Give every round a schema, and note what a full one takes."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self.last = ""
        self.keep = False
        """Whether the next schema stays when its round ends."""

    @contextmanager
    def __call__(self) -> Iterator[Spot]:
        """Yield a new schema."""
        schema = self.last = f"benchmark_{next(self._numbers)}"
        try:
            yield Spot(self._server.url(schema), lambda: self._server.cpu)
        finally:
            if not self.keep:
                self._server.drop(schema)


class Stored(Struct):
    """Say what a schema of so many spans takes on disk, and what making its search index took, in seconds of CPU."""

    spans: int
    size: int
    size_with_index: int
    client: float
    server: float


class Taken(Struct):
    """Collect the figures of every round."""

    before: int
    bare: list[Spent] = []
    sqlite: list[Delivered] = []
    postgres: list[Delivered] = []
    backlog: list[Delivered] = []
    busy: list[Delivered] = []
    peak: int = 0

    @property
    def checked(self) -> int:
        """Return how many spans were read back from PostgreSQL."""
        return sum(one.checked for one in (*self.postgres, *self.backlog, *self.busy))


def run(settings: Settings, step: Step) -> Table:
    """Deliver to both databases in turn."""
    texts, requests = Texts(settings.seed), range(1 + settings.size_of(_REQUESTS))
    rounds = settings.rounds_of(_ROUNDS)
    busy_rounds = min(rounds, _BUSY_ROUNDS) if settings.busy_host else 0
    chance = random.Random(settings.seed)
    step("starting a server", 0.0)
    with postgres_server() as server:
        schemas, taken = Schemas(server), Taken(resident_memory())
        for number in range(rounds + 1):
            step(f"round {number} of {rounds}" if number else "warm-up", number / (rounds + 2))
            _round(taken, schemas, texts, requests, chance, busy=1 <= number <= busy_rounds)
            if not number:
                taken = Taken(taken.before, peak=taken.peak)
        step("building the search index", (rounds + 1) / (rounds + 2))
        stored = _indexed(schemas, server, texts, requests)
        title = f"Into PostgreSQL {server.version}"
    return Table(suite="postgres", title=title, method=METHOD, rows=_rows(taken, stored, requests))


def _round(taken: Taken, schemas: Schemas, texts: Texts, requests: range, chance: random.Random, *, busy: bool) -> None:
    """Take each figure once, in an order that changes."""

    def untraced() -> None:
        taken.bare.append(asyncio.run(drive(bare_service(texts), requests[1:])))

    def postgres() -> None:
        taken.postgres.append(live(schemas, texts, requests))
        taken.peak = taken.peak or peak_memory()

    turns: list[Callable[[], None]] = [
        untraced, postgres,
        lambda: taken.sqlite.append(live(new_file, texts, requests)),
        lambda: taken.backlog.append(backlog(schemas, texts, requests)),
    ]  # fmt: skip
    if busy:
        turns.append(lambda: taken.busy.append(beside_host(schemas, texts, requests)))
    if taken.peak:  # the warm-up begins with the schema: its peak of memory is shown
        chance.shuffle(turns)
    else:
        turns.insert(0, turns.pop(1))
    for turn in turns:
        gc.collect()
        turn()


def _indexed(schemas: Schemas, server: PostgresServer, texts: Texts, requests: range) -> Stored:
    """Fill one more schema, and make its search index."""
    schemas.keep = True
    backlog(schemas, texts, requests)
    size, there = server.size(schemas.last), server.cpu
    client = asyncio.run(index(open_backend(server.url(schemas.last)), requests))
    there = server.cpu - there
    return Stored(len(requests) * SPANS, size, server.size(schemas.last), client, there)


def _rows(taken: Taken, stored: Stored, requests: range) -> list[Row]:
    bare = [one.caller_us for one in taken.bare]
    return [
        row_of("postgres.bare", "the requests without tracing, per span", "µs", bare, note="CPU of the caller"),
        *rows_of_costs("postgres", "", taken.postgres, taken.bare, _ratios(taken)),
        *rows_of_backlog("postgres", "", taken.backlog),
        Row(key="postgres.lost", label="lost", unit="spans", value=0, note="a loss ends the suite with an error"),
        Row(
            key="postgres.read_back", label="read back and compared, all rounds", unit="spans", value=taken.checked,
            note=f"{(len(requests) - 1) * SPANS:,} spans a round: name, parent, status, user, payloads, model, cost",
        ),
        *_disk_rows(stored),
        Row(
            key="postgres.peak", label="peak memory of the client", unit="MB", value=taken.peak / _MB,
            note=f"{taken.before / _MB:.0f} MB before the first span",
        ),
        *rows_of_costs("postgres.sqlite", "SQLite in the same rounds: ", taken.sqlite, taken.bare, {}),
        *(rows_beside_host("postgres", "", taken.busy, taken.postgres) if taken.busy else ()),
    ]  # fmt: skip


def _ratios(taken: Taken) -> dict[str, dict[str, float]]:
    ours, other = per_span(taken.postgres, taken.bare), per_span(taken.sqlite, taken.bare)
    return {
        name: {_SQLITE: ratio(statistics.median(ours[name]), statistics.median(other[name]))}
        for name in ("caller", "cpu", "rate")
    }


def _disk_rows(stored: Stored) -> list[Row]:
    def each(number: float) -> float:
        return number / stored.spans

    more = stored.size_with_index - stored.size
    return [
        Row(
            key="postgres.disk", label="on disk per span", unit="bytes", value=each(stored.size),
            note="846 B of it payload; its trace, session and their indexes included, search index and log not",
        ),
        Row(key="postgres.disk_index", label="search index per span", unit="bytes", value=each(more)),
        Row(
            key="postgres.index.client", label="search index: CPU of the client per span", unit="µs",
            value=each(stored.client) * 1e6, note="built when the pump is idle",
        ),
        Row(
            key="postgres.index.server", label="search index: CPU of the server per span", unit="µs",
            value=each(stored.server) * 1e6,
        ),
    ]  # fmt: skip
