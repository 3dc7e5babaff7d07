"""The ring keeps order, bounds and the sum of its counts under every interleaving of pushes and takes."""

from __future__ import annotations

import _thread
import os
import threading
import time
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Struct

from tests.fakes import ManualClock
from tracecore.lanes import Lane, Presence
from tracecore.ring import Ring

LANES = 3


class Sized(Struct):
    """An item: who pushed it, as which, and how large it says it is."""

    lane: int
    number: int
    size: int
    trace_id: str | None = None


class RingMachine(RuleBasedStateMachine):
    """Compare the ring with lists, one per producer; producers are simulated by exchanging the thread-local slot."""

    max_size: ClassVar = 60

    @initialize(max_items=st.integers(1, 9), max_bytes=st.integers(1, 100))
    def make(self, max_items: int, max_bytes: int) -> None:
        """Begin with an empty ring of drawn bounds."""
        self.asked: list[tuple[int, bool]] = []
        self.ring: Ring[Sized] = Ring(
            max_items,
            max_bytes,
            on_half_full=lambda: self.asked.append(self.state()),
            on_loss=lambda item, counter: self.refused.append((item.number, counter)),
        )
        self.slots = [SimpleNamespace() for _ in range(LANES)]
        self.waiting: list[list[Sized]] = [[] for _ in range(LANES)]
        self.in_hand: list[list[Sized]] = [[] for _ in range(LANES)]
        self.pushed = self.accepted = self.full = self.closed = self.settled = 0
        self.refused: list[tuple[int, str]] = []
        self.rewound = False

    def state(self) -> tuple[int, bool]:
        """Return which producer pushes, and whether its lane is half full or more."""
        waiting = self.waiting[self.current]
        size = sum(item.size for item in waiting)
        return self.current, 2 * len(waiting) >= self.ring.max_items or 2 * size >= self.ring.max_bytes

    @rule(producer=st.integers(0, LANES - 1), sizes=st.lists(st.integers(0, max_size), min_size=1, max_size=12))
    def push(self, producer: int, sizes: list[int]) -> None:
        """Push a few items; each is accepted exactly when the lane has room, or had before some was put back."""
        self.current = producer
        self.ring._local = self.slots[producer]  # type: ignore[assignment]  # stands in for another thread
        for size in sizes:
            item = Sized(producer, self.pushed, size)
            self.pushed += 1
            waiting = self.waiting[producer]
            room = (
                len(waiting) < self.ring.max_items
                and sum(i.size for i in waiting) + size <= self.ring.max_bytes
                and not self.ring.closed
            )
            lane = getattr(self.slots[producer], "lane", None)
            granted = lane is not None and lane.left > 0 and lane.bytes_left >= size and not self.ring.closed
            room = room or (granted and self.rewound)
            assert room or not granted
            assert self.ring.push(item) is room
            if not room:
                assert self.refused[-1] == (item.number, "closed" if self.ring.closed else "full")
            self.accepted += room
            self.full += not room and not self.ring.closed
            self.closed += self.ring.closed
            if room:
                waiting.append(item)

    @rule(producer=st.integers(0, LANES - 1), items=st.integers(1, 12), size=st.integers(1, 120))
    def take(self, producer: int, items: int, size: int) -> None:
        """Take a batch: the oldest items, in order, as many as fit, and at least one if there is one."""
        lane = getattr(self.slots[producer], "lane", None)
        if lane is None:
            return
        waiting = self.waiting[producer]
        taken = lane.take(items, size)
        assert taken == waiting[: len(taken)]
        assert len(taken) <= items
        assert bool(taken) == bool(waiting)
        assert sum(item.size for item in taken[:-1]) < size
        assert len(taken) == min(items, len(waiting)) or sum(item.size for item in taken) >= size
        self.in_hand[producer] += taken
        del waiting[: len(taken)]

    @rule(producer=st.integers(0, LANES - 1), count=st.integers(0, 12))
    def settle(self, producer: int, count: int) -> None:
        """Settle the first of what was taken."""
        lane = getattr(self.slots[producer], "lane", None)
        if lane is not None:
            count = min(count, len(self.in_hand[producer]))
            lane.settle(count)
            self.settled += count
            del self.in_hand[producer][:count]

    @rule()
    def rewind(self) -> None:
        """Put back everything that was taken and not settled: it will be handed out again, before the rest."""
        self.rewound = True
        put_back = {id(lane): count for lane, count in self.ring.rewind()}
        for slot, waiting, in_hand in zip(self.slots, self.waiting, self.in_hand, strict=True):
            assert put_back.get(id(getattr(slot, "lane", None)), 0) == len(in_hand)
            waiting[:0] = in_hand
            in_hand.clear()

    @rule()
    def close(self) -> None:
        """Close the ring: nothing more is accepted."""
        self.ring.closed = True

    @invariant()
    def bounded_and_conserved(self) -> None:
        """No lane exceeds its bounds and the totals are those of the lists."""
        if not hasattr(self, "ring"):
            return
        for slot, waiting in zip(self.slots, self.waiting, strict=True):
            lane = getattr(slot, "lane", None)
            if lane is not None:
                assert lane.depth == len(waiting)
                assert lane.bytes == sum(item.size for item in waiting)
        totals = self.ring.totals()
        kept = (totals["accepted"], totals["full"], totals["closed"])
        assert kept == (self.accepted, self.full, self.closed)
        assert sum(kept) == self.pushed
        assert totals["taken"] == self.accepted - sum(map(len, self.waiting))
        assert totals["settled"] == self.settled == totals["taken"] - sum(map(len, self.in_hand))
        assert len(self.refused) == self.full + self.closed
        assert all(half_full for _, half_full in self.asked)


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=200, stateful_step_count=30)


