"""Having a lock for a block, or not at all, also where a signal's handler raises; nobody keeps one for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeBackend, filled_ring
from tests.interruptions import interrupted_at_every_place, is_free
from tests.journals import begun, ended
from tracecore.config import Config
from tracecore.locks import Busy, Turn
from tracecore.loss import LostTraces
from tracecore.recorder import Recorder

LOCKS = pytest.mark.parametrize("make", [threading.Lock, threading.RLock])


@LOCKS
def test_a_block_has_the_lock_and_gives_it_back(make: Callable[[], Any]) -> None:
    """Others find the lock taken as long as the block lasts, and not after it, however it ends."""
    lock = make()
    with Turn(lock, 0):
        assert not is_free(lock)
    assert is_free(lock)
    with pytest.raises(ZeroDivisionError), Turn(lock, 0):
        raise ZeroDivisionError
    assert is_free(lock)


def test_a_lock_that_is_taken_is_not_waited_for_longer_than_said() -> None:
    """The block is not entered, and the lock stays with whoever has it."""
    lock = threading.Lock()
    with lock:
        for seconds in (0, 0.001):
            with pytest.raises(Busy), Turn(lock, seconds):
                raise AssertionError
        assert lock.locked()
    assert not lock.locked()


def test_who_has_it_already_may_enter_again() -> None:
    """A lock that its holder may take again is counted up and down."""
    lock = threading.RLock()
    with lock:
        with Turn(lock, 0):
            pass
        assert not is_free(lock)
    assert is_free(lock)


@LOCKS
def test_no_place_keeps_the_lock(make: Callable[[], Any]) -> None:
    """Wherever a signal's handler raises, the lock is free afterwards."""
    lock = make()

    def enter() -> None:
        with Turn(lock, 0):
            len("")

    assert interrupted_at_every_place(enter, lambda: assert_free(lock)) > 5


def assert_free(lock: Any) -> None:
    """Assert that nobody has a lock."""
    assert is_free(lock), "somebody has kept it"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Yield a recorder that nobody has started."""
    made = Recorder(Config(), backend=FakeBackend())
    yield made
    made.shutdown(0)


def test_adding_up_leaves_the_buffer_to_others() -> None:
    """A program that is interrupted while it asks after its counts does not keep the pump from taking."""
    ring = filled_ring("a", "b")
    assert interrupted_at_every_place(ring.totals, lambda: assert_free(ring.consuming)) > 5


@pytest.mark.parametrize("losses", [0, 3])
def test_asking_after_a_trace_leaves_the_lock_to_others(losses: int) -> None:
    """Interrupted while losses are counted, whoever asks next is answered."""
    traces = LostTraces()

    def ask() -> None:
        for _ in range(losses):
            traces.add("a", "closing")
        traces.of("a")

    assert interrupted_at_every_place(ask, lambda: assert_free(traces._lock)) > 5


def test_losing_much_leaves_the_lock_to_others() -> None:
    """Interrupted while it loses so much that it counts some of it, a program keeps nobody else from that."""
    traces = LostTraces(most=4)

    def lose() -> None:
        traces._noted.clear()
        for _ in range(4):
            traces.add("a", "closing")

    assert interrupted_at_every_place(lose, lambda: assert_free(traces._lock)) > 5


def test_looking_after_homes_leaves_that_to_others(tmp_path: Path) -> None:
    """Interrupted while it looks for what dead processes left, a pump leaves that to the next one."""
    journal = begun(tmp_path, "reader")
    adoption = journal._adoption
    found = interrupted_at_every_place(lambda: adoption.look_after(10**12), lambda: assert_free(adoption._busy))
    assert found > 5
    ended(journal)


def test_suspecting_a_pump_leaves_that_to_others(recorder: Recorder) -> None:
    """Interrupted while it looks after the pump, a program keeps nobody from replacing it."""
    station = recorder._channels[0].station

    def suspect() -> None:
        station.watch.overdue_ns = 0
        station.suspect(1)

    assert interrupted_at_every_place(suspect, lambda: assert_free(station._lock)) > 2


def test_succeeding_a_pump_leaves_the_buffer_to_the_next(recorder: Recorder) -> None:
    """Interrupted while one pump takes the place of another, the buffer is nobody's."""
    station, ring = recorder._channels[0].station, recorder._channels[0].ring

    def succeed() -> None:
        with suppress(RuntimeError):
            station._succeed(station.pump)

    assert interrupted_at_every_place(succeed, lambda: assert_free(ring.consuming)) > 5
