"""Keeping house: deferred work has its turn beside requests, and what keys were used is noted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes import ManualClock
from tracecore.errors import BackendUnavailable
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.server.housekeeping import Housekeeping
from tracecore.server.state import ServerState
from tracecore.testing.samples import span


class Deferring(MemoryBackend):
    """The reference backend with some slices of deferred work, each of 10 ms by the clock of the test."""

    def __init__(self, slices: int) -> None:
        super().__init__(MemoryData(), location="memory:", access="write")
        self.left = slices
        self.ticking = ManualClock()
        self.error: BackendUnavailable | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, batch: Any) -> None:
        """Write when the test says so."""
        await self.gate.wait()
        await super().write(batch)

    async def maintain(self) -> bool:
        """Do a slice."""
        if self.error is not None:
            raise self.error
        self.ticking.now += 10_000_000
        self.left -= 1
        return self.left > 0


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses pass at once, and note how long they were meant to be."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        if seconds:  # others give way to each other by none
            pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("tracecore.server.housekeeping.asyncio.sleep", at_once)
    return pauses


async def until(done: Any) -> None:
    """Let the loop run until something holds."""
    for _ in range(10_000):
        if done():
            return
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    pytest.fail("it never happened")


async def house(backend: Deferring) -> tuple[Housekeeping, ServerState]:
    """Return who keeps the house of an open backend."""
    await backend.open()
    state = ServerState(backend, clock=backend.ticking, wall=backend.ticking)
    return Housekeeping(state), state


async def test_deferred_work_is_done_slice_by_slice(paused: list[float]) -> None:
    """Between slices three times as long is left for others; when nothing is left it is looked for now and then."""
    backend = Deferring(4)
    keeper, _ = await house(backend)
    keeper.begin()
    await until(lambda: len(paused) >= 5)
    await keeper.end()
    assert paused[:3] == [0.03, 0.03, 0.03]
    assert paused[3] == 0.25


async def test_writes_go_first_but_not_for_ever(paused: list[float]) -> None:
    """While something is always being written a slice waits, and has its turn after some time all the same."""
    backend = Deferring(100)
    keeper, state = await house(backend)
    backend.ticking.now = 10_000_000_000
    keeper.begin()
    await until(lambda: backend.left < 100)
    done = backend.left
    backend.gate.clear()
    writing = asyncio.create_task(state.writer.write([span(1)]))
    await until(lambda: 0.005 in paused)
    assert backend.left >= done - 2
    backend.ticking.now += 10_000_000_000
    await asyncio.sleep(0)
    backend.gate.set()
    await writing
    left = backend.left
    await until(lambda: backend.left < left)
    await keeper.end()


async def test_a_backend_that_is_away_is_no_end(paused: list[float]) -> None:
    """A slice that fails is tried again, later."""
    backend = Deferring(3)
    keeper, _ = await house(backend)
    backend.error = BackendUnavailable("away")
    keeper.begin()
    await until(lambda: len(paused) >= 3)
    backend.error = None
    await until(lambda: backend.left <= 0)
    await keeper.end()
    assert paused[:3] == [0.25] * 3


async def test_the_use_of_keys_is_noted(paused: list[float]) -> None:
    """When a key was used is written down now and then, and at the end."""
    backend = Deferring(1)
    keeper, state = await house(backend)
    made = await state.keys.create("p", now_ns=1)
    keeper.begin()
    state.gate.used[made.key.public_key] = 5
    await keeper.end()
    assert [key.last_used_ns for key in await state.keys.of_project("p")] == [5]
    assert not state.gate.used
    assert paused is not None
