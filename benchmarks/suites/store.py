"""The request mix into an SQLite file: rate, CPU, bytes, and everything read back and compared.

Every round has a recorder with its own pump thread and a new file in a temporary folder (``TMPDIR`` chooses where).
Deferred work, the search index, is held back while the clock runs and then done alone, as a figure of its own.

Beside a busy host the same is measured twice. *Live*: producer, pump and a computing thread share the GIL, so the
producer's own part slows down too. *Backlog*: everything waits in the buffer before the clock starts, so that the pump
alone works beside the host: this is what *we* take from it, and what it takes from us.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from contextlib import ExitStack
from typing import Final

from msgspec import Struct

from benchmarks.busy_host import BusyHost, speed_alone
from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import PACING, Spent, costs_of, drive, drive_warm
from benchmarks.machine import peak_memory, resident_memory
from benchmarks.measure import ratio, row_of
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Handle, Texts, bare_service, traced_service
from benchmarks.stored import Stored, index, maintained
from tracecore import Recorder, observe
from tracecore.plugins import open_backend

__all__ = ["run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span, user and session) through a recorder whose pump has its own"
    f" thread, into a new SQLite file per round. Pacing: {PACING}. Time ends when flush says delivered; CPU is less"
    " that of the same requests without tracing, round by round. After each round every span is read back and"
    " compared. The search index is built afterwards, alone."
)
_ROUNDS: Final = 5
_REQUESTS: Final = 4_000
_BUSY_ROUNDS: Final = 3
_KILOBYTE_SPANS: Final = 4_000
_IDLE: Final = "this ÷ idle"
_ALONE: Final = "this ÷ alone"
_MB: Final = 1 << 20
_HALF_KILOBYTE: Final = 512 - 7
"""Characters of a text that is 512 bytes in the mean of ``{"text":"…"}`` and ``"…"``."""


class File(Struct):
    """Say what a file of so many spans holds: bytes before and after the search index, and CPU s of building it."""

    spans: int
    size: int
    size_with_index: int
    index_cpu: float


class Beside(Struct):
    """Hold one round beside the host: spans per second, and the host's speed as a part of its speed alone."""

    rate: float
    host: float


class Taken(Struct):
    """Collect the figures of every round."""

    before: int
    bare: list[Spent] = []
    idle: list[Spent] = []
    files: list[File] = []
    live: list[Beside] = []
    backlog: list[Beside] = []
    """Without a host."""
    backlog_beside: list[Beside] = []
    read_back: int = 0
    peak: int = 0


def run(settings: Settings, step: Step) -> Table:
    """Measure storing alone and, in the first of the same rounds, beside a busy host."""
    texts = Texts(settings.seed)
    rounds = settings.rounds_of(_ROUNDS)
    busy_rounds = settings.rounds_of(_BUSY_ROUNDS) if settings.busy_host else 0
    requests = range(settings.size_of(_REQUESTS))
    taken = Taken(before=resident_memory())
    for number in range(rounds + 1):
        step(f"round {number} of {rounds}" if number else "warm-up", number / (rounds + 1))
        _idle_round(taken, texts, requests, keep=number > 0)
        if 1 <= number <= busy_rounds:
            step(f"round {number} of {rounds}, beside a busy host", (number + 0.3) / (rounds + 1))
            taken.live.append(_live(texts, requests))
            taken.backlog.append(_backlog(texts, requests, busy=False))
            taken.backlog_beside.append(_backlog(texts, requests, busy=True))
    rows = [*_idle_rows(taken), _kilobyte_row(settings.size_of(_KILOBYTE_SPANS))]
    if busy_rounds:
        rows += _busy_rows(taken)
    return Table(suite="store", title="Into SQLite", method=METHOD, rows=rows)


def _idle_round(taken: Taken, texts: Texts, requests: range, *, keep: bool) -> None:
    gc.collect()
    bare = asyncio.run(drive(bare_service(texts), requests))
    gc.collect()
    with Stored() as stored:
        spent = asyncio.run(drive_warm(traced_service(texts, stored.recorder), requests, stored.recorder))
        if not keep:
            taken.peak = peak_memory()
        stored.recorder.shutdown()
        size = stored.size
        read_back = asyncio.run(stored.read_back(texts, requests))
        if keep:
            taken.bare.append(bare)
            taken.idle.append(spent)
            taken.read_back += read_back
        if len(taken.files) < keep:  # the index takes longer than the round: once is enough
            cpu = asyncio.run(index(open_backend(stored.url), requests))
            taken.files.append(File(read_back, size, stored.size, cpu))


def _live(texts: Texts, requests: range) -> Beside:
    """Answer requests beside the host."""
    alone = speed_alone()
    with Stored() as stored, BusyHost() as host:
        mark = host.mark()
        spent = asyncio.run(drive_warm(traced_service(texts, stored.recorder), requests, stored.recorder))
        speed = host.speed_since(mark)
        stored.recorder.shutdown()
        asyncio.run(stored.read_back(texts, requests))
    return Beside(spent.rate, ratio(speed, alone))


