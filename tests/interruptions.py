"""A signal's handler that raises at each place in turn where one may run: where a call begins, or one into C ends."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interruption(Exception):
    """What the handler raises, as that of a program's time limit does."""


def interrupted_at_every_place(call: Callable[[], object], check: Callable[[], object]) -> int:
    """Make a call again and again, interrupted one place later each time, until it ends; return how many there were.

    ``check`` is called after each.
    """
    before = signal.signal(signal.SIGUSR1, _raise)
    profiler = sys.getprofile()
    try:
        for place in itertools.count():
            ended = not _is_interrupted_at(place, call)
            check()
            if ended:
                return place
    finally:
        sys.setprofile(profiler)
        signal.signal(signal.SIGUSR1, before)
    raise AssertionError


def is_free(lock: Any) -> bool:
    """Return whether another thread than this can have a lock at once."""
    found: list[bool] = []

    def take() -> None:
        found.append(lock.acquire(timeout=0))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found[0]


def _raise(*_: object) -> None:
    raise Interruption


def _is_interrupted_at(place: int, call: Callable[[], object]) -> bool:
    left = place

    def profile(_frame: FrameType, event: str, _called: object) -> None:
        nonlocal left
        if event in ("call", "c_return"):
            left -= 1
            if left < 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGUSR1)

    try:
        sys.setprofile(profile)
        call()
    except Interruption:
        return True
    finally:
        sys.setprofile(None)
    return left < 0
