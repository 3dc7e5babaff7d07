"""The buffer between the program and the pump: bounded, lock-free, exact.

"Lock-free" means: there is one **lane** per producer thread, every counter of a lane has exactly one writer (the
producer's or the pump's), and items pass through a ``collections.deque``, whose ``append`` and ``popleft`` are single
steps. An index ring (slots and two integers) is as fast but loses items when the same thread pushes again between its
two steps, as a signal handler or a ``__del__`` does; see ``benchmarks/rejected``.

Invariants, for each lane:

* A lane never holds more than ``max_items`` items or ``max_bytes`` bytes, but for what the pump has or had in hand.
* Every push either adds one to ``accepted`` or one to exactly one of ``full``, ``closed``.
* A full lane drops the newest item: dropping the oldest would need a second writer for ``taken``.
* Items of one thread leave in the order in which they came.
* An item stays with its lane until it is settled. A pump may end between any two steps: whoever comes after it rewinds
  the lane and is handed the same items again. So each change here is a single step: one assignment, or one call into C.

Whoever takes, settles, rewinds or adds up holds :attr:`Ring.consuming` meanwhile; producers never do.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat, starmap
from math import inf
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeVar

from tracecore.clock import monotonic_ns

if TYPE_CHECKING:
    from tracecore.backend import Level
    from tracecore.records import LedgerEntry

__all__ = ["Item", "Lane", "Presence", "Ring", "Settling", "Traced", "always"]

_PATIENCE: Final = 0.05
"""Seconds that a reader waits at most for whoever takes or settles."""
_LOOK_EVERY_NS: Final = 100_000_000
"""Between two looks for room, and after the pump, while it takes nothing: what is dropped costs what is kept does."""


class Item(Protocol):
    """What the ring holds: anything that knows its size in bytes and the trace it belongs to."""

    size: int

    @property
    def trace_id(self) -> str | None:
        """Return the trace that this is a part of, if any."""
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


def always() -> None:
    """Say that it may go on, by raising nothing."""


def _nobody() -> None:
    """Stand for a thread that is not of this process."""


class Ring(Generic[T]):
    """Hold all lanes, and the totals of those whose threads have ended.

    ``max_items`` and ``max_bytes`` bound each lane. ``on_half_full`` is called by a producer when it finds its lane
    more than half full; ``on_full`` when it has no room, and says whether room has come (a bounded wait lives there;
    without one, who finds no room looks for some only now and then, or once the pump has taken something);
    ``on_new_lane`` when a thread emits for the first time; ``on_grant`` now and then, by threads that emit much;
    ``on_loss`` with each item that was not accepted and the counter it went into.

    A buffer that keeps its items elsewhere is a subclass: it makes lanes of its own, and does in :meth:`housekeep`
    what is not for producers to do.
    """

    def __init__(
        self,
        max_items: int,
        max_bytes: int,
        *,
        on_half_full: Callable[[], object] = lambda: None,
        on_full: Callable[[Callable[[], bool]], bool] | None = None,
        on_new_lane: Callable[[], object] = lambda: None,
        on_grant: Callable[[], object] = lambda: None,
        on_loss: Callable[[T, str], object] = lambda item, counter: None,  # noqa: ARG005 - nobody asks
        now: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.closed = False
        self.masks = False
        """Whether what is handed out has been masked already."""
        self.adopt: Callable[[int], Any] = lambda died: None  # noqa: ARG005 - nothing is found here
        """Opens an account in which the records of a dead process are settled; so many have died with it."""
        self.fold: Callable[[Any], object] = lambda account: None  # noqa: ARG005 - as above
        """Closes such an account, once all of it is settled and told."""
        self.farewells: list[LedgerEntry] = []
        """What the ledger is still to be told of dead processes whose records have all been settled."""
        self.consuming = threading.RLock()
        """Held by whoever takes, settles, rewinds or adds up, for some steps and never across I/O."""
        self._on_half_full = on_half_full
        self._on_full = on_full
        self._on_new_lane = on_new_lane
        self._on_grant = on_grant
        self._on_loss = on_loss
        self._now = now
        self._local = threading.local()
        self._lanes: list[Lane[T]] = []
        self._retired: tuple[_Totals, Lane[T] | None] = (_Totals(), None)
        """The counts of lanes that are gone, and the last of those: it may still be on its way out."""

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
            return self._push_beyond_grant(lane, item, size)
        lane.left -= 1
        lane.bytes_left -= size
        try:
            lane.items.append(item)
        except BaseException:
            self._local.counted = item
            raise
        return True

    def has_counted(self, item: T) -> bool:
        """Return whether a push of the calling thread that has raised had counted its item; to be asked at once.

        Nothing is raised there but what a signal's handler raises: when a function begins, or a call into C has ended.
        """
        return vars(self._local).pop("counted", None) is item

    def count_sampled(self) -> None:
        """Count one span of the calling thread as left out by sampling."""
        try:
            self._local.lane.sampled += 1
        except AttributeError:
            self._new_lane().sampled += 1

    def add(self, lane: Lane[T]) -> None:
        """Have a lane consumed that no thread of this process writes to."""
        self._lanes.append(lane)

    def lanes(self) -> list[Lane[T]]:
        """Return the lanes of today's threads; the list is the caller's."""
        return list(self._lanes)

    def housekeep(
        self,
        now_ns: int,  # noqa: ARG002 - buffers that are files work by the clock
        go_on: Callable[[], object] = always,
    ) -> None:
        """Forget the lanes of dead threads, keeping their totals. Called by the pump, each second or when it wakes.

        ``go_on`` is called between steps, and raises where another pump does that meanwhile.
        """
        with self.consuming:
            go_on()
            for lane in self.lanes():
                if lane is not self._retired[1]:  # by a pump that ended in between
                    if not lane.finished:
                        continue
                    self._retired = (_Totals(self._retired[0], lane), lane)
                if lane.account is not None:
                    self.fold(lane.account)
                self._lanes.remove(lane)

    def rewind(self) -> list[tuple[Lane[T], int]]:
        """Put back what a pump has taken and not settled; return of which lane and how much. For the next pump."""
        with self.consuming:
            return [(lane, count) for lane in self.lanes() if (count := lane.rewind())]

    @property
    def level(self) -> Level:
        """Return what is known of everything that was accepted and has not been delivered yet."""
        return "accepted"

    @property
    def left(self) -> int:
        """Return how many accepted items of this process outlive it, unless they are settled: none, in memory."""
        return 0

    @property
    def trouble(self) -> str | None:
        """Return why what is emitted now is kept less safely than it should be; None where it is not."""
        return None

    @property
    def recovering(self) -> bool:
        """Return whether something that dead processes left is still to be delivered, or to be looked for."""
        return False

    @property
    def is_due(self) -> bool:
        """Return whether :meth:`housekeep` should be called before its time."""
        return False

    def keep(self, entry: Callable[[], LedgerEntry], shares: Sequence[tuple[Lane[T], int]] = ()) -> None:
        """Keep what became of everything so far, if what is waiting is kept, too.

        It is said as if these first items of lanes that were handed out had been settled already.
        """

    def begin(self, process: str) -> None:
        """Make ready for what this process emits; ``process`` is the id that its ledger entries carry."""

    def end(self) -> None:
        """Let go of whatever holds the items besides memory. Called once, after the last pump has ended."""

    def totals(self) -> dict[str, int]:
        """Return accepted, full, closed, sampled, taken and settled, added up over every lane of this process.

        Where somebody holds :attr:`consuming` for long, they are of slightly different moments: whoever asks has a
        deadline.
        """
        held = self.consuming.acquire(timeout=_PATIENCE)
        try:
            retired, last = self._retired
            return _Totals(retired, *[lane for lane in self.lanes() if lane is not last]).counts
        finally:
            if held:
                self.consuming.release()

    def forget_everything(self) -> None:
        """Drop lanes and totals without counting: what is in them belongs to the parent of this forked process."""
        self.consuming = threading.RLock()
        self._local = threading.local()
        self._lanes = []
        self._retired = (_Totals(), None)

    def _make_lane(self, presence: Presence) -> Lane[T]:
        """Return a lane for the calling thread."""
        return Lane(presence)

    def _new_lane(self) -> Lane[T]:
        lane = self._make_lane(self._local.__dict__.setdefault("presence", Presence()))
        self._lanes.append(lane)
        self._on_new_lane()
        # Last, so that a thread which a signal keeps from coming here begins again. A finalizer that ran meanwhile may
        # have emitted, and so have made this thread's lane already.
        mine: Lane[T] = self._local.__dict__.setdefault("lane", lane)
        if mine is not lane:
            self._lanes.remove(lane)
        return mine

    def _push_beyond_grant(self, lane: Lane[T], item: T, size: int) -> bool:
        """Renew the grant, wait if asked to, and push; or count why not."""
        if self.closed:
            return self._refuse(lane, item, "closed")
        too_much, taken, until = lane.refusal
        if size >= too_much and taken == lane.bytes_taken and self._now() < until:
            return self._refuse(lane, item, "full")
        try:
            room = self._has_room(lane, size)
        except RecursionError:  # the program is at the end of its stack; beyond the bound by as many as come from there
            room = True
        except BaseException:  # of a signal's handler, above all while it waits: who made the item may be gone then
            self._refuse(lane, item, "full")
            self._local.counted = item
            raise
        if not room:
            return self._refuse(lane, item, "full")
        lane.left -= 1
        lane.bytes_left -= size
        try:
            lane.items.append(item)
        except BaseException:
            self._local.counted = item
            raise
        return True

    def _refuse(self, lane: Lane[T], item: T, counter: Literal["full", "closed"]) -> Literal[False]:
        """Count an item that is not taken, and say so."""
        try:
            if counter == "full":
                lane.full += 1
            else:
                lane.closed += 1
            self._on_loss(item, counter)
        except BaseException:  # only then: a span that stays here would keep its recorder for ever
            self._local.counted = item
            raise
        return False

    def _has_room(self, lane: Lane[T], size: int) -> bool:
        """Renew the grant, waiting if asked to; return whether there is room for so many bytes."""

        def has_room() -> bool:
            lane.grant(self.max_items, self.max_bytes)
            return lane.left > 0 and lane.bytes + size <= self.max_bytes

        taken = lane.bytes_taken  # first: what is taken meanwhile has the next one look again
        room = has_room()
        self._on_grant()
        if 2 * lane.depth >= self.max_items or 2 * lane.bytes >= self.max_bytes:
            self._on_half_full()
        if room:
            return True
        if self._on_full is not None:
            return size <= self.max_bytes and self._on_full(has_room)
        lane.refusal = (size if lane.left > 0 else 0, taken, self._now() + _LOOK_EVERY_NS)
        return False


class _Totals:
    """Add up the counters of lanes, and what was added up before."""

    __slots__ = ("counts",)

    NAMES = ("settled", "taken", "accepted", "full", "closed", "sampled")
    """What cannot exceed another count is read before it: a reader beside the pump never sees a negative difference."""

    def __init__(self, before: _Totals | None = None, *lanes: Lane[Any]) -> None:
        self.counts: dict[str, int] = dict.fromkeys(self.NAMES, 0) if before is None else dict(before.counts)
        for lane in lanes:
            if lane.counted:
                for name in self.NAMES:
                    self.counts[name] += getattr(lane, name)
