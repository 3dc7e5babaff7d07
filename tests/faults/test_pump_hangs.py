"""A pump that hangs is noticed by whoever emits or waits, and replaced; what only looks as if it hung is left alone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.fakes import FakeBackend, accounts_balance, names, span_record, unavailable
from tests.programs import run_program
from tracecore.channel import Reopened
from tracecore.config import Config
from tracecore.open_span import open_root
from tracecore.recorder import Recorder
from tracecore.records import Record

WITHIN = 20.0
"""Seconds within which something happens even on a busy machine; the promise is a second."""


class Blocking:
    """Something that keeps the thread that calls it, the first ``times`` times, until it is released."""

    def __init__(self, times: int = 1) -> None:
        self.entered = threading.Semaphore(0)
        self.release = threading.Event()
        self.calls = 0
        self._times = times

    def __call__(self) -> None:
        """Block."""
        self.calls += 1
        if self.calls <= self._times:
            self.entered.release()
            self.release.wait(60)


@pytest.fixture
def blocking() -> Iterator[Callable[..., Blocking]]:
    """Yield a maker of blocks, all of which are released in the end."""
    made: list[Blocking] = []

    def make(times: int = 1) -> Blocking:
        made.append(Blocking(times))
        return made[-1]

    yield make
    for block in made:
        block.release.set()


def recording(monkeypatch: pytest.MonkeyPatch, make: Callable[[], FakeBackend], **settings: Any) -> Recorder:
    """Return a started recorder that makes its backends itself."""
    monkeypatch.setattr(Reopened, "__call__", lambda _: make())
    return Recorder(Config(**{"pending_after_ms": 0, **settings})).start()


def emit(recorder: Recorder, name: str) -> None:
    """Record one trace of one span."""
    open_root(recorder.route, name).end()


def emit_until(recorder: Recorder, condition: Callable[[], bool]) -> int:
    """Record a trace now and then until something has happened; return how many."""
    deadline = time.monotonic() + WITHIN
    count = 0
    while not condition():
        assert time.monotonic() < deadline
        emit(recorder, f"meanwhile {count}")
        count += 1
        time.sleep(0.05)
    return count


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_mask_that_blocks(
    monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking], caplog: pytest.LogCaptureFixture
) -> None:
    """A mask that does not return costs nothing: the next pump delivers the record, with a backend of its own."""
    block = blocking()
    backends: list[FakeBackend] = []

    def mask(text: str) -> str:
        if text == "bad":
            block()
        return text

    recorder = recording(monkeypatch, lambda: backends.append(FakeBackend()) or backends[-1], mask=mask)
    for name in ("bad", "good"):
        emit(recorder, name)
    assert block.entered.acquire(timeout=WITHIN)
    count = emit_until(recorder, lambda: recorder.health().restarts == 1)
    assert recorder.flush(WITHIN).delivered
    assert sorted(names(backends[1].records)) == sorted(["bad", "good", *(f"meanwhile {n}" for n in range(count))])
    block.release.set()
    wait_for(lambda: backends[0].calls[-1] == "close")
    emit(recorder, "last")
    assert recorder.shutdown(WITHIN).delivered
    assert backends[0].batches == [], "the pump that was replaced has written nothing after all"
    accounts_balance(recorder, emitted=count + 3)
    assert recorder.health().restarts == 1
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "tracecore's pump hangs and was replaced; what it had in hand is delivered by the next one"
    ]


def test_whoever_finds_no_room_notices_too(monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking]) -> None:
    """With the buffer full, and no trace opened any more, what goes on being dropped has the pump replaced."""
    block = blocking()

    async def write(_: list[Record]) -> None:
        block()

    recorder = recording(monkeypatch, lambda: FakeBackend(on_write=write), buffer_items=3)
    emitted = 0
    deadline = time.monotonic() + WITHIN
    while recorder._channels[0].station.accounts.restarts == 0:
        assert time.monotonic() < deadline
        recorder.emit(span_record(str(emitted)))
        emitted += 1
        time.sleep(0.05)
    assert recorder.shutdown(WITHIN).pending == 0
    accounts_balance(recorder, emitted=emitted)
    assert recorder.health().lost["ring_full"] > 0
    assert recorder.health().delivered >= 4


def test_whoever_waits_notices_too(monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking]) -> None:
    """With nothing emitted any more, a flush has a pump that hangs replaced, and delivers."""
    block = blocking()

    async def write(_: list[Record]) -> None:
        block()

    recorder = recording(monkeypatch, lambda: FakeBackend(on_write=write))
    emit(recorder, "only")
    assert recorder.flush(WITHIN).delivered
    assert recorder.health().restarts == 1
    recorder.shutdown(WITHIN)


def test_the_end_notices_too(monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking]) -> None:
    """A shutdown has a pump that hangs replaced, and delivers within its time."""
    block = blocking()

    async def write(_: list[Record]) -> None:
        block()

    recorder = recording(monkeypatch, lambda: FakeBackend(on_write=write))
    emit(recorder, "only")
    assert recorder.shutdown(WITHIN).delivered
    accounts_balance(recorder, emitted=1)


def test_the_one_backend_of_a_program(blocking: Callable[..., Blocking]) -> None:
    """A backend that the program gave is closed and opened again by the new pump, and left alone by the old one."""
    block = blocking()

    async def write(batch: list[Record]) -> None:
        if "first" in names(batch):
            block()

    backend = FakeBackend(on_write=write)
    recorder = Recorder(Config(pending_after_ms=0), backend=backend).start()
    emit(recorder, "first")
    assert recorder.flush(WITHIN).delivered
    assert backend.calls.count("open") == 2
    closed = backend.calls.count("close")
    block.release.set()
    wait_for(lambda: not any(thread.alive for thread in recorder._channels[0].station._hanging))
    emit(recorder, "second")
    assert recorder.flush(WITHIN).delivered
    assert backend.calls.count("close") == closed, "not by the pump that was replaced"
    recorder.shutdown(WITHIN)
    accounts_balance(recorder, emitted=2)
    assert recorder.health().delivered == 2


def test_a_sink_that_always_blocks_breeds_no_threads(
    monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking]
) -> None:
    """No more than three pumps hang at once; once one has come back, another may try."""
    block = blocking(times=100)

    async def write(_: list[Record]) -> None:
        block()

    monkeypatch.setattr("tracecore.station._PATIENCE", 0.05)
    recorder = recording(monkeypatch, lambda: FakeBackend(on_write=write))
    emit_until(recorder, lambda: block.calls == 4)
    for _ in range(20):
        emit(recorder, "more")
        time.sleep(0.05)
    assert (block.calls, recorder.health().restarts) == (4, 3)
    block._times = 0
    block.release.set()
    assert recorder.shutdown(WITHIN).delivered


def test_patience_doubles_while_nothing_is_delivered(
    monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking]
) -> None:
    """Each pump in a row that delivers nothing may hang for twice as long as the one before."""
    block = blocking(times=3)

    async def write(_: list[Record]) -> None:
        block()

    recorder = recording(monkeypatch, lambda: FakeBackend(on_write=write))
    patience: list[float] = []
    station = recorder._channels[0].station
    for _ in range(3):
        patience.append(station.pump._patience_ns / 1e9)
        emit(recorder, "work")
        assert block.entered.acquire(timeout=WITHIN)
        station._replace(station.pump)
    assert patience == [1.0, 2.0, 4.0]
    block.release.set()
    assert recorder.flush(WITHIN).delivered
    recorder.shutdown(WITHIN)


def test_a_sink_that_heeds_no_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that goes on after its time whatever it is told costs its pump: the next one has another backend."""
    backends: list[FakeBackend] = []
    done = threading.Event()

    async def write(_: list[Record]) -> None:
        while not done.is_set():
            try:
                await anyio.sleep(0.01)
            except BaseException:  # noqa: BLE001, S112 - as drivers do that try again whatever it was
                continue

    def make() -> FakeBackend:
        backends.append(FakeBackend(on_write=write if not backends else None))
        return backends[-1]

    monkeypatch.setattr("tracecore.delivery._PATIENCE", 0.1)
    recorder = recording(monkeypatch, make, write_timeout_ms=50)
    emit(recorder, "only")
    assert recorder.flush(WITHIN).delivered
    assert [names(backend.records) for backend in backends] == [[], ["only"]]
    assert recorder.health().restarts == 1
    done.set()
    recorder.shutdown(WITHIN)


