"""Rejected: one ring for all threads, without a lock. ``python -m benchmarks.rejected.shared_ring``

CPython switches threads only at certain points: at calls of Python functions and at the edges of loops. A ``push``
without a call inside is therefore exact under any number of threads, by accident. Add one call between reading and
writing the index (a size to compute, a hook to tell) and most items are gone, without an error and without a count. Code
that is right until somebody adds a line is not right. Each thread has a lane of its own instead: no index has two
writers.

Seen on CPython 3.11, 2 shared cores, 4 threads with 100,000 items each:

========================================  ===========
push                                      items kept
========================================  ===========
shared ring, nothing inside               NNN,NNN
shared ring, one call inside              NNN,NNN
a lane per thread                         400,000
========================================  ===========
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from benchmarks.suites.ring import Parcel
from tracecore.ring import Ring

__all__ = ["SharedRing", "SharedRingWithACall", "kept_by", "main"]

_PRODUCERS: Final = 4
_EACH: Final = 100_000
_CAPACITY: Final = 1 << 20


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
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return kept()


def main() -> None:
    """Print what each design keeps."""
    whole = _PRODUCERS * _EACH
    for label, ring in (("nothing inside", SharedRing(_CAPACITY)), ("one call inside", SharedRingWithACall(_CAPACITY))):
        kept = kept_by(ring.push, lambda ring=ring: sum(slot is not None for slot in ring.slots))
        print(f"shared ring, {label:<17} {kept:,} of {whole:,} items kept")
    lanes: Ring[Parcel] = Ring(_CAPACITY, 1 << 40)
    kept = kept_by(lanes.push, lambda: sum(lane.depth for lane in lanes.lanes()))
    print(f"{'a lane per thread':<30} {kept:,} of {whole:,} items kept")


if __name__ == "__main__":
    main()
