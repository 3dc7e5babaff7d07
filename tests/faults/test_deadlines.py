"""Deadlines are hard and results true, from every kind of caller, whatever the backend does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.fakes import EVENT_LOOPS, FakeBackend, accounts_balance, hanging, names, span_record, unavailable
from tests.programs import run_program
from tracecore.config import Config
from tracecore.health import FlushResult
from tracecore.recorder import Recorder
from tracecore.records import Record
from tracecore.tracing import span

DELIVERED = FlushResult(delivered=True, pending=0, lost={})
GRACE = 1.5
"""Seconds that a deadline may be missed by on a busy machine; 0.2 is promised."""


async def away(*_: object) -> None:
    """Be unavailable."""
    raise unavailable()


async def blocking(*_: object) -> None:
    """Keep the pump's own loop from running, as a driver without timeouts does; long, but not for ever."""
    release.wait(20)


release = threading.Event()
"""Lets :func:`blocking` go on, so that no thread outlives its test."""

STALLS: dict[str, dict[str, Callable[..., Awaitable[Any]]]] = {
    "hangs": {"on_write": hanging},
    "blocks": {"on_write": blocking},
    "is away": {"on_write": away},
    "opens never": {"on_open": hanging},
    "is locked": {"on_open": away},
    "never closes": {"on_write": away, "on_close": hanging},
}