def test_without_a_thread_it_is_tried_again(monkeypatch: pytest.MonkeyPatch, blocking: Callable[..., Blocking]) -> None:
    """Where no thread can be had for a new pump, one is asked for again later; nothing of this reaches the program."""
    block = blocking()

    async def write(_: list[Record]) -> None:
        block()

    recorder = recording(monkeypatch, lambda: FakeBackend(on_write=write))
    emit(recorder, "first")
    assert block.entered.acquire(timeout=WITHIN)
    start, refused = threading.Thread.start, []

    def scarce(thread: threading.Thread) -> None:
        if len(refused) < 3 and thread.name.startswith("tracecore"):
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    emit_until(recorder, lambda: len(refused) == 3)
    assert recorder.flush(WITHIN).delivered
    assert recorder.shutdown(WITHIN).delivered


def test_waiting_is_not_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pump whose backend takes its time, or is away, or which has nothing to do for long, lives all the while."""
    monkeypatch.setattr("tracecore.station._PATIENCE", 0.05)
    slow = threading.Event()

    async def write(_: list[Record]) -> None:
        while not slow.is_set():  # noqa: ASYNC110 - set by a thread
            await anyio.sleep(0.01)
        if len(backend.attempts) < 4:
            raise unavailable()

    backend = FakeBackend(on_write=write)
    recorder = recording(monkeypatch, lambda: backend, flush_interval_ms=60_000)
    began = time.monotonic()
    emit_until(recorder, lambda: time.monotonic() - began > 1.0)
    slow.set()
    recorder.flush(WITHIN)
    emit_until(recorder, lambda: time.monotonic() - began > 2.0)
    assert recorder.health().restarts == 0
    assert recorder.shutdown(WITHIN).delivered


BUSY = """
import ctypes, signal, subprocess
configure(flush_interval_ms=10)
tracecore.span("before").end()
assert tracecore.flush().delivered
{busy}
for number in range(60):
    tracecore.span(f"s{{number}}").end()
    time.sleep(0.01)
assert tracecore.flush(20).delivered
assert tracecore.health().restarts == 0, tracecore.health()
"""


@pytest.mark.parametrize(
    "busy",
    [
        # Holds the interpreter for two seconds and more, twice in a row: nobody else has a turn.
        "for _ in range(2): ctypes.PyDLL(None).usleep(1_500_000); tracecore.span('between').end()",
        # Stopped as a whole, and continued by somebody else.
        "subprocess.Popen(['sh', '-c', f'sleep 2.5; kill -CONT {os.getpid()}']); os.kill(os.getpid(), signal.SIGSTOP)",
    ],
    ids=["a host that keeps the interpreter", "a stopped process"],
)
def test_a_process_that_stood_still(tmp_path: Path, busy: str) -> None:
    """A pump that could not run is not one that hangs."""
    ended = run_program(BUSY.format(busy=busy), tmp_path, python=("-W", "error", "-W", "ignore::ResourceWarning"))
    assert ended.code == 0, ended
    assert len(ended.names) >= 61
