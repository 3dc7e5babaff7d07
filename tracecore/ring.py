"""The buffer between the program and the pump: bounded, lock-free, exact.

"Lock-free" means: there is one **lane** per producer thread, every counter of a lane has exactly one writer (the
producer's or the pump's), and items pass through a ``collections.deque``, whose ``append`` and ``popleft`` are single
steps. An index ring (slots and two integers) is as fast but loses items when the same thread pushes again between its
two steps, as a signal handler or a ``__del__`` does; see ``benchmarks/rejected``.

Whoever takes, settles, rewinds or adds up holds :attr:`Ring.consuming` meanwhile; producers never do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from tracecore.clock import monotonic_ns
from tracecore.lanes import Item, Lane, Presence
from tracecore.locks import Busy, Turn

if TYPE_CHECKING:
    from tracecore.backend import Level
    from tracecore.records import LedgerEntry

__all__ = ["Ring", "always"]

_PATIENCE: Final = 0.05
"""Seconds that a reader waits at most for whoever takes or settles."""
_LONG: Final = 1_152
"""Bytes from which it pays to make an item as small as it can be before it waits."""
_LOOK_EVERY_NS: Final = 100_000_000
"""Between two looks for room, and after the pump, while it takes nothing: what is dropped costs what is kept does."""


T = TypeVar("T", bound=Item)


def always() -> None:
    """Say that it may go on, by raising nothing."""


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
        if size > _LONG:
            item.tighten()
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
        """Make ready for what this process emits; ``process`` names it, and which of its buffers this is, in files."""

    def end(self) -> None:
        """Let go of whatever holds the items besides memory. Called once, after the last pump has ended."""

    def totals(self) -> dict[str, int]:
        """Return accepted, full, closed, sampled, taken and settled, added up over every lane of this process.

        Where somebody holds :attr:`consuming` for long, they are of slightly different moments: whoever asks has a
        deadline.
        """
        try:
            with Turn(self.consuming, _PATIENCE):
                return self._added_up()
        except Busy:
            return self._added_up()

    def _added_up(self) -> dict[str, int]:
        retired, last = self._retired
        return _Totals(retired, *[lane for lane in self.lanes() if lane is not last]).counts

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
        if size > _LONG:
            item.tighten()
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
