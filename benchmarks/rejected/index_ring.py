"""Rejected: a ring of slots and two integers as the lane of one thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import interleaved, row_of
from benchmarks.progress import Step
from benchmarks.suites.ring import ITEMS, Parcel, putting
from tracecore.ring import Ring

__all__ = ["REASON", "IndexRing", "lost_when_interrupted", "run"]

REASON: Final = (
    "A list of slots, a `head` that the pump moves and a `tail` that the producer moves: each index has one writer, and"
    " taking is one slice. It is the textbook design, and faster at taking. But `push` reads `tail`, writes the slot"
    " and writes `tail` again, and one thread can be inside `push` twice: a signal handler, a `__del__` that the"
    " garbage collector runs, a profiler's hook, all of which may end a span. What the inner push stores, the outer one"
    " overwrites, silently, and no counter knows. Where Python looks for signals and collects garbage changes from"
    " version to version, so that it works today proves nothing. A lane stands on `deque.append`, which is one step,"
    " and derives every count from it or from integers that an interruption cannot break. Losses are counted with a"
    " tracer's hook that pushes at every line of `push`."
)

_CAPACITY: Final = 65_536
_BATCH: Final = 512
_ROUNDS: Final = 20
_EVERY: Final = 100
_PUSHES: Final = 2_000


class IndexRing:
    """Hold items of one producer in a list of slots; bounded in items and bytes, as a lane is."""

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._slots: list[Parcel | None] = [None] * capacity
        self._capacity = capacity
        self._max_bytes = max_bytes
        self.head = 0
        self.tail = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.full = 0

    def push(self, item: Parcel) -> bool:
        """Store an item in the next slot, or count it as refused."""
        tail = self.tail
        size = self.bytes_in + item.size
        if tail - self.head >= self._capacity or size - self.bytes_out > self._max_bytes:
            self.full += 1
            return False
        self._slots[tail % self._capacity] = item
        self.bytes_in = size
        self.tail = tail + 1
        return True

    def take(self, most: int) -> list[Parcel]:
        """Remove and return up to ``most`` items."""
        first = self.head % self._capacity
        count = min(most, self.tail - self.head, self._capacity - first)
        taken = [item for item in self._slots[first : first + count] if item is not None]
        self._slots[first : first + count] = [None] * count
        self.bytes_out += sum(item.size for item in taken)
        self.head += count
        return taken


def lost_when_interrupted(
    push: Callable[[Parcel], bool], take: Callable[[], list[Parcel]], pushes: int = _PUSHES
) -> int:
    """Push while a tracer's hook pushes too, at every line; return how many accepted items never came out."""
    accepted: set[int] = set()
    numbers = iter(range(10**9))
    inside = False
    code = getattr(push, "__func__", push).__code__

    def push_next() -> None:
        number = next(numbers)
        if push(Parcel(0, number)):
            accepted.add(number)

    def hook(frame: FrameType, _: str, __: object) -> Any:
        nonlocal inside
        if frame.f_code is code and not inside:
            inside = True
            push_next()
            inside = False
        return hook

    found: set[int] = set()
    previous = sys.gettrace()
    try:
        for number in range(pushes):
            sys.settrace(hook)
            push_next()
            sys.settrace(previous)
            if number % _EVERY == 0:
                found.update(parcel.number for parcel in take())
    finally:
        sys.settrace(previous)
    found.update(parcel.number for parcel in take())
    return len(accepted - found)


def _take_ns(push: Callable[[Parcel], bool], take: Callable[[int], list[Parcel]]) -> float:
    parcel = Parcel()
    for _ in range(ITEMS):
        push(parcel)
    started = time.thread_time_ns()
    while take(_BATCH):
        pass
    return (time.thread_time_ns() - started) / ITEMS


def _from_lane(ring: Ring[Parcel], most: int) -> list[Parcel]:
    return [parcel for lane in ring.lanes() for parcel in lane.take(most, 1 << 40)]


_LABELS: Final = {
    "push": "push, index ring",
    "push_lane": "push, chosen: a lane",
    "take": f"take in batches of {_BATCH}, index ring",
    "take_lane": f"take in batches of {_BATCH}, chosen: a lane",
}


def _candidates() -> dict[str, Callable[[], float]]:
    rejected, ring = IndexRing(_CAPACITY, 1 << 40), Ring[Parcel](_CAPACITY, 1 << 40)
    from_lane = partial(_from_lane, ring)
    return {
        "push": putting(rejected.push, lambda: rejected.take(ITEMS) + rejected.take(ITEMS)),
        "push_lane": putting(ring.push, lambda: from_lane(ITEMS)),
        "take": lambda: _take_ns(rejected.push, rejected.take),
        "take_lane": lambda: _take_ns(ring.push, from_lane),
    }


def run(settings: Settings, step: Step) -> Table:
    """Measure the speed of both, and what each loses when it is interrupted."""
    taken = interleaved(_candidates(), rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    rows = [row_of(f"rejected.index_ring.{name}", _LABELS[name], "ns", figures) for name, figures in taken.items()]
    rejected, ring = IndexRing(_CAPACITY, 1 << 40), Ring[Parcel](_CAPACITY, 1 << 40)
    pushes = settings.size_of(_PUSHES)
    note = f"{pushes:,} pushes, interrupted at every line"
    losses = {
        "lost": ("accepted and lost, index ring", rejected.push, partial(rejected.take, _CAPACITY)),
        "lost_lane": ("accepted and lost, chosen: a lane", ring.push, partial(_from_lane, ring, _CAPACITY)),
    }
    for name, (label, push, take) in losses.items():
        lost = lost_when_interrupted(push, take, pushes)
        rows.append(Row(key=f"rejected.index_ring.{name}", label=label, unit="items", value=lost, note=note))
    return Table(suite="rejected/index_ring", title="One thread", method=REASON, rows=rows)
