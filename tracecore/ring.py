"""The buffer between the program and the pump: bounded, lock-free, exact.

"Lock-free" means: there is one **lane** per producer thread, every counter of a lane has exactly one writer (the
producer's or the pump's), and items pass through a ``collections.deque``, whose ``append`` and ``popleft`` are single
steps. An index ring (slots and two integers) is as fast but loses items when the same thread pushes again between its
two steps, as a signal handler or a ``__del__`` does; see ``benchmarks/rejected``.

Invariants, for each lane:

* A lane never holds more than ``max_items`` items or ``max_bytes`` bytes.
* Every push either adds one to ``accepted`` or one to exactly one of ``full``, ``closed``.
* A full lane drops the newest item: dropping the oldest would need a second writer for ``taken``.
* Items of one thread leave in the order in which they came.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Item", "Lane", "Ring"]


class Item(Protocol):
    """What the ring holds: anything that knows its size in bytes."""

    size: int


T = TypeVar("T", bound=Item)


class Lane(Generic[T]):
    """Hold what one thread has emitted. ``push`` belongs to that thread, ``take`` and ``settled`` to the pump.

    The producer works off a grant of items and bytes, so that an ordinary push compares with what is left of it and
    looks at nothing that the pump writes.
    """

    __slots__ = (
        "bytes_granted",
        "bytes_left",
        "bytes_taken",
        "closed",
        "full",
        "granted",
        "items",
        "left",
        "sampled",
        "settled",
        "taken",
        "thread",
    )

    def __init__(self, thread: threading.Thread) -> None:
        self.items: deque[T] = deque()
        self.thread = weakref.ref(thread)
        # written by the producer
        self.granted = 0
        self.left = 0
        self.bytes_granted = 0
        self.bytes_left = 0
        self.full = 0
        self.closed = 0
        self.sampled = 0
        # written by the pump
        self.taken = 0
        self.bytes_taken = 0
        self.settled = 0

    @property
    def accepted(self) -> int:
        """Return how many items were ever pushed."""
        return self.granted - self.left

    @property
    def depth(self) -> int:
        """Return how many items are in the lane."""
        return self.accepted - self.taken

    @property
    def bytes(self) -> int:
        """Return how many bytes the items in the lane hold."""
        return self.bytes_granted - self.bytes_left - self.bytes_taken

    def grant(self, max_items: int, max_bytes: int) -> None:
        """Renew what the producer may push: a quarter of the bounds at a time, never more than there is room for."""
        items = min(max_items - self.depth, max(1, max_items // 4)) - self.left
        size = min(max_bytes - self.bytes, max(1, max_bytes // 4)) - self.bytes_left
        # Added, never set: a push that interrupts this one (a signal handler, a tracer's hook) is not overwritten.
        self.granted += items
        self.left += items
        self.bytes_granted += size
        self.bytes_left += size

    def take(self, max_items: int, max_bytes: int) -> list[T]:
        """Remove and return up to ``max_items`` items, up to ``max_bytes`` in all, but at least one if there is one."""
        popleft = self.items.popleft
        taken: list[T] = []
        size = 0
        for _ in range(min(max_items, len(self.items))):
            item = popleft()
            taken.append(item)
            size += item.size
            if size >= max_bytes:
                break
        self.taken += len(taken)
        self.bytes_taken += size
        return taken

    @property
    def finished(self) -> bool:
        """Return whether nothing can come from this lane any more: its thread is dead and it is empty."""
        thread = self.thread()
        return (thread is None or not thread.is_alive()) and not self.items


class Ring(Generic[T]):
    """Hold all lanes, and the totals of those whose threads have ended.

    ``max_items`` and ``max_bytes`` bound each lane. ``on_half_full`` is called by a producer when it finds its lane
    more than half full; ``on_full`` when it has no room, and says whether room has come (a bounded wait lives there);
    ``on_new_lane`` when a thread emits for the first time.
    """

    def __init__(
        self,
        max_items: int,
        max_bytes: int,
        *,
        on_half_full: Callable[[], object] = lambda: None,
        on_full: Callable[[Callable[[], bool]], bool] = lambda has_room: False,  # noqa: ARG005 - never waits
        on_new_lane: Callable[[], object] = lambda: None,
    ) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.closed = False
        self._on_half_full = on_half_full
        self._on_full = on_full
        self._on_new_lane = on_new_lane
        self._local = threading.local()
        self._lanes: list[Lane[T]] = []
        self._retired = _Totals()

    def push(self, item: T, size: int = 0) -> bool:
        """Take an item from the calling thread; return whether it was accepted.

        ``size`` is ``item.size``, from a caller who has just worked it out.
        """
        size = size or item.size
        try:
            lane: Lane[T] = self._local.lane
        except AttributeError:
            lane = self._new_lane()
        if lane.left <= 0 or lane.bytes_left < size or self.closed:
            return self._push_beyond_grant(lane, item)
        lane.left -= 1
        lane.bytes_left -= size
        lane.items.append(item)
        return True

    def count_sampled(self) -> None:
        """Count one span of the calling thread as left out by sampling."""
        try:
            self._local.lane.sampled += 1
        except AttributeError:
            self._new_lane().sampled += 1

    def lanes(self) -> list[Lane[T]]:
        """Return the lanes of today's threads; the list is the caller's."""
        return list(self._lanes)

    def retire_finished(self) -> None:
        """Forget the lanes of dead threads, keeping their totals. Belongs to the pump."""
        for lane in self.lanes():
            if lane.finished:
                self._retired.add(lane)
                self._lanes.remove(lane)

    def totals(self) -> dict[str, int]:
        """Return accepted, full, closed, sampled, taken and settled, added up over every lane there ever was."""
        totals = _Totals()
        totals.merge(self._retired)
        for lane in self.lanes():
            totals.add(lane)
        return totals.counts

    def forget_everything(self) -> None:
        """Drop lanes and totals without counting: what is in them belongs to the parent of this forked process."""
        self._local = threading.local()
        self._lanes = []
        self._retired = _Totals()

    def _new_lane(self) -> Lane[T]:
        lane: Lane[T] = Lane(threading.current_thread())
        # A finalizer that ran while the lane was made may have emitted, and so have made this thread's lane already.
        mine: Lane[T] = self._local.__dict__.setdefault("lane", lane)
        if mine is not lane:
            return mine
        self._lanes.append(lane)
        self._on_new_lane()
        return lane

    def _push_beyond_grant(self, lane: Lane[T], item: T) -> bool:
        """Renew the grant, wait if asked to, and push; or count why not."""
        if self.closed:
            lane.closed += 1
            return False

        def has_room() -> bool:
            lane.grant(self.max_items, self.max_bytes)
            return lane.left > 0 and lane.bytes + item.size <= self.max_bytes

        room = has_room()
        if 2 * lane.depth >= self.max_items or 2 * lane.bytes >= self.max_bytes:
            self._on_half_full()
        if not room and not (item.size <= self.max_bytes and self._on_full(has_room)):
            lane.full += 1
            return False
        lane.left -= 1
        lane.bytes_left -= item.size
        lane.items.append(item)
        return True


class _Totals:
    """Add up the counters of lanes."""

    __slots__ = ("counts",)

    NAMES = ("settled", "taken", "accepted", "full", "closed", "sampled")
    """What cannot exceed another count is read before it: a reader beside the pump never sees a negative difference."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(self.NAMES, 0)

    def add(self, lane: Lane[T]) -> None:
        for name in self.NAMES:
            self.counts[name] += getattr(lane, name)

    def merge(self, other: _Totals) -> None:
        for name, count in other.counts.items():
            self.counts[name] += count