def _backlog(texts: Texts, requests: range, *, busy: bool) -> Beside:
    """Fill the buffer, then let the pump work it off."""
    alone = speed_alone() if busy else 0.0
    with Stored(held=True) as stored, ExitStack() as exits:
        spent = asyncio.run(_emit(traced_service(texts, stored.recorder), requests))
        stored.backend.wait_until_open()
        host = exits.enter_context(BusyHost()) if busy else None
        mark = host.mark() if host is not None else (0, 0.0)
        began = time.perf_counter()
        stored.backend.release()
        result = stored.recorder.flush(60)
        wall = time.perf_counter() - began
        speed = host.speed_since(mark) if host is not None else 0.0
        exits.close()
        if not result.delivered or result.lost:
            raise RuntimeError(f"{result.pending} records are pending, lost: {result.lost}")
        stored.recorder.shutdown()
        asyncio.run(stored.read_back(texts, requests))
    return Beside(spent.spans / wall, ratio(speed, alone))


async def _emit(handle: Handle, requests: range) -> Spent:
    """Answer requests without waiting for anything: the buffer takes them all."""
    for number in requests:
        await handle(number)
    return Spent(len(requests))


def _kilobyte_row(spans: int) -> Row:
    """Store spans of 1 KB alone (arguments and result of 512 B each) and say what they take on disk, index included."""
    with Stored() as stored:
        asyncio.run(_emit_kilobytes(stored.recorder, spans))
        result = stored.recorder.shutdown(60)
        assert result.delivered, result
        assert not result.lost, result
        asyncio.run(maintained(open_backend(stored.url)))
        return Row(
            key="store.disk_1k", label="on disk per span of 1 KB, every index included", unit="bytes",
            value=stored.size / spans, note=f"{spans:,} spans, {SPANS} to a trace",
        )  # fmt: skip


async def _emit_kilobytes(recorder: Recorder, spans: int) -> None:
    async def echo(text: str) -> str:
        return text

    nested = observe(echo)

    @observe(recorder=recorder)
    async def first(text: str) -> str:
        for _ in range(SPANS - 1):
            await nested(text)
        return text

    source = Texts(1, prompts=64)
    for number in range(spans // SPANS):
        await first(source.completion(number)[:_HALF_KILOBYTE])


def _idle_rows(taken: Taken) -> list[Row]:
    bare, costs = [one.caller_us for one in taken.bare], costs_of(taken.idle, taken.bare)
    [file] = taken.files
    indexed = file.size_with_index > file.size
    return [
        row_of("store.bare", "the requests without tracing, per span", "µs", bare, note="CPU of the caller"),
        row_of("store.caller", "CPU of the caller per span", "µs", costs.caller),
        row_of("store.cpu", "CPU of all threads per stored span", "µs", costs.cpu),
        row_of("store.rate", "sustained, one process", "spans/s", costs.rate),
        Row(key="store.lost", label="lost", unit="spans", value=0, note="a loss ends the suite with an error"),
        Row(
            key="store.read_back", label="read back and compared, all rounds", unit="spans", value=taken.read_back,
            note="name, parent, status, user, input, output, model, usage, cost",
        ),
        Row(
            key="store.disk", label="on disk per span", unit="bytes", value=file.size / file.spans,
            note="846 B of it payload; its trace and session included, search index not",
        ),
        Row(
            key="store.disk_index", label="search index per span", unit="bytes",
            value=(file.size_with_index - file.size) / file.spans if indexed else None,
            note="" if indexed else "the backend has built none",
        ),
        Row(
            key="store.index_cpu", label="search index: CPU per span, deferred", unit="µs",
            value=file.index_cpu / file.spans * 1e6 if indexed else None,
            note="built when the pump is idle" if indexed else "the backend has built none",
        ),
        Row(
            key="store.peak", label="peak memory of the process", unit="MB", value=taken.peak / _MB,
            note=f"{taken.before / _MB:.0f} MB before the first span",
        ),
    ]  # fmt: skip


def _busy_rows(taken: Taken) -> list[Row]:
    live, backlog = taken.live, taken.backlog_beside
    alone_rates, live_rates, backlog_rates = ([one.rate for one in each] for each in (taken.backlog, live, backlog))
    live_host, backlog_host = [one.host for one in live], [one.host for one in backlog]
    # Only the rounds in which both were measured.
    idle = statistics.median(one.rate for one in taken.idle[: len(live)])
    alone = statistics.median(alone_rates)
    return [
        row_of(
            "store.live.rate", "live beside a busy host", "spans/s", live_rates,
            ratios={_IDLE: ratio(statistics.median(live_rates), idle)}, note="the producer waits for the GIL too",
        ),
        _host_row("store.live.host", "the host's speed meanwhile", live_host),
        row_of("store.backlog.idle", "backlog alone", "spans/s", alone_rates),
        row_of(
            "store.backlog.rate", "backlog beside a busy host", "spans/s", backlog_rates,
            ratios={_IDLE: ratio(statistics.median(backlog_rates), alone)},
        ),
        _host_row("store.backlog.host", "the host's speed meanwhile", backlog_host),
    ]  # fmt: skip


def _host_row(key: str, label: str, parts: list[float]) -> Row:
    percent = [100 * part for part in parts]
    return row_of(key, label, "%", percent, ratios={_ALONE: statistics.median(parts)})