@pytest.fixture(params=STALLS)
def stalling(request: pytest.FixtureRequest) -> Iterator[Callable[..., Recorder]]:
    """Yield a maker of started recorders whose backend does not do what it should."""

    def make(**settings: Any) -> Recorder:
        return Recorder(Config(**settings), backend=FakeBackend(**STALLS[request.param])).start()

    release.clear()
    yield make
    release.set()


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returned and how many seconds it took."""
    began = time.perf_counter()
    return call(), time.perf_counter() - began


def test_flush(stalling: Callable[..., Recorder]) -> None:
    """A flush returns in time and says that nothing was delivered and how much is pending."""
    recorder = stalling()
    for _ in range(10):
        recorder.emit(span_record())
    result, seconds = timed(lambda: recorder.flush(0.3))
    assert result == FlushResult(delivered=False, pending=10, lost={})
    assert 0.29 < seconds < 0.3 + GRACE
    result, seconds = timed(lambda: recorder.flush(0))
    assert result == FlushResult(delivered=False, pending=10, lost={})
    assert seconds < GRACE
    release.set()
    recorder.shutdown(0)


def test_shutdown(stalling: Callable[..., Recorder]) -> None:
    """A shutdown returns in time, does not call lost what may still arrive, and nothing delivered that is lost."""
    recorder = stalling()
    for _ in range(10):
        recorder.emit(span_record())
    result, seconds = timed(lambda: recorder.shutdown(0.3))
    assert not result.delivered
    assert result.pending + sum(result.lost.values()) == 10
    assert seconds < 0.3 + GRACE
    accounts_balance(recorder, emitted=10)
    again, seconds = timed(lambda: recorder.shutdown(0.1))
    assert not again.delivered
    assert seconds < 0.1 + GRACE
    release.set()
    recorder.shutdown(5)
    accounts_balance(recorder, emitted=10)
    assert recorder.health().pending == 0


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_awaited(stalling: Callable[..., Recorder], event_loop: str) -> None:
    """The awaited forms return in time with the same results, and the loop runs meanwhile."""
    recorder = stalling()
    recorder.emit(span_record())
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0.01)
            beats += 1

    async def host() -> tuple[FlushResult, FlushResult]:
        async with anyio.create_task_group() as group:
            group.start_soon(heart)
            flushed, ended = await recorder.aflush(0.3), await recorder.ashutdown(0.3)
            group.cancel_scope.cancel()
        return flushed, ended

    (flushed, ended), seconds = timed(lambda: anyio.run(host, backend=event_loop))
    assert flushed == FlushResult(delivered=False, pending=1, lost={})
    assert not ended.delivered
    assert seconds < 0.6 + 2 * GRACE
    assert beats > 5
    release.set()


def test_leaving_a_block(stalling: Callable[..., Recorder]) -> None:
    """Leaving a block whose recorder has a thread takes no longer than the configured time."""

    async def host() -> None:
        async with stalling(shutdown_timeout_ms=300) as recorder:
            recorder.emit(span_record())

    _, seconds = timed(lambda: asyncio.run(host()))
    assert seconds < 0.3 + GRACE
    release.set()


def test_flush_in_a_running_loop() -> None:
    """A blocking flush inside a running loop works when the pump has a thread of its own."""
    backend = FakeBackend()
    recorder = Recorder(Config(flush_interval_ms=60_000), backend=backend).start()

    async def host() -> None:
        recorder.emit(span_record())
        assert recorder.flush() == DELIVERED
        recorder.emit(span_record())
        assert recorder.shutdown() == DELIVERED

    asyncio.run(host())
    assert len(backend.records) == 2


def test_shutdown_interrupts_the_back_off() -> None:
    """A backend that comes back while the pump sleeps between attempts gets its records when the program ends."""
    attempts = threading.Event()
    back = threading.Event()

    async def on_write(_: list[Record]) -> None:
        attempts.set()
        if not back.is_set():
            raise unavailable()

    backend = FakeBackend(on_write=on_write)
    recorder = Recorder(Config(), backend=backend)
    recorder._channels[0].station.jitter = lambda _, __: 60.0
    recorder._channels[0].station.renew()
    recorder.start().emit(span_record())
    recorder.flush(0)
    assert attempts.wait(10)
    back.set()
    result, seconds = timed(lambda: recorder.shutdown(20))
    assert result == DELIVERED
    assert seconds < 10


def test_a_flush_makes_a_long_back_off_short() -> None:
    """Whoever waits has a backend that came back tried again within a second or so; a storm of them makes no storm."""
    back = threading.Event()

    async def on_write(_: list[Record]) -> None:
        if not back.is_set():
            raise unavailable()

    backend = FakeBackend(on_write=on_write)
    recorder = Recorder(Config(), backend=backend)
    recorder._channels[0].station.jitter = lambda _, __: 60.0
    recorder._channels[0].station.renew()
    recorder.start().emit(span_record())
    began = time.perf_counter()
    while time.perf_counter() - began < 1.5:
        recorder.flush(0.01)
    assert len(backend.attempts) <= 2 + (time.perf_counter() - began)
    back.set()
    result, seconds = timed(lambda: recorder.flush(20))
    assert result == DELIVERED
    assert seconds < 10
    recorder.shutdown()


def test_many_waiters() -> None:
    """Threads that flush at once, beside a shutdown, all return in time, and agree once everything is over."""
    recorder = Recorder(Config(), backend=FakeBackend(on_write=hanging)).start()
    recorder.emit(span_record())
    with ThreadPoolExecutor(16) as pool:
        flushes = [pool.submit(timed, lambda: recorder.flush(0.5)) for _ in range(15)]
        ending = pool.submit(timed, lambda: recorder.shutdown(0.5))
        for future in [*flushes, ending]:
            result, seconds = future.result()
            assert not result.delivered
            assert seconds < 0.5 + GRACE
    assert recorder.flush() == FlushResult(delivered=False, pending=0, lost={"closing": 1}, level=None)


def test_a_backend_without_time_costs_the_others_nothing() -> None:
    """Two recorders at once share nothing: one that hangs delays neither the records nor the end of the other."""
    good = FakeBackend()
    bad = Recorder(Config(), backend=FakeBackend(on_write=hanging)).start()
    recorder = Recorder(Config(), backend=good).start()
    for number in range(100):
        bad.emit(span_record(f"b{number}"))
        recorder.emit(span_record(f"g{number}"))
    assert recorder.flush() == DELIVERED
    assert recorder.shutdown() == DELIVERED
    assert names(good.records) == [f"g{number}" for number in range(100)]
    assert bad.shutdown(0.05) == FlushResult(delivered=False, pending=0, lost={"closing": 100}, level=None)


def run_in_loops(recorder: Recorder, runs: int, run: Callable[..., Any] = asyncio.run) -> None:
    """Emit from a number of loops, one after the other, flushing in every tenth."""

    async def work(number: int) -> None:
        opened = recorder.route
        assert opened is not None
        for index in range(5):
            recorder.emit(span_record(f"{number}:{index}"))
            await asyncio.sleep(0)
        if number % 10 == 0:
            assert (await recorder.aflush(20)).delivered

    for number in range(runs):
        run(work(number))


def test_a_hundred_loops_one_after_the_other() -> None:
    """A recorder with a thread outlives the loops that emit to it: a hundred of them lose nothing."""
    backend = FakeBackend()
    recorder = Recorder(Config(), backend=backend).start()
    run_in_loops(recorder, 100)
    assert recorder.shutdown() == DELIVERED
    assert names(backend.records) == [f"{number}:{index}" for number in range(100) for index in range(5)]


def test_a_hundred_recorders_one_after_the_other() -> None:
    """A recorder per loop, each in its block, stores everything and leaves no thread or task behind."""
    backends = [FakeBackend() for _ in range(100)]

    async def work(backend: FakeBackend) -> None:
        async with Recorder(Config(), backend=backend):
            with span("root"):
                await asyncio.gather(*(asyncio.to_thread(span("child").end) for _ in range(2)))

    for backend in backends:
        asyncio.run(work(backend))
    assert {tuple(sorted(names(backend.records))) for backend in backends} == {("child", "child", "root")}


def test_two_loops_in_two_threads() -> None:
    """Two loops in two threads emit to one recorder, and each awaits its own records."""
    backend = FakeBackend()
    recorder = Recorder(Config(), backend=backend).start()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: run_in_loops(recorder, 20), range(2)))
    assert recorder.shutdown() == DELIVERED
    assert len(backend.records) == 200
    accounts_balance(recorder, emitted=200)


def test_uvloop(tmp_path: Path) -> None:
    """Under uvloop the pump runs as a task and beside it, flushes and ends as under asyncio's own loop."""
    pytest.importorskip("uvloop")
    ended = run_program(
        """
        import uvloop

        async def work():
            async with Recorder(Config(flush_interval_ms=60_000), backend=JsonLines(OUT)) as own:
                tracecore.span("inside").end()
                assert (await own.aflush()).delivered
                tracecore.span("last").end()
            beside.emit(span_record("beside"))
            assert (await beside.ashutdown()).delivered

        beside = Recorder(Config(), backend=JsonLines(OUT)).start()
        uvloop.run(work())
        """,
        tmp_path,
    )
    assert ended.quiet, ended
    assert ended.names == ["beside", "inside", "last"]
