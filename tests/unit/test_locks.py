"""Having a lock for a block, or not at all, also where a signal's handler raises."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tracecore.locks import Busy, Turn


class Interruption(Exception):
    """What the handler raises."""


def raises(*_: object) -> None:
    """Raise, as a handler of a program's time limit does."""
    raise Interruption


LOCKS = pytest.mark.parametrize("make", [threading.Lock, threading.RLock])


@LOCKS
def test_a_block_has_the_lock_and_gives_it_back(make: Callable[[], Any]) -> None:
    """Others find the lock taken as long as the block lasts, and not after it, however it ends."""
    lock = make()
    with Turn(lock, 0):
        assert not taken_elsewhere(lock)
    assert taken_elsewhere(lock)
    with pytest.raises(ZeroDivisionError), Turn(lock, 0):
        raise ZeroDivisionError
    assert taken_elsewhere(lock)


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
        assert not taken_elsewhere(lock)
    assert taken_elsewhere(lock)


@LOCKS
def test_no_moment_keeps_the_lock(make: Callable[[], Any]) -> None:
    """Whichever call or line the handler of a signal raises at, the lock is free afterwards."""
    lock = make()
    before = signal.signal(signal.SIGUSR1, raises)
    try:
        interrupted = [moment for moment in range(40) if is_interrupted_at(moment, lock)]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert interrupted == list(range(len(interrupted)))
    assert len(interrupted) > 5, "the moments were not found: this test proves nothing"


def is_interrupted_at(moment: int, lock: Any) -> bool:
    """Enter a block, with a signal at the n-th place where the interpreter looks for one; tell whether there was it."""
    left = moment

    def profile(_frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        if event in ("call", "c_return"):
            left -= 1
            if left < 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGUSR1)

    sys.setprofile(profile)
    try:
        with Turn(lock, 0):
            len("")
    except Interruption:
        return True
    else:
        return False
    finally:
        sys.setprofile(None)
        assert taken_elsewhere(lock), f"the lock was kept, interrupted at {moment}"


def taken_elsewhere(lock: Any) -> bool:
    """Return whether another thread can take the lock, and let it."""
    found: list[bool] = []

    def take() -> None:
        found.append(lock.acquire(timeout=0))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found[0]