def test_full_lane_tells_before_and_refuses_the_newest() -> None:
    """The pump is called before a lane is full, and what does not fit is the newest item."""
    calls: list[int] = []
    ring: Ring[Sized] = Ring(8, 1_000, on_half_full=lambda: calls.append(len(ring.lanes()[0].items)))
    assert [ring.push(Sized(0, n, 1)) for n in range(10)] == [True] * 8 + [False] * 2
    assert min(calls) < 8
    assert [item.number for item in ring.lanes()[0].take(99, 99)] == list(range(8))
    assert ring.push(Sized(0, 10, 1))


def test_a_full_lane_looks_for_room_now_and_then() -> None:
    """Who finds no room looks after the pump and wakes it, and again a tenth of a second later, not with every item.

    Once the pump has taken something there is room at once; and every item is counted.
    """
    clock, calls = ManualClock(), list[str]()
    ring: Ring[Sized] = Ring(
        4, 100, on_grant=lambda: calls.append("look"), on_half_full=lambda: calls.append("wake"), now=clock
    )
    assert all(ring.push(Sized(0, number, 1)) for number in range(4))
    for rounds in range(1, 4):
        calls.clear()
        assert not any(ring.push(Sized(0, 4, 1)) for _ in range(1_000))
        assert calls == ["look", "wake"]
        assert ring.totals()["full"] == 1_000 * rounds
        clock.advance(0.1)
    assert not ring.push(Sized(0, 4, 1))
    ring.lanes()[0].take(1, 1)
    assert ring.push(Sized(0, 4, 1))
    assert not ring.push(Sized(0, 5, 1))
    assert ring.totals()["accepted"] == 5
    assert ring.totals()["full"] == 3_002


def test_what_is_smaller_than_what_had_no_room_may_have_some() -> None:
    """An item that does not fit keeps no smaller one away, until one of that size does not fit either."""
    ring: Ring[Sized] = Ring(9, 100, now=ManualClock())
    sizes = [60, 50, 41, 30, 11, 10, 1, 100]
    assert [ring.push(Sized(0, 0, size)) for size in sizes] == [True, False, False, True, False, True, False, False]
    ring.rewind()
    assert [item.size for item in ring.lanes()[0].take(1, 1)] == [60]
    assert [ring.push(Sized(0, 0, size)) for size in (61, 60, 1)] == [False, True, False]
    assert ring.totals()["full"] == 7


