"""Rejected: one ring for all threads, without a lock."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.progress import Step
from benchmarks.suites.ring import Parcel
from tracecore.ring import Ring

__all__ = ["REASON", "SharedRing", "SharedRingWithACall", "kept_by", "run"]

REASON: Final = (
    "CPython switches threads only at certain points: at calls of Python functions and at the edges of loops. A `push`"
    " into a shared list without a call inside is therefore exact under any number of threads, by accident. Add one"
    " call between reading and writing the index (a size to compute, a hook to tell) and items are gone, without an"
    " error and without a count. Code that is right until somebody adds a line is not right. Each thread has a lane of"
    " its own instead: no index has two writers."
)
_PRODUCERS: Final = 4
_EACH: Final = 100_000
_CAPACITY: Final = 1 << 20
_SWITCHES: Final = 1e-5
"""Seconds between switches: five hundred times as often as usual, so that little time shows what much time would."""


class SharedRing:
    """Hold the items of all threads in one list of slots."""

    def __init__(self, capacity: int) -> None:
        self.slots: list[Any] = [None] * capacity
        self.tail = 0

    def push(self, item: Parcel) -> None:
        """Store an item in the next slot."""
        tail = self.tail
        self.slots[tail] = item
        self.tail = tail + 1

    def kept(self) -> int:
        """Return how many items are there."""
        return sum(slot is not None for slot in self.slots)


class SharedRingWithACall(SharedRing):
    """The same, asking for the item's slot."""

    def push(self, item: Parcel) -> None:
        """Store an item in the next slot."""
        tail = self.tail
        self.slots[self.slot_of(tail)] = item
        self.tail = tail + 1

    def slot_of(self, number: int) -> int:
        """Return where an item belongs."""
        return number % len(self.slots)


def kept_by(push: Callable[[Parcel], object], kept: Callable[[], int], each: int = _EACH) -> int:
    """Push from several threads at once and return how many items are there afterwards."""
    begin = threading.Barrier(_PRODUCERS)

    def produce(producer: int) -> None:
        begin.wait()
        for number in range(each):
            push(Parcel(producer, number))

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(_PRODUCERS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCHES)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return kept()


def run(settings: Settings, step: Step) -> Table:
    """Count what each design keeps of what four threads push."""
    each = settings.size_of(_EACH)
    plain, calling = SharedRing(_CAPACITY), SharedRingWithACall(_CAPACITY)
    lanes: Ring[Parcel] = Ring(_CAPACITY, 1 << 40)
    designs: tuple[tuple[str, str, Callable[[Parcel], object], Callable[[], int]], ...] = (
        ("plain", "shared ring, nothing inside `push`", plain.push, plain.kept),
        ("call", "shared ring, one call inside `push`", calling.push, calling.kept),
        ("lanes", "chosen: a lane per thread", lanes.push, lambda: sum(lane.depth for lane in lanes.lanes())),
    )
    rows: list[Row] = []
    for number, (name, label, push, kept) in enumerate(designs):
        step(label, number / len(designs))
        value, note = kept_by(push, kept, each), f"of {_PRODUCERS * each:,}"
        rows.append(Row(key=f"rejected.shared_ring.{name}", label=label, unit="items kept", value=value, note=note))
    return Table(suite="rejected/shared_ring", title=f"{_PRODUCERS} threads", method=REASON, rows=rows)
