"""Reading from PostgreSQL and from SQLite, in turn: a million spans of eight weeks, or ``--rows``, the same in both.

Both are filled by their own writers with the same records, and their search indexes are built to the end. Then every
question is asked once by somebody who has the statements explained, and after that against the clock.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import percentile, ratio
from benchmarks.past import WEEKS, filled, past_requests
from benchmarks.plans import check, postgres_plans, sqlite_plans
from benchmarks.postgres_server import PostgresServer, postgres_server
from benchmarks.progress import Step
from benchmarks.reader import QUESTIONS, TIMES, times_of_both
from benchmarks.request_mix import SPANS, Texts
from benchmarks.stored import check_space
from tracecore.backend import Backend
from tracecore.plugins import open_backend

__all__ = ["run"]

METHOD: Final = (
    "ms of wall clock per query, awaited one after another by a reader of its own for each store, in shuffled order"
    " after a warm-up; the figure is the 95th percentile. Lists have 50 entries. The same records are in both, spread"
    f" over {WEEKS} weeks, their search indexes built to the end; PostgreSQL has been told to count its rows (VACUUM"
    " ANALYZE), as its autovacuum does in time, and keeps the settings it comes with. Every answer is checked for what"
    " it must hold, and the plan of every statement: a list reads no payloads, one trace is looked for in one"
    " partition, and nothing is walked through that is not small."
)
_QUICK_ROWS: Final = 50_000
_SLICE: Final = 200
_REPORTS: Final = 50
_LOADED: Final = 0.35
_INDEXED: Final = 0.9
"""Shares of the suite."""
_SQLITE: Final = "this ÷ SQLite"
_SCHEMA: Final = "benchmark"
_COPIES: Final = 3
"""What both stores take, logs and indexes included, for what a file of SQLite takes."""


class Urls(Struct):
    """Say where both stores are."""

    postgres: str
    sqlite: str

    @property
    def named(self) -> dict[str, str]:
        """Return them by the name of the store."""
        return {"postgres": self.postgres, "sqlite": self.sqlite}


def run(settings: Settings, step: Step) -> Table:
    """Fill both, then read from both."""
    texts = Texts(settings.seed)
    requests = -(-(min(settings.rows, _QUICK_ROWS) if settings.quick else settings.rows) // SPANS)
    check_space(requests * SPANS * _COPIES)
    step("starting a server", 0.0)
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder, postgres_server() as server:
        path = Path(folder) / "traces.db"
        urls = Urls(server.url(_SCHEMA), f"sqlite:///{path}")
        seconds = asyncio.run(_fill(urls, texts, requests, settings.seed, step))
        server.settle()
        step("looking at plans", _INDEXED)
        plans = asyncio.run(_plans(urls, texts, requests, settings.seed))
        step("reading", _INDEXED)
        asking = times_of_both(
            urls.named, texts, requests, seed=settings.seed, times=settings.size_of(TIMES)
        )  # fmt: skip
        rows = [*_rows(asyncio.run(asking)), *_sizes(server, path, requests * SPANS, seconds, plans)]
        title = f"{requests * SPANS:,} spans in PostgreSQL {server.version}"
    return Table(suite="postgres/read", title=title, method=METHOD, rows=rows)


async def _fill(urls: Urls, texts: Texts, requests: int, seed: int, step: Step) -> float:
    """Write everything into both stores and make their indexes; return the seconds that writing took."""
    spans = requests * SPANS

    def note(written: int) -> None:
        step(f"{written:,} of {spans:,} spans are stored twice", _LOADED * written / spans)

    async with AsyncExitStack() as exits:
        backends = [open_backend(url) for url in urls.named.values()]
        for backend in backends:
            await backend.open()
            exits.push_async_callback(backend.close)
        began = time.perf_counter()
        await filled(backends, past_requests(texts, range(requests), until_ns=time.time_ns(), seed=seed), note)
        seconds = time.perf_counter() - began
        notes = [partial(_indexing, step, spans) if place == 0 else _nothing for place in range(len(backends))]
        await asyncio.gather(*(_index(backend, said) for backend, said in zip(backends, notes, strict=True)))
    return seconds


async def _index(backend: Backend, note: Callable[[int], None]) -> None:
    slices = 0
    while await backend.maintain():
        slices += 1
        note(slices)


def _nothing(_: int) -> None:
    """Say nothing: the other one takes longer."""


def _indexing(step: Step, spans: int, slices: int) -> None:
    """Say how far the index is, whose slices are of so many observations or fewer."""
    if slices % _REPORTS == 0:
        share = _LOADED + (_INDEXED - _LOADED) * min(1.0, slices * _SLICE / spans)
        step(f"building the search indexes: {slices:,} slices", share)


async def _plans(urls: Urls, texts: Texts, requests: int, seed: int) -> int:
    """Return how many plans were looked at; one that is not as it has to be ends the suite."""
    looked_at = check(await postgres_plans(urls.postgres, texts, requests, seed=seed))
    return looked_at + check(await sqlite_plans(urls.sqlite, texts, requests, seed=seed))


def _rows(times: dict[str, dict[str, list[float]]]) -> list[Row]:
    """Return the figures of PostgreSQL, and then those of SQLite."""
    ours, other = times["postgres"], times["sqlite"]
    rows = [
        _row(f"postgres.read.{name}", label, ours[name], {_SQLITE: ratio(_p95(ours[name]), _p95(other[name]))})
        for name, label in QUESTIONS.items()
    ]
    return rows + [
        _row(f"postgres.read.sqlite.{name}", f"SQLite: {label}", other[name], {}) for name, label in QUESTIONS.items()
    ]


def _row(key: str, label: str, times: list[float], ratios: dict[str, float]) -> Row:
    return Row(
        key=key, label=f"{label}, p95", unit="ms", value=_p95(times), minimum=min(times), ratios=ratios,
        note=f"median {statistics.median(times):.2g} ms",
    )  # fmt: skip


def _p95(times: list[float]) -> float:
    return percentile(times, 95)


def _sizes(server: PostgresServer, path: Path, spans: int, seconds: float, plans: int) -> list[Row]:
    size = sum(file.stat().st_size for file in path.parent.iterdir())
    return [
        Row(
            key="postgres.read.plans", label="plans looked at, of both", unit="statements", value=plans,
            note="one that walks, or reads payloads for a list, ends the suite with an error",
        ),
        Row(
            key="postgres.read.load", label="writing into both at once", unit="spans/s", value=spans / seconds,
            note=f"{spans:,} spans, made meanwhile",
        ),
        Row(key="postgres.read.size", label="the tables", unit="MB", value=server.size(_SCHEMA) / 1e6),
        Row(key="postgres.read.sqlite.size", label="SQLite: the file", unit="MB", value=size / 1e6),
    ]  # fmt: skip
