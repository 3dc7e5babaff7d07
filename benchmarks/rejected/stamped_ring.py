"""Rejected: a ring shared by all threads whose slots say which ticket they hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, TypeAlias

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import interleaved, row_of
from benchmarks.progress import Step
from benchmarks.rejected.shared_ring import kept_by
from benchmarks.suites.ring import Parcel, putting
from tracecore.ring import Ring

__all__ = ["REASON", "StampedRing", "clobbered_by_a_slow_writer", "run"]

REASON: Final = (
    "`next(itertools.count())` is one step, so that every push has a ticket of its own, whatever the number of threads;"
    " the slot is written as one pair of ticket and item. No push is lost among threads that keep pace, and the reader"
    " sees from the tickets what was overwritten. But between drawing a ticket and writing the slot a thread may sleep"
    " while the others go once around the ring: when it wakes it puts an old item over a newer one, and the newer one,"
    " accepted and not yet read, is gone. The order can be shown on purpose, one step at a time, and is: the figure"
    " below is a count, not a chance. To refuse that write needs compare-and-swap, which Python does not have. And the"
    " reader may not empty slots (it would be a second writer), so that a full ring of payloads stays in memory. A lane"
    " per thread has neither problem."
)
_CAPACITY: Final = 1 << 20
_SMALL: Final = 64
_ROUNDS: Final = 20
_EACH: Final = 100_000

Slot: TypeAlias = tuple[int, Parcel] | None


class StampedRing:
    """Hold the items of all threads; a slot holds the ticket and the item that were written last."""

    def __init__(self, capacity: int) -> None:
        self.slots: list[Slot] = [None] * capacity
        self._capacity = capacity
        self._tickets = itertools.count()
        self._next = 0
        self.missed = 0

    def draw(self) -> int:
        """Return a ticket that nobody else has."""
        return next(self._tickets)

    def put(self, ticket: int, item: Parcel) -> None:
        """Write the slot of a ticket."""
        self.slots[ticket % self._capacity] = (ticket, item)

    def push(self, item: Parcel) -> None:
        """Store an item."""
        ticket = next(self._tickets)
        self.slots[ticket % self._capacity] = (ticket, item)

    def kept(self) -> int:
        """Return how many items are there."""
        return sum(slot is not None for slot in self.slots)

    def read(self) -> list[Parcel]:
        """Return what is new, in the order of the tickets, and count the tickets that are not there any more."""
        found = sorted(slot for slot in self.slots if slot is not None and slot[0] >= self._next)
        if found:
            last = found[-1][0]
            self.missed += last + 1 - self._next - len(found)
            self._next = last + 1
        return [item for _, item in found]


def clobbered_by_a_slow_writer(capacity: int, laps: int) -> int:
    """Let one writer in each lap sleep between its ticket and its slot; return how many newer items it destroyed."""
    ring = StampedRing(capacity)
    destroyed = 0
    for lap in range(laps):
        slow = ring.draw()
        for number in range(capacity):
            ring.push(Parcel(1, lap * capacity + number))
        newer = ring.slots[slow % capacity]
        ring.put(slow, Parcel(0, lap))
        destroyed += newer is not None and newer not in ring.slots
    return destroyed


def run(settings: Settings, step: Step) -> Table:
    """Measure pushing, count what four threads keep, and let a slow writer do its harm."""
    stamped, ring = StampedRing(_CAPACITY), Ring[Parcel](1 << 16, 1 << 40)
    candidates: dict[str, Callable[[], float]] = {
        "push": putting(stamped.push, lambda: None),
        "push_lane": putting(ring.push, lambda: [lane.take(1 << 16, 1 << 40) for lane in ring.lanes()]),
    }
    taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    labels = {"push": "push, stamped ring", "push_lane": "push, chosen: a lane"}
    rows = [row_of(f"rejected.stamped_ring.{name}", labels[name], "ns", figures) for name, figures in taken.items()]
    return Table(suite="rejected/stamped_ring", title="Tickets", method=REASON, rows=rows + _counted(settings))


def _counted(settings: Settings) -> list[Row]:
    each, laps = settings.size_of(_EACH), settings.size_of(_SMALL)
    shared = StampedRing(_CAPACITY)
    kept = kept_by(shared.push, shared.kept, each)
    return [
        Row(
            key="rejected.stamped_ring.kept", label="kept of what 4 threads push at their own pace", unit="items",
            value=kept, note=f"of {4 * each:,}",
        ),
        Row(
            key="rejected.stamped_ring.clobbered", label="newer items destroyed by a writer that slept", unit="items",
            value=clobbered_by_a_slow_writer(_SMALL, laps), note=f"it slept {laps} times; a lane: impossible",
        ),
    ]  # fmt: skip
