"""Lanes: what one thread has emitted and the pump has not settled. The ring consists of them, one per producer thread.

Invariants, for each lane:

* Every counter has exactly one writer: the producer, or the pump.
* It never holds more than ``max_items`` items or ``max_bytes`` bytes, but for what the pump has or had in hand.
* Every push either adds one to ``accepted`` or one to exactly one of ``full``, ``closed``.
* A full lane drops the newest item: dropping the oldest would need a second writer for ``taken``.
* Items leave in the order in which they came.
* An item stays with its lane until it is settled. A pump may end between any two steps: whoever comes after it rewinds
  the lane and is handed the same items again. So each change here is a single step: one assignment, or one call into C.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from itertools import repeat, starmap
from math import inf
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Item", "Lane", "Presence", "Settling", "Traced"]


class Item(Protocol):
    """What the ring holds: anything that knows its size in bytes and the trace it belongs to."""

    size: int

    @property
    def trace_id(self) -> str | None:
        """Return the trace that this is a part of, if any."""
        ...

    def tighten(self) -> None:
        """Hold no more memory than what is in it needs, before it waits for long."""
        ...


T = TypeVar("T", bound=Item)


class Traced(Protocol):
    """What is asked of a trace (:class:`tracecore.context.TraceState`)."""

    trace_id: str
    kept: dict[Any, int]
    started: int


class Settling(Protocol):
    """What knows how many of its items were settled, in the order in which they came."""

    @property
    def settled(self) -> int:
        """Return how many those are."""
        ...

    @property
    def kept(self) -> int:
        """Return how many are in files, where the next process would find them, and not settled."""
        ...


class Presence:
    """Live for as long as a thread does, among what is local to it: that dies with it, whoever made the thread."""

    __slots__ = ("__weakref__",)


class Lane(Generic[T]):
    """Hold what one thread has emitted. ``push`` belongs to that thread, ``take`` to ``rewind`` to the pump.

    The producer works off a grant of items and bytes, so that an ordinary push compares with what is left of it and
    looks at nothing that the pump writes.
    """

    __slots__ = (
        "_hand",
        "account",
        "bytes_granted",
        "bytes_left",
        "bytes_taken",
        "closed",
        "counted",
        "full",
        "granted",
        "items",
        "left",
        "refusal",
        "sampled",
        "thread",
    )

    def __init__(self, presence: Presence | None) -> None:
        self.items: deque[T] = deque()
        self.thread: Callable[[], Presence | None] = _nobody if presence is None else weakref.ref(presence)
        """Returns None once the thread is dead."""
        self.account: Any = None
        """Where its records are settled (:class:`tracecore.account.Account`); None for the recorder's own account."""
        self.counted = True
        """Whether it is part of the ring's totals; not so where another process has emitted what it holds."""
        # written by the producer
        self.granted = 0
        self.left = 0
        self.bytes_granted = 0
        self.bytes_left = 0
        self.full = 0
        self.closed = 0
        self.sampled = 0
        self.refusal: tuple[float, int, int] = (inf, 0, 0)
        """From how many bytes there was no room when it was last looked for, what the pump had taken by then, and until
        when (monotonic ns) nobody looks again if that is all it has taken."""
        # written by the pump
        self.bytes_taken: int = 0
        self._hand: tuple[int, int, list[T]] = (0, 0, [])
        """How many items were settled, their bytes, and what was taken since: replaced as a whole."""

    @property
    def accepted(self) -> int:
        """Return how many items were ever pushed."""
        return self.granted - self.left

    @property
    def settled(self) -> int:
        """Return how many items need not be thought of any more: they are delivered, or counted as lost."""
        return self._hand[0]

    @property
    def taken(self) -> int:
        """Return how many items the pump has settled or has in hand."""
        settled, _, hand = self._hand
        return settled + len(hand)

    @property
    def depth(self) -> int:
        """Return how many items are in the lane."""
        return self.accepted - self.taken

    @property
    def kept(self) -> int:
        """Return how many items are in files for the next process, unless they are settled: none, in memory."""
        return 0

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

    def fetch(self, max_items: int, max_bytes: int) -> None:
        """Read what :meth:`take` is about to hand out, where that needs files. Called without ``Ring.consuming``."""

    def take(self, max_items: int, max_bytes: int) -> list[T]:
        """Hand out up to ``max_items`` items, up to ``max_bytes`` in all, but at least one if there is one."""
        items, hand = self.items, self._hand[2]
        count = size = 0
        for index in range(min(max_items, len(items))):
            count += 1
            size += items[index].size  # by index: an iterator does not survive a push
            if size >= max_bytes:
                break
        hand.extend(starmap(items.popleft, repeat((), count)))
        self.bytes_taken += size
        return hand[len(hand) - count :]

    def settle(self, count: int) -> None:
        """Forget the first ``count`` of the items that were handed out: what becomes of them is known and counted."""
        settled, size, hand = self._hand
        done, rest = hand[:count], hand[count:]
        size = size + sum(item.size for item in done) if rest else self.bytes_taken
        self._hand = (settled + len(done), size, rest)

    def note(self) -> None:
        """Note in files, where there are any, what has been settled. Called without ``Ring.consuming``, afterwards."""

    def rewind(self) -> int:
        """Put back what was handed out and not settled, to be handed out again; return how many items that were."""
        _, size, hand = self._hand
        count = len(hand)
        self.items.extendleft(starmap(hand.pop, repeat((), count)))
        self.bytes_taken = size
        return count

    def marks(self, trace: Traced | None) -> list[tuple[Settling, int]]:
        """Return what must be settled, and up to where, for nothing of a trace to wait in here; None is all of it."""
        return [(self, self.accepted if trace is None else self.reach(trace.trace_id))]

    def reach(self, trace_id: str) -> int:
        """Return what ``settled`` must be for nothing of a trace to wait in here any more; 0 where nothing does."""
        settled, _, hand = self._hand
        waiting = [*hand, *self.items]
        for position in range(len(waiting), 0, -1):
            if waiting[position - 1].trace_id == trace_id:
                return settled + position
        return 0

    @property
    def finished(self) -> bool:
        """Return whether nothing can come from this lane any more: its thread is dead and all of it is settled."""
        return self.thread() is None and not self.items and not self._hand[2]


def _nobody() -> None:
    """Stand for a thread that is not of this process."""
