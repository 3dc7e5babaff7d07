"""A push that is interrupted by another push of the same thread, at any point, loses nothing and counts both."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from msgspec import Struct

from tracecore.lanes import Lane
from tracecore.ring import Ring


class Sized(Struct):
    """An item of one byte."""

    number: int
    size: int = 1
    trace_id: str | None = None


def push_with_a_hook(ring: Ring[Sized], install: Callable[[Any], None], pushes: int = 40) -> int:
    """Push while an interpreter hook pushes too, at every event inside the ring's own code; return how many pushed."""
    extra = 0
    inside = False

    def hook(frame: FrameType, _: str, __: object) -> Any:
        nonlocal extra, inside
        if not inside and frame.f_code.co_filename == Lane.take.__code__.co_filename:
            inside = True
            extra += 1
            ring.push(Sized(-extra))
            inside = False
        return hook

    install(hook)
    try:
        for number in range(pushes):
            ring.push(Sized(number))
            if number % 7 == 6:
                drain(ring, 3)
    finally:
        install(None)
    return pushes + extra


def drain(ring: Ring[Sized], most: int = 10**9) -> list[int]:
    """Take what waits and return the numbers of it."""
    taken: list[int] = []
    for lane in ring.lanes():
        part = lane.take(most, 10**9)
        lane.settle(len(part))
        taken += [item.number for item in part]
    return taken


def assert_conserved(ring: Ring[Sized], pushed: int) -> None:
    """Assert that every push was counted once and that the counts match what is really there."""
    totals = ring.totals()
    assert totals["accepted"] + totals["full"] == pushed
    (lane,) = ring.lanes()
    assert lane.depth == len(lane.items)
    assert lane.bytes == sum(item.size for item in lane.items)


HOOKS = [pytest.param(sys.setprofile, id="calls"), pytest.param(sys.settrace, id="lines")]
"""A profiler's hook runs at every call, also of C functions; a tracer's hook at every line."""


@pytest.mark.parametrize("max_items", [1, 5, 64, 10_000])
@pytest.mark.parametrize("install", HOOKS)
def test_emitting_from_an_interpreter_hook(install: Callable[[Any], None], max_items: int) -> None:
    """A profiler or debugger that emits in the middle of a push leaves the accounts exact."""
    ring: Ring[Sized] = Ring(max_items, 10**6)
    previous = sys.gettrace()
    try:
        pushed = push_with_a_hook(ring, install)
    finally:
        sys.settrace(previous)
    assert pushed > 40
    assert_conserved(ring, pushed)


@pytest.mark.parametrize("max_items", [1, 2, 5, 64])
def test_emitting_from_a_hook_keeps_the_bound(max_items: int) -> None:
    """A lane that is interrupted in the middle of a push does not grow beyond its bound."""
    ring: Ring[Sized] = Ring(max_items, 10**6)
    pushed = push_with_a_hook(ring, sys.setprofile, pushes=3 * max_items + 10)
    assert_conserved(ring, pushed)
    assert ring.lanes()[0].depth <= max_items


@pytest.mark.parametrize("max_items", [3, 100_000])
def test_emitting_from_a_signal_handler(max_items: int) -> None:
    """A signal handler that emits between any two steps of a push leaves the accounts exact."""
    ring: Ring[Sized] = Ring(max_items, 10**9)
    interrupted = 0

    def handler(_: int, __: FrameType | None) -> None:
        nonlocal interrupted
        interrupted += 1
        ring.push(Sized(-1))

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
    pushed = taken = 0
    try:
        while interrupted < 300:
            ring.push(Sized(pushed))
            pushed += 1
            if pushed % 50 == 0:
                taken += len(drain(ring))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert_conserved(ring, pushed + interrupted)
    taken += len(drain(ring))
    assert taken == ring.totals()["accepted"] == ring.totals()["settled"]


def test_emitting_from_a_finalizer() -> None:
    """An object whose ``__del__`` emits while the garbage collector runs inside a push leaves the accounts exact."""
    ring: Ring[Sized] = Ring(10**6, 10**9)
    died = 0

    class Mourned:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            nonlocal died
            died += 1
            ring.push(Sized(-1))

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(2_000):
            Mourned()
            ring.push(Sized(number))
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert died == 2_000
    assert_conserved(ring, 4_000)
    assert len(drain(ring)) == 4_000
