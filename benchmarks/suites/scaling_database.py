"""One file as it grows to a million spans: what storing the last of them takes, and reading from all of them.

Storing is measured in short stretches just before each size is reached. Then the search index is built to the end and
the questions of the ``read`` suite are asked. The file goes on growing with the same recorder.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import Spent, costs_of, drive
from benchmarks.measure import percentile, row_of
from benchmarks.progress import Step
from benchmarks.reader import QUESTIONS, TIMES, times_of_reading
from benchmarks.request_mix import SPANS, Handle, Texts, bare_service, traced_service
from benchmarks.stored import Stored, check_space, maintained
from tracecore.plugins import open_backend

__all__ = ["run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span) into one SQLite file that grows. Storing: the last 4 stretches of"
    " 2,500 spans before each size (in a quick run 625), each ended by a flush, less the same requests without tracing;"
    " what they stored is read back and compared, and all spans are counted. Reading: 95th percentile of the questions"
    " of the suite `read`, with the search index built to the end."
)
_SIZES: Final = (10_000, 100_000, 1_000_000)
_QUICK_SIZES: Final = (2_500, 5_000, 10_000)
_STRETCH: Final = 500
"""Requests."""
_STRETCHES: Final = 4
_AT_ONCE: Final = 4_000
"""Requests between two reports of progress."""


class Size(Struct):
    """Hold the figures of one size: what the stretches took, and ms of the answers to each question."""

    spans: int
    bare: list[Spent] = []
    stored: list[Spent] = []
    reading: dict[str, list[float]] = {}


class Growing:
    """Hold the file, and the service whose requests make it grow."""

    def __init__(self, stored: Stored, texts: Texts, stretch: int) -> None:
        self._stored = stored
        self._texts = texts
        self._stretch = stretch
        self._handle: Handle = traced_service(texts, stored.recorder)
        self._requests = 0
        """How many requests are stored."""

    def grow(self, size: Size, step: Step, whole: int) -> None:
        """Store as much as the size is short of, the last of it in stretches, and check what is there."""
        requests = size.spans // SPANS
        asyncio.run(self._fill(requests - _STRETCHES * self._stretch, step, whole))
        for first in range(requests - _STRETCHES * self._stretch, requests, self._stretch):
            stretch = range(first, first + self._stretch)
            gc.collect()
            size.bare.append(asyncio.run(drive(bare_service(self._texts), stretch)))
            size.stored.append(asyncio.run(drive(self._handle, stretch, self._stored.recorder)))
        self._requests = requests
        asyncio.run(self._check(range(requests)))

    async def _fill(self, until: int, step: Step, whole: int) -> None:
        for first in range(self._requests, until, _AT_ONCE):
            step(f"{first * SPANS:,} spans are stored", first * SPANS / whole)
            await drive(self._handle, range(first, min(first + _AT_ONCE, until)), self._stored.recorder)

    async def _check(self, requests: range) -> None:
        """Compare what the stretches stored, and count everything."""
        await self._stored.read_back(self._texts, requests[-_STRETCHES * self._stretch :], newest=True)
        if (count := await self._stored.count()) != len(requests) * SPANS:
            raise RuntimeError(f"{count} spans are stored, expected {len(requests) * SPANS}")


def run(settings: Settings, step: Step) -> Table:
    """Let a file grow, and measure at each size."""
    texts, sizes = Texts(settings.seed), [Size(spans) for spans in (_QUICK_SIZES if settings.quick else _SIZES)]
    whole = sizes[-1].spans
    check_space(whole)
    with Stored() as stored:
        stored.backend.wait_until_open()
        growing = Growing(stored, texts, settings.size_of(_STRETCH))
        for size in sizes:
            growing.grow(size, step, whole)
            step(f"building the search index of {size.spans:,} spans", size.spans / whole * 0.99)
            asyncio.run(maintained(open_backend(stored.url)))
            step(f"reading from {size.spans:,} spans", size.spans / whole * 0.99)
            requests, times = size.spans // SPANS, settings.size_of(TIMES)
            asking = times_of_reading(stored.url, texts, requests, seed=settings.seed, times=times)
            size.reading = asyncio.run(asking)
    return Table(suite="scaling/database", title="A file that grows", method=METHOD, rows=_rows(sizes))


def _rows(sizes: list[Size]) -> list[Row]:
    """Return every figure, the size last in its key."""
    rows = [_cpu_row(size) for size in sizes] + [_rate_row(size) for size in sizes]
    return rows + [_reading_row(size, name) for name in QUESTIONS for size in sizes]


def _cpu_row(size: Size) -> Row:
    cpu = costs_of(size.stored, size.bare).cpu
    label = f"{size.spans:,} spans: CPU of all threads per stored span"
    return row_of(f"scaling.database.cpu.{size.spans}", label, "µs", cpu)


def _rate_row(size: Size) -> Row:
    rates = [one.rate for one in size.stored]
    return row_of(f"scaling.database.rate.{size.spans}", f"{size.spans:,} spans: sustained", "spans/s", rates)


def _reading_row(size: Size, name: str) -> Row:
    times = size.reading[name]
    return Row(
        key=f"scaling.database.{name}.{size.spans}", label=f"{size.spans:,} spans: {QUESTIONS[name]}, p95", unit="ms",
        value=percentile(times, 95), minimum=min(times),
    )  # fmt: skip
