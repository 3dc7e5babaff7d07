"""``async with Recorder(...)``: the pump as a task of the program's loop, on asyncio and trio."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from tests.fakes import EVENT_LOOPS, FakeBackend, accounts_balance, hanging, names, span_record, unavailable
from tracecore.config import Config
from tracecore.context import INHERITED
from tracecore.errors import Closed
from tracecore.health import FlushResult
from tracecore.recorder import Recorder
from tracecore.tracing import span

pytestmark = pytest.mark.parametrize("event_loop", EVENT_LOOPS)
DELIVERED = FlushResult(delivered=True, pending=0, lost={})


def recorder_of(backend: FakeBackend, **settings: Any) -> Recorder:
    """Return a recorder whose pump moves only when it is called, and which gives up at its end after a second."""
    return Recorder(Config(**{"flush_interval_ms": 60_000, "shutdown_timeout_ms": 1_000, **settings}), backend=backend)


def run(event_loop: str, host: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in a new loop."""
    anyio.run(host, backend=event_loop)


def test_stores_what_is_opened_inside(event_loop: str) -> None:
    """Spans opened inside the block go to this recorder, and are stored when the block is left."""
    backend = FakeBackend()

    async def host() -> None:
        threads = threading.active_count()
        async with recorder_of(backend) as recorder:
            with span("root"):
                async with anyio.create_task_group() as group:
                    group.start_soon(child)
            assert threading.active_count() == threads
        assert INHERITED.get().recorder is None
        accounts_balance(recorder, emitted=2)

    async def child() -> None:
        with span("child"):
            await anyio.lowlevel.checkpoint()

    run(event_loop, host)
    assert names(backend.records) == ["child", "root"]
    assert backend.calls[-1] == "close"


def test_recorders_may_be_nested(event_loop: str) -> None:
    """Inside a second block spans go to the second recorder, after it to the first again."""
    outer, inner = FakeBackend(), FakeBackend()

    async def host() -> None:
        async with recorder_of(outer):
            async with recorder_of(inner):
                span("in").end()
            span("out").end()

    run(event_loop, host)
    assert (names(outer.records), names(inner.records)) == (["out"], ["in"])


def test_an_exception_passes_unchanged(event_loop: str) -> None:
    """An exception that leaves the block is the very one that was raised, and costs no span that was emitted before."""
    backend = FakeBackend()
    error = ValueError("the program's own")

    async def host() -> None:
        async with recorder_of(backend):
            with span("failing"):
                raise error

    with pytest.raises(ValueError, match="own") as caught:
        run(event_loop, host)
    assert caught.value is error
    assert names(backend.records) == ["failing"]


@pytest.mark.parametrize("emitted", [1, 2_000])
def test_a_cancelled_block_delivers(event_loop: str, emitted: int) -> None:
    """A block that is cancelled from outside still delivers what was emitted, and the cancellation goes on."""
    backend = FakeBackend()

    async def host() -> None:
        with anyio.CancelScope() as scope:
            async with recorder_of(backend):
                for number in range(emitted):
                    span(f"s{number}").end()
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught

    run(event_loop, host)
    assert names(backend.records) == [f"s{number}" for number in range(emitted)]


def test_the_end_has_a_deadline(event_loop: str) -> None:
    """Leaving the block takes no longer than the configured time, whatever the backend does; the rest is counted."""
    recorder = recorder_of(FakeBackend(on_write=hanging), shutdown_timeout_ms=20)

    async def host() -> None:
        with anyio.fail_after(10):
            async with recorder:
                recorder.emit(span_record())

    run(event_loop, host)
    assert recorder.health().lost == {"closing": 1}
    accounts_balance(recorder, emitted=1)


def test_a_closed_recorder_is_refused_without_a_trace(event_loop: str) -> None:
    """Entering a recorder that was shut down raises, and leaves the scopes around it working."""
    recorder = recorder_of(FakeBackend())
    recorder.shutdown()

    async def host() -> None:
        with anyio.fail_after(10):
            with pytest.raises(Closed):
                async with recorder:
                    pytest.fail("the block was entered")
            await anyio.lowlevel.checkpoint()
        assert INHERITED.get().recorder is None

    run(event_loop, host)


def test_a_started_recorder_is_ended_too(event_loop: str) -> None:
    """A recorder that has a thread already keeps it inside the block, and leaving the block waits for delivery."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend).start() as recorder:
            span("root").end()
        accounts_balance(recorder, emitted=1)
        assert recorder.health().delivered == 1

    run(event_loop, host)
    assert names(backend.records) == ["root"]


def test_a_disabled_recorder_runs_the_block(event_loop: str) -> None:
    """A disabled recorder records nothing and is left as it was entered."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend, enabled=False) as recorder:
            span("root").end()
        assert recorder.health().state == "disabled"

    run(event_loop, host)
    assert backend.calls == []


