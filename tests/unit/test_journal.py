"""The journal keeps order, bounds and the sum of its counts like the ring, and its files hold exactly what is owed."""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes import ManualClock
from tests.journals import (
    MEGABYTE,
    begun,
    body_of,
    name_of,
    recovered_from,
    span_for,
)
from tracecore.blocks import LIMIT, pieces_of
from tracecore.journal_lane import JournalLane, Kept
from tracecore.segments import SEGMENT, Block

LANES = 3
SIZES = st.one_of(st.integers(0, 300), st.integers(4_000, 6_000), st.integers(60_000, 70_000), st.integers(0, 300_000))


class Producer:
    """What the model knows of one lane: what is where, in order."""

    def __init__(self) -> None:
        self.slot = SimpleNamespace()
        self.in_blocks: list[str] = []
        self.in_memory: list[str] = []
        self.in_hand: list[tuple[str, bool]] = []
        """Names, with whether each came out of a block."""

    @property
    def lane(self) -> JournalLane | None:
        """Return the lane, once there is one."""
        return getattr(self.slot, "lane", None)


class JournalMachine(RuleBasedStateMachine):
    """Compare the journal with lists, three for each producer; producers are simulated by exchanging the local slot."""

    @initialize(segments=st.integers(1, 3), items=st.integers(1, 9), size=st.sampled_from((2_000, 200_000, MEGABYTE)))
    def make(self, segments: int, items: int, size: int) -> None:
        """Begin with an empty journal of drawn bounds."""
        self.directory = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.most = segments
        self.refused: list[str] = []
        self.journal = begun(
            self.directory,
            items=items,
            size=size,
            most_bytes=segments * SEGMENT,
            clock=self.clock,
            on_loss=lambda item, counter: self.refused.append(counter),
        )
        self.producers = [Producer() for _ in range(LANES)]
        self.gone: list[Producer] = []
        """Those whose threads have ended."""
        self.number = self.accepted = self.settled = 0

    def teardown(self) -> None:
        """End the journal: its files are gone, or hold exactly what is owed, in order."""
        if not hasattr(self, "journal"):
            return
        lanes = [*self.gone, *self.producers]
        owed = [[*(name for name, framed in p.in_hand if framed), *p.in_blocks] for p in lanes]
        lost = sum(len(p.in_memory) + sum(not framed for _, framed in p.in_hand) for p in lanes)
        assert self.journal.left == sum(map(len, owed)) == self.accepted - self.settled - lost
        self.journal.closed = True
        self.journal.end()
        assert bool(list(self.directory.iterdir())) == bool(lost or self.journal.left)
        found = recovered_from(self.directory)
        assert sorted(found) == sorted(name for names in owed for name in names)
        for names in owed:
            assert [name for name in found if name in set(names)] == names
        assert list(self.directory.iterdir()) == []
        shutil.rmtree(self.directory)
        self.rewind()  # what is in hand holds maps open, and this object stays for a while

    @rule(producer=st.integers(0, LANES - 1), sizes=st.lists(SIZES, min_size=1, max_size=8))
    def push(self, producer: int, sizes: list[int]) -> None:
        """Push a few spans; each is accepted into blocks where there are enough, else into memory, else refused."""
        pushing = self.producers[producer]
        self.journal._local = pushing.slot  # type: ignore[assignment]  # stands in for another thread
        for size in sizes:
            self.number += 1
            self._push_one(pushing, f"{self.number}", size)

    def _push_one(self, producer: Producer, name: str, size: int) -> None:
        span = span_for(self.journal, name, size)
        lane = producer.lane
        start = LIMIT if lane is None else lane.block.written
        fits = self._room(start, len(body_of(span)))
        framed, memory = (0, 0) if lane is None else (lane.framed, lane.depth)
        waiting = 0 if lane is None else lane.bytes
        has_memory = memory < self.journal.max_items and waiting + span.size <= self.journal.max_bytes
        assert self.journal.push(span) is (fits or has_memory)
        lane = producer.lane
        assert lane is not None
        assert lane.framed - framed == fits
        if fits:
            producer.in_blocks.append(name)
        elif has_memory:
            producer.in_memory.append(name)
        else:
            assert self.refused[-1] == "full"
        self.accepted += fits or has_memory

    def _room(self, start: int, size: int) -> bool:
        """Return whether the journal has blocks for a body of this size, behind ``start`` in a lane's block."""
        home = self.journal._home
        assert home is not None
        needed = len(pieces_of(b" " * size, LIMIT - start)) - 1
        if not needed and start <= LIMIT - size - 8 and size <= 5 * 1024:
            return True
        room = len(home.free) + 64 * len(home._permits) * home.may_grow
        return needed <= room and (len(home.free) > 0 or self.journal.trouble is None)

    @rule(producer=st.integers(0, LANES - 1), items=st.integers(1, 12), size=st.integers(1, 400_000))
    def take(self, producer: int, items: int, size: int) -> None:
        """Take a batch: what is in blocks, in order, then what is in memory, as much as fits and at least one."""
        taking = self.producers[producer]
        if taking.lane is not None:
            self._take_from(taking, items, size)

    def _take_from(self, producer: Producer, items: int, size: int) -> None:
        lane = producer.lane
        assert lane is not None
        found = lane.take(items, size)
        names = [(name_of(item), isinstance(item, Kept)) for item in found]
        framed = sum(framed for _, framed in names)
        expected = [(name, True) for name in producer.in_blocks] + [(name, False) for name in producer.in_memory]
        of_memory = names[framed:]
        assert names[:framed] == expected[:framed]
        assert of_memory == [(name, False) for name in producer.in_memory[: len(of_memory)]]
        assert not of_memory or framed == len(producer.in_blocks)
        sizes = [item.size for item in found]
        assert sum(sizes[:-1]) < size
        assert bool(found) == bool(expected)
        assert len(found) == min(items, len(expected)) or sum(sizes) >= size
        del producer.in_blocks[:framed]
        del producer.in_memory[: len(of_memory)]
        producer.in_hand += names

    @rule(producer=st.integers(0, LANES - 1), count=st.integers(0, 12))
    def settle(self, producer: int, count: int) -> None:
        """Settle the first of what was taken."""
        settling = self.producers[producer]
        if settling.lane is not None:
            count = min(count, len(settling.in_hand))
            settling.lane.settle(count)
            self.settled += count
            del settling.in_hand[:count]

    @rule()
    def rewind(self) -> None:
        """Put back everything that was taken and not settled: it will be handed out again, before the rest."""
        put_back = {id(lane): count for lane, count in self.journal.rewind()}
        for producer in [*self.producers, *self.gone]:
            assert put_back.get(id(producer.lane), 0) == len(producer.in_hand)
            producer.in_blocks[:0] = [name for name, framed in producer.in_hand if framed]
            producer.in_memory[:0] = [name for name, framed in producer.in_hand if not framed]
            producer.in_hand.clear()

    @rule(seconds=st.floats(0, 30))
    def housekeep(self, seconds: float) -> None:
        """Let time pass, and the journal do what is not for producers to do; a thread's last block comes back."""
        self.clock.advance(seconds)
        self.journal.housekeep(self.clock())
        for producer in self.gone[:]:
            if not (producer.in_blocks or producer.in_memory or producer.in_hand):
                assert producer.lane not in self.journal.lanes()
                self.gone.remove(producer)

    @rule(producer=st.integers(0, LANES - 1))
    def thread_ends(self, producer: int) -> None:
        """Let a thread end: what it left is still there, and another thread gets a lane of its own."""
        ending = self.producers[producer]
        if ending.lane is not None:
            ending.lane.thread = lambda: None
            self.gone.append(ending)
            self.producers[producer] = Producer()

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def deliver_what_a_thread_left(self, data: st.DataObject) -> None:
        """Settle everything of a thread that has ended."""
        producer = data.draw(st.sampled_from(self.gone))
        while producer.in_blocks or producer.in_memory:
            self._take_from(producer, 100, MEGABYTE)
        assert producer.lane is not None
        producer.lane.settle(len(producer.in_hand))
        self.settled += len(producer.in_hand)
        producer.in_hand.clear()

    @invariant()
    def bounded_and_conserved(self) -> None:
        """Nothing is forgotten, nothing exceeds its bounds, and every block is either free or one lane's."""
        if not hasattr(self, "journal"):
            return
        totals = self.journal.totals()
        assert (totals["accepted"], totals["full"]) == (self.accepted, len(self.refused))
        lanes = [*self.producers, *self.gone]
        in_hand = sum(len(p.in_hand) for p in lanes)
        waiting = sum(len(p.in_blocks) + len(p.in_memory) for p in lanes)
        assert totals["settled"] == self.settled == totals["taken"] - in_hand
        assert totals["accepted"] == totals["taken"] + waiting
        assert self.accepted + len(self.refused) == self.number
        self._lanes_are_as_the_model(lanes)
        self._files_are_as_they_should_be(lanes)

    def _lanes_are_as_the_model(self, lanes: list[Producer]) -> None:
        for producer in lanes:
            lane = producer.lane
            if lane is not None:
                put_back = sum(not framed for _, framed in producer.in_hand)
                assert lane.depth == len(producer.in_memory)
                assert lane.depth + put_back <= self.journal.max_items + put_back
                assert lane.in_memory == bool(producer.in_memory or put_back)
                assert lane.kept == len(producer.in_blocks) + sum(framed for _, framed in producer.in_hand)
        memory = any(p.lane is not None and p.lane.in_memory for p in lanes)
        assert self.journal.level == ("accepted" if memory else "handed_over")

    def _files_are_as_they_should_be(self, lanes: list[Producer]) -> None:
        home = self.journal._home
        assert home is not None
        names = {path.name for path in home.path.iterdir()}
        assert names == {"owner", *(segment.path.name for segment in home.segments)}
        assert 1 <= len(home.segments) <= self.most
        assert {stat.S_IMODE(path.stat().st_mode) for path in home.path.iterdir()} == {0o600}
        free: list[Block] = list(home.free)
        used = [block for producer in lanes if producer.lane is not None for block in producer.lane.blocks]
        assert len(free) + len(used) == len({*free, *used}) == 64 * len(home.segments)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=100, stateful_step_count=30)
