"""Reading from a file of a million spans, or of ``--rows``: lists, a session, one trace, full text.

The file holds the request mix, made as in the ``store`` suite, its search index built to the end. Before the clock runs
every question is asked once by somebody who has the statements explained.
"""

from __future__ import annotations

import asyncio
import statistics
from functools import partial
from typing import Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import drive
from benchmarks.measure import percentile
from benchmarks.plans import check, sqlite_plans
from benchmarks.progress import Step
from benchmarks.reader import QUESTIONS, TIMES, times_of_reading
from benchmarks.request_mix import SPANS, Texts, traced_service
from benchmarks.stored import Stored, check_space, maintained
from tracecore.plugins import open_backend

__all__ = ["run"]

METHOD: Final = (
    "ms of wall clock per query, awaited one after another by a reader of its own, in shuffled order after a warm-up;"
    " the figure is the 95th percentile. Lists have 50 entries. Every answer is checked for what it must hold, and the"
    " plan of every statement: lists read no payloads, and no table is walked through."
)
_QUICK_ROWS: Final = 50_000
_AT_ONCE: Final = 20_000
"""Requests between two reports of progress, at most."""
_REPORTS: Final = 50
_SLICE: Final = 200


def run(settings: Settings, step: Step) -> Table:
    """Fill a file, then read from it."""
    texts = Texts(settings.seed)
    requests = -(-(min(settings.rows, _QUICK_ROWS) if settings.quick else settings.rows) // SPANS)
    check_space(requests * SPANS)
    with Stored() as stored:
        asyncio.run(_fill(stored, texts, requests, step))
        asyncio.run(maintained(open_backend(stored.url), partial(_indexing, step, requests * SPANS)))
        step("reading", 0.98)
        plans = check(asyncio.run(sqlite_plans(stored.url, texts, requests, seed=settings.seed)))
        asking = times_of_reading(stored.url, texts, requests, seed=settings.seed, times=settings.size_of(TIMES))
        times = asyncio.run(asking)
        size = stored.size / 1e6
    rows = [_row(name, label, times[name]) for name, label in QUESTIONS.items()]
    rows.append(Row(key="read.plans", label="plans looked at", unit="statements", value=plans))
    rows.append(Row(key="read.size", label="the file", unit="MB", value=size, note=f"{requests * SPANS:,} spans"))
    return Table(suite="read", title=f"{requests * SPANS:,} spans in SQLite", method=METHOD, rows=rows)


async def _fill(stored: Stored, texts: Texts, requests: int, step: Step) -> None:
    handle, at_once = traced_service(texts, stored.recorder), max(1, min(_AT_ONCE, requests // _REPORTS))
    for first in range(0, requests, at_once):
        step(f"{first * SPANS:,} of {requests * SPANS:,} spans are stored", 0.55 * first / requests)
        await drive(handle, range(first, min(first + at_once, requests)), stored.recorder)
    await stored.recorder.ashutdown()


def _indexing(step: Step, spans: int, slices: int) -> None:
    """Say how far the index is, whose slices are of so many observations or fewer."""
    if slices % _REPORTS == 0:
        step(f"building the search index: {slices:,} slices", 0.55 + 0.43 * min(1.0, slices * _SLICE / spans))


def _row(name: str, label: str, times: list[float]) -> Row:
    middle = statistics.median(times)
    return Row(
        key=f"read.{name}", label=f"{label}, p95", unit="ms", value=percentile(times, 95), minimum=min(times),
        note=f"median {middle:.2g} ms",
    )  # fmt: skip
