"""Conservation: emitted == delivered + pending + lost, to the unit, whatever the backend does and whoever emits."""

from __future__ import annotations

import gc
import itertools
import random
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import anyio
import pytest

from tests.fakes import FakeBackend, accounts_balance, failing_at, names, span_record, unavailable
from tests.torture.declaring import torture
from tracecore.config import Config
from tracecore.errors import BackendRejected
from tracecore.open_span import OpenSpan, open_root
from tracecore.recorder import Recorder
from tracecore.records import Record, Span

THREADS = 8
PER_THREAD = 1_500
TINY = {"buffer_items": 16, "batch_items": 5}
LARGE = {"buffer_items": 100_000, "batch_items": 512}

Write = Callable[[list[Record]], Awaitable[None]]


async def obeys(_: list[Record]) -> None:
    """Accept everything."""


async def slow(_: list[Record]) -> None:
    """Take a moment for each batch."""
    await anyio.sleep(0.001)


def flaky(seed: int) -> Write:
    """Return a hook that is away every third time."""
    drawn = random.Random(seed)  # noqa: S311 - a seed makes the test repeatable

    async def hook(_: list[Record]) -> None:
        if drawn.random() < 0.3:
            raise unavailable()

    return hook


async def choosy(batch: list[Record]) -> None:
    """Refuse batches with a record whose number ends in 7."""
    if any(name.endswith("7") for name in names(batch)):
        raise BackendRejected("sevens are not taken")


async def rude(batch: list[Record]) -> None:
    """Raise what no backend may raise, for batches with a record whose number ends in 3."""
    if any(name.endswith("3") for name in names(batch)):
        raise ZeroDivisionError


WRITES = [obeys, slow, flaky(1), choosy, rude, failing_at(2, lambda: OSError("once"))]
IDS = ["obeys", "slow", "flaky", "choosy", "rude", "fails once"]


def emit_from_threads(recorder: Recorder, threads: int = THREADS, per_thread: int = PER_THREAD) -> list[str]:
    """Emit spans from several threads at once and return their names."""
    together = threading.Barrier(threads)

    def work(number: int) -> None:
        together.wait()
        for index in range(per_thread):
            opened = open_root(recorder.route, f"{number}:{index}")
            with opened:
                opened.update(output=index)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [f"{number}:{index}" for number in range(threads) for index in range(per_thread)]


@pytest.mark.parametrize("bounds", [TINY, LARGE], ids=["tiny", "large"])
@pytest.mark.parametrize("write", WRITES, ids=IDS)
def test_from_eight_threads(write: Write, bounds: dict[str, int]) -> None:
    """Every span of eight threads is stored once or counted once, with any backend and any buffer."""
    backend = FakeBackend(on_write=write)
    recorder = Recorder(Config(shutdown_timeout_ms=20_000, **bounds), backend=backend).start()
    emitted = emit_from_threads(recorder)
    accounts = recorder.health()
    assert accounts.emitted == len(emitted)
    result = recorder.shutdown()
    assert result.pending == 0
    stored = names(backend.records)
    assert len(stored) == len(set(stored)) == recorder.health().delivered
    assert set(stored) <= set(emitted)
    assert len(emitted) == len(stored) + sum(result.lost.values())
    accounts_balance(recorder, emitted=len(emitted))


def test_lane_by_lane_order_survives() -> None:
    """Records of one thread are stored in the order in which they were emitted."""
    backend = FakeBackend(on_write=flaky(2))
    recorder = Recorder(Config(**LARGE), backend=backend).start()
    emit_from_threads(recorder, per_thread=400)
    recorder.shutdown(20)
    for number in range(THREADS):
        mine = [int(name.partition(":")[2]) for name in names(backend.records) if name.startswith(f"{number}:")]
        assert mine == list(range(400))


@torture("T20", "50,000 spans from 8 threads into a buffer of 2,048 items")
def test_fifty_thousand_spans_into_a_small_buffer() -> None:
    """Fifty thousand spans from eight threads into a buffer of 2,048 are accounted for to the unit."""
    backend = FakeBackend(on_write=slow)
    recorder = Recorder(Config(buffer_items=2_048, shutdown_timeout_ms=30_000), backend=backend).start()
    emitted = emit_from_threads(recorder, per_thread=6_250)
    result = recorder.shutdown()
    assert len(emitted) == 50_000 == len(set(names(backend.records))) + sum(result.lost.values())
    accounts_balance(recorder, emitted=50_000)


