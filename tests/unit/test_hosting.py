"""The pump's thread runs one coroutine function to its end, in a loop of its own, and never holds up the process."""

from __future__ import annotations

import asyncio
import threading

from tracecore.hosting import PumpThread


def test_runs_in_a_daemon_thread_with_a_loop() -> None:
    """The coroutine function runs to its end, outside the calling thread, in a running asyncio loop."""
    seen: list[threading.Thread] = []

    async def run() -> None:
        asyncio.get_running_loop()
        seen.append(threading.current_thread())

    assert PumpThread(run).join(10)
    assert seen[0] is not threading.current_thread()
    assert seen[0].daemon


def test_waiting_for_the_end_has_a_limit() -> None:
    """Joining a thread that goes on returns False when the time is up, at once when the time is negative."""
    release = threading.Event()

    async def run() -> None:
        await asyncio.to_thread(release.wait)

    thread = PumpThread(run)
    assert not thread.join(0.01)
    assert not thread.join(-1)
    assert thread.alive
    release.set()
    assert thread.join(10)
    assert not thread.alive


def test_joining_itself_is_refused() -> None:
    """The pump's own thread is told that it has not ended, instead of waiting for itself."""
    said: list[bool] = []
    ready = threading.Event()
    threads: list[PumpThread] = []

    async def run() -> None:
        await asyncio.to_thread(ready.wait)
        said.append(threads[0].join(10))

    threads.append(PumpThread(run))
    ready.set()
    assert threads[0].join(10)
    assert said == [False]


def test_the_end_is_told_in_the_thread_that_ends() -> None:
    """Whatever a pump's thread ends of, also what would end a program, is told there and goes no further."""
    told: list[tuple[BaseException | None, threading.Thread]] = []

    async def run() -> None:
        raise SystemExit(3)

    async def end() -> None:
        return

    for function in (run, end):
        assert PumpThread(function, on_end=lambda error: told.append((error, threading.current_thread()))).join(10)
    assert [type(error) for error, _ in told] == [SystemExit, type(None)]
    assert threading.current_thread() not in [thread for _, thread in told]