def test_flushing_lets_the_loop_go_on(event_loop: str) -> None:
    """An awaited flush delivers what was emitted while other tasks of the loop run."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend) as recorder:
            recorder.emit(span_record())
            assert await recorder.aflush() == DELIVERED
            assert names(backend.records) == ["work"]
            recorder.emit(span_record())
            with anyio.CancelScope() as scope:
                scope.cancel()
                await recorder.aflush(3_600)
            assert await recorder.aflush() == DELIVERED

    run(event_loop, host)


def test_flushing_has_a_deadline_and_tells_the_truth(event_loop: str) -> None:
    """An awaited flush returns when its time is up, and says what is pending."""

    async def away(_: object) -> None:
        raise unavailable()

    recorder = recorder_of(FakeBackend(on_write=away), shutdown_timeout_ms=20)

    async def host() -> None:
        async with recorder:
            recorder.emit(span_record())
            assert await recorder.aflush(0.02) == FlushResult(delivered=False, pending=1, lost={})

    run(event_loop, host)
    accounts_balance(recorder, emitted=1)
    assert recorder.health().pending == 0


def test_blocking_calls_in_the_pumps_own_loop_do_not_wait(event_loop: str) -> None:
    """A blocking flush or shutdown in the very loop that must deliver says at once that nothing was delivered yet."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend) as recorder:
            recorder.emit(span_record())
            await anyio.lowlevel.checkpoint()
            assert recorder.flush(3_600) == FlushResult(delivered=False, pending=1, lost={})
            assert recorder.shutdown(3_600) == FlushResult(delivered=False, pending=1, lost={})

    run(event_loop, host)
    assert names(backend.records) == ["work"]


def test_blocking_calls_from_other_threads_wait(event_loop: str) -> None:
    """A thread that flushes and shuts down a recorder of somebody's loop waits for what that loop delivers."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend) as recorder:
            said: list[FlushResult] = []
            for number, call in enumerate([recorder.flush, recorder.shutdown], 1):
                recorder.emit(span_record())
                thread = threading.Thread(target=lambda call=call: said.append(call()))
                thread.start()
                while thread.is_alive():
                    await anyio.lowlevel.checkpoint()
                assert said == [DELIVERED] * number
                assert len(backend.records) == number

    run(event_loop, host)


def test_an_awaited_shutdown_waits_for_delivery(event_loop: str) -> None:
    """Awaiting the end inside the block delivers first; leaving the block then adds nothing."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend) as recorder:
            recorder.emit(span_record())
            assert await recorder.ashutdown() == DELIVERED
            assert names(backend.records) == ["work"]
            assert backend.calls[-1] == "close"

    run(event_loop, host)
    assert backend.calls.count("close") == 1


def test_an_awaited_shutdown_needs_no_worker_thread(event_loop: str) -> None:
    """A program whose worker threads are all busy still ends its recorder in time."""
    recorder = recorder_of(FakeBackend()).start()

    async def host() -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        for _ in range(int(limiter.total_tokens)):
            limiter.acquire_on_behalf_of_nowait(object())
        with anyio.fail_after(10):
            recorder.emit(span_record())
            assert await recorder.ashutdown(5) == DELIVERED

    run(event_loop, host)


def test_the_end_of_a_wait_leaves_nothing_behind(event_loop: str) -> None:
    """Whoever waited for the pump, successfully, in vain or cancelled, is forgotten by it."""
    recorder = recorder_of(FakeBackend(on_write=hanging), shutdown_timeout_ms=20)

    async def host() -> None:
        async with recorder:
            recorder.emit(span_record())
            await recorder.aflush(0.01)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await recorder.aflush(3_600)
            recorder.flush(0.0)
        assert recorder._channels[0].station._listeners == []

    run(event_loop, host)


def test_is_entered_once(event_loop: str) -> None:
    """A second block of the same recorder is refused with a word about it, and the first goes on as it was."""
    backend = FakeBackend()

    async def host() -> None:
        async with recorder_of(backend) as recorder:
            with pytest.raises(RuntimeError, match="entered already"):
                await recorder.__aenter__()
            with span("inside"):
                pass
        accounts_balance(recorder, emitted=1)

    run(event_loop, host)
    assert names(backend.records) == ["inside"]