def test_every_nth_write_fails_once() -> None:
    """Whichever write fails, by any kind of error, nothing is stored twice and nothing is missing from the accounts."""
    errors: list[Callable[[], BaseException]] = [unavailable, lambda: BackendRejected("no"), lambda: OSError("broken")]
    for make_error in errors:
        for nth in range(1, 12):
            backend = FakeBackend(on_write=failing_at(nth, make_error))
            recorder = Recorder(Config(batch_items=3, flush_interval_ms=60_000), backend=backend).start()
            for number in range(20):
                recorder.emit(span_record(f"s{number}"))
            assert recorder.shutdown(20).pending == 0
            assert names(backend.records) == [f"s{number}" for number in range(20)], (make_error, nth)
            accounts_balance(recorder, emitted=20)


def test_ended_in_the_middle_of_everything() -> None:
    """A recorder that is shut down while eight threads emit counts every span that it did not store."""
    began = threading.Event()

    async def write(_: list[Record]) -> None:
        began.set()
        await anyio.sleep(0.001)

    backend = FakeBackend(on_write=write)
    recorder = Recorder(Config(**LARGE), backend=backend).start()
    ended = threading.Event()
    emitted: list[int] = []

    def work() -> None:
        count, last = 0, False
        while not last:
            last = ended.is_set()  # one more after the end
            open_root(recorder.route, "work").end()
            count += 1
        emitted.append(count)

    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    assert began.wait(30)
    recorder.shutdown(0.05)
    ended.set()
    for worker in workers:
        worker.join()
    accounts_balance(recorder, emitted=sum(emitted))
    assert recorder.health().lost["closing"] >= THREADS
    statuses = [record.status for record in backend.records if isinstance(record, Span)]
    assert statuses.count("ok") == recorder.health().delivered
    # What was open as the pump took its leave is nobody's loss yet, and is stored as such.
    assert statuses.count("abandoned") == len(backend.records) - statuses.count("ok") <= THREADS


def test_reading_the_accounts_beside_it() -> None:
    """Whoever reads the accounts while threads emit and end sees no negative number and no loss that is none."""
    recorder = Recorder(Config(**LARGE), backend=FakeBackend()).start()
    emitting = threading.Thread(target=emit_from_threads, args=(recorder,))
    emitting.start()
    while emitting.is_alive():
        health = recorder.health()
        assert min(health.emitted, health.delivered, health.pending, health.buffer_depth, health.open_spans) >= 0
        assert health.lost == {}
    assert recorder.shutdown(20).delivered
    accounts_balance(recorder, emitted=THREADS * PER_THREAD)


@contextmanager
def signals(handler: Callable[[], object]) -> Iterator[None]:
    """Interrupt the main thread every 100 us and run the handler, but not inside of itself."""
    inside = False

    def interrupt(_: int, __: FrameType | None) -> None:
        nonlocal inside
        if not inside:
            inside = True
            handler()
            inside = False

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def profiler(handler: Callable[[], object]) -> Iterator[None]:
    """Run the handler at every call and return of tracecore's own code."""
    inside = False

    def hook(frame: FrameType, _: str, __: Any) -> None:
        nonlocal inside
        if not inside and frame.f_globals.get("__name__", "").startswith("tracecore."):
            inside = True
            try:
                handler()
            finally:
                inside = False

    sys.setprofile(hook)
    try:
        yield
    finally:
        sys.setprofile(None)


@contextmanager
def finalizers(handler: Callable[[], object]) -> Iterator[None]:
    """Run the handler in ``__del__`` of cyclic garbage, whenever the collector runs: at almost every allocation."""

    class Mourned:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            if alive:
                Mourned()
                handler()

    alive = [True]
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    Mourned()
    try:
        yield
    finally:
        alive.clear()
        gc.set_threshold(*thresholds)
        gc.collect()


@pytest.mark.parametrize("bounds", [TINY, LARGE], ids=["tiny", "large"])
@pytest.mark.parametrize("interrupting", [signals, profiler, finalizers])
def test_emitting_in_the_middle_of_emitting(interrupting: Any, bounds: dict[str, int]) -> None:
    """Signal handlers, profilers and finalizers that emit while a span is opened or ended lose nothing uncounted."""
    recorder = Recorder(Config(shutdown_timeout_ms=20_000, **bounds), backend=(backend := FakeBackend())).start()
    spans: list[OpenSpan] = []
    numbers = itertools.count()

    def interrupt() -> None:
        opened = open_root(recorder.route, f"interruption {next(numbers)}")
        assert isinstance(opened, OpenSpan)
        spans.append(opened)
        opened.end()

    ordinary = 0
    with interrupting(interrupt):
        while ordinary < 400 or len(spans) <= 10:  # how often a timer comes depends on the machine
            with open_root(recorder.route, f"s{ordinary}"):
                ordinary += 1
    interruptions = len(spans)
    result = recorder.shutdown()
    accounts_balance(recorder, emitted=ordinary + interruptions)
    stored = names(backend.records)
    assert len(stored) == len(set(stored)) == ordinary + interruptions - sum(result.lost.values())