def test_who_may_wait_does_so_for_each_item() -> None:
    """A wait that was in vain is no reason not to wait for the next item."""
    waits: list[bool] = []
    ring: Ring[Sized] = Ring(1, 100, on_full=lambda has_room: bool(waits.append(has_room())), now=ManualClock())
    for number in range(5):
        ring.push(Sized(0, number, 1))
    assert waits == [False] * 4


def test_item_larger_than_the_buffer_is_counted_at_once() -> None:
    """An item that can never fit is dropped without waiting for room, and leaves room for the next."""
    asked: list[object] = []

    def wait(has_room: object) -> bool:
        asked.append(has_room)
        return False

    ring: Ring[Sized] = Ring(4, 100, on_full=wait)
    assert not ring.push(Sized(0, 0, 101))
    assert asked == []
    assert ring.push(Sized(0, 1, 100))
    assert not ring.push(Sized(0, 2, 1))
    assert len(asked) == 1
    assert ring.totals()["full"] == 2


def test_waiting_for_room() -> None:
    """A producer that may wait is told when there is room, and pushes then."""
    ring: Ring[Sized] = Ring(2, 100, on_full=lambda has_room: not has_room() and bool(make_room()) and has_room())
    make_room = lambda: ring.lanes()[0].take(1, 100)  # noqa: E731 - refers to the ring above
    for number in range(10):
        assert ring.push(Sized(0, number, 1))
    assert ring.totals()["full"] == 0
    assert ring.lanes()[0].depth == 2


def test_lane_outlives_its_thread_until_it_is_empty() -> None:
    """What a dead thread left is still taken; then its lane is forgotten and its counts are kept."""
    ring: Ring[Sized] = Ring(3, 100)
    thread = threading.Thread(target=lambda: [ring.push(Sized(0, n, 1)) for n in range(5)] and ring.count_sampled())
    thread.start()
    thread.join()
    del thread
    ring.housekeep(0)
    (lane,) = ring.lanes()
    taken = lane.take(99, 99)
    ring.housekeep(0)
    assert ring.lanes() == [lane], "what was taken may be put back"
    lane.settle(len(taken))
    before = ring.totals()
    ring.housekeep(0)
    assert ring.lanes() == []
    assert ring.totals() == before
    assert before == {"accepted": 3, "full": 2, "closed": 0, "sampled": 1, "taken": 3, "settled": 3}


def test_lane_of_a_thread_that_threading_has_not_started() -> None:
    """A lane ends with its thread also where that came from C, for which threading keeps a stand-in that never ends."""
    ring: Ring[Sized] = Ring(3, 100)
    _thread.start_new_thread(lambda: ring.push(Sized(0, 0, 1)), ())
    deadline = time.monotonic() + 60
    while not ring.lanes() or ring.lanes()[0].thread() is not None:
        os.sched_yield()
        assert time.monotonic() < deadline, "the thread has ended long ago"
    (lane,) = ring.lanes()
    lane.settle(len(lane.take(9, 9)))
    ring.housekeep(0)
    assert ring.lanes() == []
    assert ring.totals()["settled"] == 1


def test_an_interrupted_first_push_leaves_the_thread_alive() -> None:
    """A thread that a signal kept from having its lane at first has one that is not taken for a dead thread's."""
    calls: list[int] = []

    def interrupted_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt

    ring: Ring[Sized] = Ring(3, 100, on_new_lane=interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        ring.push(Sized(0, 0, 1))
    assert ring.push(Sized(0, 1, 1))
    assert all(lane.thread() is not None for lane in ring.lanes())


def test_living_thread_keeps_its_lane() -> None:
    """An empty lane of a living thread is not forgotten, and its owner goes on using it."""
    ring: Ring[Sized] = Ring(3, 100)
    ring.push(Sized(0, 0, 1))
    ring.lanes()[0].take(9, 9)
    ring.housekeep(0)
    ring.push(Sized(0, 1, 1))
    assert len(ring.lanes()) == 1
    assert ring.totals()["accepted"] == 2


def test_new_lane_is_announced_once_per_thread() -> None:
    """The first push or sampled span of a thread announces its lane; later ones do not."""
    lanes: list[int] = []
    ring: Ring[Sized] = Ring(9, 99, on_new_lane=lambda: lanes.append(threading.get_ident()))
    ring.count_sampled()
    ring.push(Sized(0, 0, 1))
    thread = threading.Thread(target=lambda: [ring.push(Sized(0, n, 1)) for n in range(3)])
    thread.start()
    thread.join()
    assert len(lanes) == len(set(lanes)) == 2


def test_forked_child_begins_empty() -> None:
    """After forgetting everything there is no lane and no count, and pushing begins a new lane."""
    ring: Ring[Sized] = Ring(9, 99)
    ring.push(Sized(0, 0, 1))
    ring.forget_everything()
    assert ring.lanes() == []
    assert set(ring.totals().values()) == {0}
    ring.push(Sized(0, 1, 1))
    assert ring.totals()["accepted"] == 1


def test_what_was_taken_comes_again_in_order() -> None:
    """A pump that comes after another is handed what that one had in hand, before what came later."""
    ring: Ring[Sized] = Ring(9, 99)
    for number in range(6):
        ring.push(Sized(0, number, 2))
    (lane,) = ring.lanes()
    lane.take(5, 99)
    lane.settle(2)
    assert (lane.settled, lane.taken, lane.depth, lane.bytes) == (2, 5, 1, 2)
    assert ring.rewind() == [(lane, 3)]
    assert (lane.settled, lane.taken, lane.depth, lane.bytes) == (2, 2, 4, 8)
    assert [item.number for item in lane.take(9, 99)] == [2, 3, 4, 5]
    lane.settle(4)
    assert (lane.settled, lane.bytes, ring.rewind()) == (6, 0, [])


def test_no_more_is_pushed_after_a_rewind_than_there_is_room_for() -> None:
    """A lane that is fuller than its bounds, by what was put back, takes nothing until there is room again."""
    ring: Ring[Sized] = Ring(4, 99)
    for number in range(4):
        ring.push(Sized(0, number, 1))
    (lane,) = ring.lanes()
    lane.take(4, 99)
    for number in range(4):
        assert ring.push(Sized(0, number, 1))
    ring.rewind()
    assert lane.depth == 8
    assert not ring.push(Sized(0, 8, 1))
    lane.settle(len(lane.take(5, 99)))
    assert ring.push(Sized(0, 9, 1))
    assert not ring.push(Sized(0, 10, 1))


def test_where_a_trace_ends() -> None:
    """A lane says up to where it must be settled for a trace to be: also what is in hand counts, and no other trace."""
    ring: Ring[Sized] = Ring(9, 99)
    for number, trace in enumerate("aabcb"):
        ring.push(Sized(0, number, 1, trace))
    (lane,) = ring.lanes()
    assert [lane.reach(trace) for trace in "abcd"] == [2, 5, 4, 0]
    lane.take(3, 99)
    lane.settle(1)
    assert [lane.reach(trace) for trace in "abcd"] == [2, 5, 4, 0]
    lane.settle(2)
    assert [lane.reach(trace) for trace in "abcd"] == [0, 5, 4, 0]


def test_what_others_have_emitted_is_not_in_the_totals() -> None:
    """A lane of another process passes through the pump without being counted as emitted here."""
    ring: Ring[Sized] = Ring(9, 99)
    ring.push(Sized(0, 0, 1))
    ring.lanes()[0].counted = False
    assert set(ring.totals().values()) == {0}
    ring.lanes()[0].thread = lambda: None
    ring.lanes()[0].settle(len(ring.lanes()[0].take(9, 99)))
    ring.housekeep(0)
    assert (ring.lanes(), set(ring.totals().values())) == ([], {0})


def test_a_buffer_of_another_kind_makes_its_own_lanes() -> None:
    """A subclass of the ring gives every thread a lane of its own making."""

    class Special(Lane[Sized]):
        pass

    class Buffer(Ring[Sized]):
        def _make_lane(self, presence: Presence) -> Lane[Sized]:
            return Special(presence)

    ring = Buffer(9, 99)
    ring.push(Sized(0, 0, 1))
    assert isinstance(ring.lanes()[0], Special)
