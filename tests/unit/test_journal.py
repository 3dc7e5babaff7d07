"""The journal keeps order, bounds and the sum of its counts like the ring, and its files hold exactly what is owed."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import stat
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes import ManualClock
from tests.journals import (
    MEGABYTE,
    ORIGIN,
    adopted,
    all_of,
    batch_from,
    begun,
    delivered_from,
    emitter,
    in_thread,
    name_of,
    recovered_from,
    span_for,
    taken,
)
from tracecore.blocks import LIMIT, pieces_of
from tracecore.context import TraceState
from tracecore.files import Files
from tracecore.frames import body_of
from tracecore.journal import Journal, StrictJournal
from tracecore.journal_lane import JournalLane, Kept
from tracecore.open_span import open_child
from tracecore.owners import OWNER, Owner
from tracecore.records import LedgerEntry, Score
from tracecore.ring import Lane, Ring
from tracecore.sealing import Emitted, Unsealable
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


# -- where a record waits ---------------------------------------------------------------------------------------------


def ended(journal: Journal) -> None:
    """End a journal as its recorder does."""
    journal.closed = True
    journal.end()


def lane_of(journal: Journal) -> JournalLane:
    """Return the lane of the only thread that has emitted."""
    (lane,) = journal.lanes()
    assert isinstance(lane, JournalLane)
    return lane


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log was told."""
    return [record.getMessage() for record in caplog.records if record.name == "tracecore"]


def test_a_full_journal_says_so_once_and_goes_on_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Blocks first, then memory, then counted losses; said once; the journal is used again when there is room again."""
    refused: list[str] = []
    clock = ManualClock()
    journal = begun(
        tmp_path, items=5, most_bytes=SEGMENT, clock=clock, on_loss=lambda item, counter: refused.append(counter)
    )
    emit = emitter(journal)
    number = 0
    while not refused:
        emit(f"{number}", 200_000)
        number += 1
    lane = lane_of(journal)
    assert (lane.depth, refused, lane.full) == (5, ["full"], 1)
    assert 18 <= lane.framed == number - 6 <= 21, "4 MiB hold twenty spans of 200 kB"
    assert "full size of 4194304 bytes" in str(journal.trouble)
    for _ in range(3):
        clock.advance(2)
        journal.housekeep(clock())
    assert len(said(caplog)) == 1
    assert f"in {tmp_path}: it has its full size of 4194304 bytes" in said(caplog)[0]
    assert all_of(journal) == [f"{n}" for n in range(number - 1)]
    clock.advance(2)
    journal.housekeep(clock())
    assert journal.trouble is None
    emit("afterwards", 200_000)
    assert (lane.depth, lane.kept) == (0, 1)
    assert len(said(caplog)) == 1
    ended(journal)


def test_without_a_home_everything_waits_in_memory_until_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where the directory should be is said once, with its name; when it is gone the journal begins."""
    (tmp_path / "journal").write_text("in the way")
    clock = ManualClock()
    journal = begun(tmp_path / "journal", clock=clock)
    emit = emitter(journal)
    emit("in memory")
    assert journal.level == "accepted"
    assert (journal.left, lane_of(journal).in_memory) == (0, True)
    for _ in range(5):
        clock.advance(5)
        journal.housekeep(clock())
    (warning,) = [line for line in said(caplog) if "cannot use its journal" in line]
    assert str(tmp_path / "journal") in warning
    (tmp_path / "journal").unlink()
    clock.advance(2)
    journal.housekeep(clock())
    assert journal.trouble is None
    emit("in the journal")
    assert journal.left == 1
    assert all_of(journal) == ["in the journal", "in memory"]
    assert journal.level == "handed_over"
    ended(journal)
    assert list((tmp_path / "journal").iterdir()) == []


def test_what_is_emitted_before_the_beginning_waits_in_memory(tmp_path: Path) -> None:
    """A journal that has not begun is a ring, does not touch the disk, and makes no home of its own accord."""
    journal = Journal(10, MEGABYTE, directory=tmp_path / "journal", most_bytes=SEGMENT, origin=ORIGIN)
    emitter(journal)("early")
    journal.housekeep(10**12)
    assert not (tmp_path / "journal").exists()
    assert all_of(journal) == ["early"]
    ended(journal)


def test_what_is_emitted_after_the_end_is_counted(tmp_path: Path) -> None:
    """A journal that is closed takes nothing more, and touches no file."""
    refused: list[tuple[str, str]] = []
    journal = begun(tmp_path, on_loss=lambda item, counter: refused.append((item.name, counter)))
    emit = emitter(journal)
    emit("in time")
    assert all_of(journal) == ["in time"]
    ended(journal)
    assert list(tmp_path.iterdir()) == []
    emit("too late")
    assert refused == [("too late", "closed")]
    assert journal.totals()["closed"] == 1
    journal.end()
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_record_is_kept(tmp_path: Path) -> None:
    """Finished records, small and huge, come back as they are, among spans and in their order."""
    journal = begun(tmp_path)
    scores = [Score("project", f"{n}", "score", n, comment="x" * n * 40_000) for n in range(4)]
    for score in scores:
        assert journal.push(Emitted(score))
        emitter(journal)(score.score_id)
    items = lane_of(journal).take(100, 10**9)
    assert [item.seal() for item in items[::2]] == scores
    assert list(map(name_of, items[1::2])) == ["0", "1", "2", "3"]
    assert lane_of(journal).kept == 8
    assert recovered_from(tmp_path) == [], "the process lives"
    ended(journal)


def test_what_cannot_be_encoded_goes_on_to_the_pump(tmp_path: Path) -> None:
    """An item without a body is accepted into memory, where the pump finds the same error; others go on as before."""
    journal = begun(tmp_path)
    poison = span_for(journal, "poison")
    poison.name = "\ud800"
    poison.end()
    assert journal.push(Unsealable(ValueError("no"), None))
    emitter(journal)("good")
    kept, *others = lane_of(journal).take(10, 10**9)
    assert name_of(kept) == "good"
    assert others[0] is poison
    with pytest.raises(ValueError, match="no record can be made"):
        others[1].seal()
    lane_of(journal).settle(3)
    ended(journal)
    assert list(tmp_path.iterdir()) == []


def waits(lane: JournalLane, trace: TraceState | None) -> int:
    """Return how many items of a lane must be settled before those of a trace are, or all of them."""
    return sum(max(0, mark - part.settled) for part, mark in lane.marks(trace))


@pytest.mark.parametrize("mask", [None, str.upper])
@pytest.mark.parametrize("size", [10, 5_500, 100_000])
def test_a_lane_says_up_to_where_it_must_be_settled(
    tmp_path: Path, size: int, mask: Callable[[str], str] | None
) -> None:
    """A trace waits for its own last record, whatever others have emitted in the same thread, before or since."""
    journal = begun(tmp_path, kind=StrictJournal, mask=mask)
    mine, others, never = (span_for(journal, name, size) for name in ("mine", "others", "never"))
    for span in (others, mine, open_child(mine.trace, None, "second"), open_child(others.trace, None, "later")):
        span.end()
    lane = lane_of(journal)
    assert [waits(lane, trace) for trace in (mine.trace, others.trace, never.trace, None)] == [3, 4, 0, 4]
    lane.take(3, 10**9)
    assert waits(lane, mine.trace) == 3, "taken is not settled"
    lane.settle(2)
    assert [waits(lane, trace) for trace in (mine.trace, others.trace, None)] == [1, 2, 2]
    lane.settle(1)
    assert [waits(lane, trace) for trace in (mine.trace, others.trace, None)] == [0, 1, 1]
    lane.settle(len(lane.take(9, 10**9)))
    ended(journal)


def test_whose_a_record_is_may_not_be_known(tmp_path: Path) -> None:
    """A score is waited for by every trace: what is said to be delivered is."""
    journal = begun(tmp_path)
    span = span_for(journal, "span")
    span.end()
    journal.push(Emitted(Score("project", "s", "score", 1, trace_id=span.trace.trace_id)))
    assert waits(lane_of(journal), span.trace) == 2
    journal.push(Emitted(Score("project", "t", "score", 1, comment="x" * 100_000)))
    assert waits(lane_of(journal), span.trace) == 3
    lane_of(journal).settle(len(lane_of(journal).take(9, 10**9)))
    assert waits(lane_of(journal), span.trace) == 0
    ended(journal)


def test_what_is_overtaken_in_memory_is_waited_for(tmp_path: Path) -> None:
    """Records that found no room, and are delivered after later ones, are neither forgotten nor counted too early."""
    journal = begun(tmp_path)
    first, second = span_for(journal, "first"), span_for(journal, "second")
    Ring.push(journal, first)
    lane = lane_of(journal)
    marks = {name: lane.marks(trace) for name, trace in (("first", first.trace), ("all", None))}
    second.end()
    assert [name_of(item) for item in lane.take(1, 1)] == ["second"]
    lane.settle(1)
    assert [sum(max(0, mark - part.settled) for part, mark in found) for found in marks.values()] == [1, 1]
    assert [name_of(item) for item in lane.take(1, 1)] == ["first"]
    assert waits(lane, first.trace) == 1
    lane.settle(1)
    assert [sum(max(0, mark - part.settled) for part, mark in found) for found in marks.values()] == [0, 0]
    ended(journal)


def test_the_pump_is_woken_when_room_becomes_short(tmp_path: Path) -> None:
    """A burst calls for the pump, which adds a segment, long before the last block is taken."""
    free: list[int] = []
    journal = begun(tmp_path, most_bytes=2 * SEGMENT, on_half_full=lambda: free.append(len(home.free)))
    journal.housekeep(1)  # and finds nothing that others have left
    home = journal._home
    assert home is not None
    emit = emitter(journal)
    while len(home.segments) == 1:
        emit("x", 60_000)
    assert free[0] >= 30
    assert journal.is_due is False, "it has its full size"
    all_of(journal)
    ended(journal)


def test_a_thread_that_has_ended_gives_its_block_back(tmp_path: Path) -> None:
    """Of a thousand threads that came and went, nothing is held once it has been delivered."""
    journal = begun(tmp_path)
    emit = emitter(journal)
    home = journal._home
    assert home is not None
    for number in range(20):
        in_thread(lambda number=number: emit(f"{number}", 70_000 * (number % 2)))  # type: ignore[misc]  # bound here
    assert len(home.free) < 64 - 20
    journal.housekeep(0)
    assert len(journal.lanes()) == 20
    assert all_of(journal) == [f"{number}" for number in range(20)]
    journal.housekeep(0)
    assert journal.lanes() == []
    assert len(home.free) == 64
    assert journal.totals()["accepted"] == journal.totals()["settled"] == 20
    ended(journal)


def test_segments_of_a_backlog_are_given_back(tmp_path: Path) -> None:
    """When a backlog has been delivered its files go, and the journal goes on in what is left."""
    clock = ManualClock()
    journal = begun(tmp_path, most_bytes=6 * SEGMENT, clock=clock)
    emit = emitter(journal)
    for number in range(100):
        emit(f"{number}", 200_000)
    home = journal._home
    assert home is not None
    assert len(home.segments) == 5
    assert all_of(journal) == [f"{number}" for number in range(100)]
    clock.advance(20)
    journal.housekeep(clock())
    assert len(home.segments) == len(list(home.path.iterdir())) - 1 == 2
    for number in range(100):
        emit(f"{number}", 200_000)
    assert all_of(journal) == [f"{number}" for number in range(100)]
    ended(journal)


def test_a_journal_that_was_removed_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where somebody removes the files, what is in them is still delivered, and what follows has files again."""
    clock = ManualClock()
    journal = begun(tmp_path / "journal", clock=clock)
    emit = emitter(journal)
    emit("before", 100_000)
    shutil.rmtree(tmp_path / "journal")
    emit("while nobody knows", 100_000)
    clock.advance(2)
    journal.housekeep(clock())
    assert len(said(caplog)) == 1
    assert "was removed" in said(caplog)[0]
    emit("in a new home", 100_000)
    assert all_of(journal) == ["before", "while nobody knows", "in a new home"]
    emit("kept", 100_000)
    ended(journal)
    assert recovered_from(tmp_path / "journal") == ["kept"]


def test_after_a_removal_small_records_too_go_into_the_new_files(tmp_path: Path) -> None:
    """No lane goes on in a block that nobody will find; what was in such blocks is said to be in memory only."""
    clock = ManualClock()
    journal = begun(tmp_path / "journal", clock=clock)
    emit = emitter(journal)
    emit("before", 10)
    assert (journal.left, journal.level) == (1, "handed_over")
    shutil.rmtree(tmp_path / "journal")
    emit("while nobody knows", 10)
    clock.advance(2)
    journal.housekeep(clock())
    assert (journal.left, journal.level) == (0, "accepted")
    for number in range(50):
        emit(f"{number}", 10)
    assert (journal.left, journal.level) == (50, "accepted")
    lane = lane_of(journal)
    items = lane.take(3, MEGABYTE)
    assert [name_of(item) for item in items] == ["before", "while nobody knows", "0"]
    lane.settle(1)
    assert (journal.left, journal.level) == (50, "accepted")
    lane.settle(1)
    assert (journal.left, journal.level) == (50, "handed_over")
    lane.settle(1)
    assert journal.left == 49
    ended(journal)
    assert journal.left == 49
    assert recovered_from(tmp_path / "journal") == [f"{number}" for number in range(1, 50)]


def test_what_lies_in_removed_files_at_the_end_is_not_said_to_be_left(tmp_path: Path) -> None:
    """A removal that nobody has noticed by then is seen at the end, and what was in those files is lost."""
    journal = begun(tmp_path / "journal")
    emitter(journal)("a", 10)
    assert journal.left == 1
    shutil.rmtree(tmp_path / "journal")
    ended(journal)
    assert (journal.left, journal.level) == (0, "accepted")
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("kind", [Ring, Journal, StrictJournal])
def test_nothing_keeps_a_buffer_that_nobody_uses(tmp_path: Path, kind: type[Ring[Any]]) -> None:
    """A buffer that has taken spans and refused some is garbage once it is let go; no collector looks into spans."""
    ring = Ring[Any](2, 10**6) if kind is Ring else begun(tmp_path, kind=kind, items=2, most_bytes=SEGMENT)  # type: ignore[arg-type]  # those that are journals
    for number in range(30):
        span_for(ring, f"{number}", 300_000).end()  # type: ignore[arg-type]  # any buffer will do
    assert ring.totals()["full"] > 0
    ring.closed = True
    span_for(ring, "too late").end()  # type: ignore[arg-type]  # as above
    for lane in ring.lanes():
        lane.settle(len(lane.take(99, 10**9)))
    ring.end()
    alive = weakref.ref(ring)
    del ring, lane
    gc.collect()
    assert alive() is None


def test_ledger_entries_are_kept_beside_what_waits(tmp_path: Path) -> None:
    """What became of everything is kept in the owner's file, if there is one; without one nothing is asked for."""
    journal = begun(tmp_path)
    home = journal._home
    assert home is not None
    entry = LedgerEntry("project", "first", 0, emitted=5, delivered=3, waiting=2)
    journal.keep(lambda: entry)
    owner = Owner(Files(), Files().open(home.path / OWNER), home.salt)
    owner.read()
    owner.close()
    assert owner.entry == entry
    ended(journal)
    journal.keep(lambda: pytest.fail("there is no file any more"))


# -- masks and disks --------------------------------------------------------------------------------------------------


def test_nothing_reaches_the_files_unmasked(tmp_path: Path) -> None:
    """With a mask, names and payloads are masked before they are written, in blocks, in long bodies and in memory."""
    journal = begun(
        tmp_path, kind=StrictJournal, mask=lambda text: text.replace("secret", "*"), most_bytes=SEGMENT, items=3
    )
    assert isinstance(journal, StrictJournal)
    assert journal.masks
    for size in (10, 5_500, 100_000, *[400_000] * 40):
        span = span_for(journal, "secret", size)
        span.note(status_message="secret")
        span.end()
    lane = lane_of(journal)
    assert lane.framed >= 10
    assert lane.depth == 3
    assert lane.full >= 1
    home = journal._home
    assert home is not None
    assert not [path for path in home.path.iterdir() if b"secret" in path.read_bytes()]
    records = [item.seal() for item in lane.take(100, 10**9)]
    assert {(record.name, record.status_message) for record in records} == {("*", "*")}
    assert b"secret" not in b"".join(bytes(record.output) for record in records)
    lane.settle(len(records))
    ended(journal)


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_a_mask_that_raises_costs_its_record_only(tmp_path: Path, error: type[BaseException]) -> None:
    """Whatever a mask raises: the program goes on, nothing unmasked is kept, and the pump counts the record."""

    def mask(text: str) -> str:
        if text == "fatal":
            raise error
        return text

    journal = begun(tmp_path, kind=StrictJournal, mask=mask)
    emit = emitter(journal)
    for name in ("before", "fatal", "after"):
        emit(name)
    items = lane_of(journal).take(10, 10**9)
    sealed = []
    for item in items:
        try:
            sealed.append(item.seal().name)
        except ValueError as unsealable:
            sealed.append(str(unsealable.__cause__))
    assert "fatal" not in sealed
    assert sorted(sealed)[-2:] == ["after", "before"]
    lane_of(journal).settle(3)
    ended(journal)


class Disk(Files):
    """A disk that notes what was brought to it, and fails when it is told to."""

    def __init__(self) -> None:
        self.synced: list[str] = []
        self.fails = False
        self.told = threading.Event()

    def sync(self, descriptor: int) -> None:
        """Note which file it is."""
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self.told.set()


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which file a descriptor is")


@needs_proc
def test_always_means_before_the_emit_returns(tmp_path: Path) -> None:
    """Every segment that an emit has written into is on the disk when it returns, and no other is asked for."""
    disk = Disk()
    journal = begun(tmp_path, kind=StrictJournal, sync="always", files=disk)
    emit = emitter(journal)
    disk.synced.clear()
    emit("short")
    assert disk.synced == ["0"]
    assert journal.level == "durable"
    emit("long", 3 * MEGABYTE)
    disk.synced.clear()
    emit("in two segments", 3 * MEGABYTE)
    assert sorted(disk.synced) == ["0", "1"]
    disk.synced.clear()
    emit("short again")
    assert disk.synced == ["1"]
    assert all_of(journal) == ["short", "long", "in two segments", "short again"]
    ended(journal)


@needs_proc
def test_what_the_disk_refused_is_never_called_durable(tmp_path: Path) -> None:
    """After the disk has failed once, what is emitted is kept but only handed over: a retried sync proves nothing."""
    disk = Disk()
    clock = ManualClock()
    journal = begun(tmp_path, kind=StrictJournal, sync="always", files=disk, clock=clock)
    emit = emitter(journal)
    emit("a")
    disk.fails = True
    emit("b")
    assert journal.trouble is not None
    assert journal.level == "handed_over"
    disk.fails = False
    clock.advance(2)
    journal.housekeep(clock())
    emit("c")
    assert (journal.trouble, journal.level) == (None, "handed_over")
    assert all_of(journal) == ["a", "b", "c"]
    ended(journal)


@needs_proc
def test_an_interval_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """With an interval everything is brought to the disk again and again, until the journal ends."""
    disk = Disk()
    journal = begun(tmp_path, sync="interval", sync_interval=0.001, files=disk)
    emitter(journal)("a")
    for _ in range(3):
        disk.told.clear()
        assert disk.told.wait(30)
    assert set(disk.synced) <= {"0", "owner"}
    assert journal.level == "handed_over"
    all_of(journal)
    ended(journal)


def test_without_a_thread_to_be_had_the_program_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system gives no thread for the interval, that is said, and records are kept as without one."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    journal = begun(tmp_path, sync="interval")
    emitter(journal)("a")
    assert "can't start new thread" in said(caplog)[0]
    assert all_of(journal) == ["a"]
    ended(journal)


# -- a pump that ends between two steps -------------------------------------------------------------------------------


class Ended(BaseException):
    """What ends a pump from outside."""


def interrupted_at(nth: int, work: Callable[[], object]) -> bool:
    """Do something whose ``nth`` line inside the kernel raises; return whether there were so many."""
    lines = 0
    previous = sys.gettrace()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if Path(frame.f_code.co_filename).parent.name != "tracecore":
            return None
        if event == "line":
            lines += 1
            if lines == nth:
                raise Ended
        return trace

    sys.settrace(trace)
    try:
        work()
    except Ended:
        return True
    finally:
        sys.settrace(previous)
    return False


class Descriptors(Files):
    """Know which files are open: an exception between two lines of opening one leaves it open."""

    def __init__(self) -> None:
        self.open_now: set[int] = set()

    def open(self, path: Path) -> int:
        """Note the descriptor."""
        descriptor = super().open(path)
        self.open_now.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Forget the descriptor."""
        super().close(descriptor)
        self.open_now.discard(descriptor)

    def close_all(self) -> None:
        """Close whatever is open."""
        for descriptor in list(self.open_now):
            self.close(descriptor)


class Batches:
    """Deliver batches as a pump does; what was settled when it ended is delivered, and nothing else."""

    def __init__(self, lane: Lane[Any]) -> None:
        self.lane = lane
        self.delivered: list[str] = []
        self.batch: list[str] = []

    def deliver(self, items: int) -> None:
        """Take, write and settle one batch, in two parts."""
        self.batch = [name_of(item) for item in batch_from(self.lane, items, 10**9)]
        middle = len(self.batch) // 2
        self.lane.settle(middle)
        self.lane.note()
        self.lane.settle(len(self.batch) - middle)
        self.lane.note()

    def deliver_until(self, nth: int, items: int) -> bool:
        """Do the same with a pump that ends at the ``nth`` line, and rewind; return whether it did end."""
        before, self.batch = self.lane.settled, []
        ended_early = interrupted_at(nth, lambda: self.deliver(items))
        self.delivered += self.batch[: self.lane.settled - before]
        return ended_early

    def rewind_until(self, nth: int) -> bool:
        """Rewind, by somebody who ends at the ``nth`` line and another after it; return whether the first did end."""
        ended_early = interrupted_at(nth, self.lane.rewind)
        self.lane.rewind()
        return ended_early


SOME = ["0", "1", "20000", "3", "70000", "150000", "6", "7", "130000", "9"]
"""Names of spans, and sizes of their outputs."""


@pytest.mark.parametrize("items", [1, 2, 4, 10])
def test_a_pump_may_end_at_any_line(tmp_path: Path, items: int) -> None:
    """Wherever a pump ends, the next one is handed exactly what was not settled, and nothing is settled twice."""
    nth = 0
    early = True
    while early:
        nth += 1 if items < 10 else 7
        journal = begun(tmp_path, items=5)
        for name in SOME:
            span_for(journal, name, int(name)).end()
        for name in ("in", "memory"):
            Ring.push(journal, span_for(journal, name))
        lane = lane_of(journal)
        batches = Batches(lane)
        early = batches.deliver_until(nth, items)
        batches.rewind_until(nth)
        assert lane.accepted - lane.settled == 12 - len(batches.delivered)
        left = taken(lane)
        assert sorted(batches.delivered + left) == sorted([*SOME, "in", "memory"])
        assert [name for name in batches.delivered + left if name in SOME] == SOME
        lane.rewind()
        assert (lane.depth, lane.bytes) == (len(lane.items), sum(item.size for item in lane.items))
        lane.settle(len(taken(lane)))
        assert (lane.settled, lane.taken, lane.kept, lane.depth, lane.bytes, lane.in_memory) == (12, 12, 0, 0, 0, False)
        home = journal._home
        assert home is not None
        assert len({*home.free, *lane.blocks}) == len(home.free) + len(lane.blocks) == 64 * len(home.segments)
        ended(journal)
        assert list(tmp_path.iterdir()) == []
    assert nth > 50


@pytest.mark.parametrize("items", [1, 3, 10])
def test_a_pump_that_adopts_may_end_at_any_line(tmp_path: Path, items: int) -> None:
    """Wherever a pump ends that delivers what a dead process left, the next one is handed exactly the rest."""
    nth = 0
    early = True
    while early:
        nth += 1 if items < 10 else 7
        journal = begun(tmp_path)
        for name in SOME:
            span_for(journal, name, int(name)).end()
        ended(journal)
        files = Descriptors()
        reader = begun(tmp_path, "reader", files=files)
        reader.housekeep(1)
        (lane,) = adopted(reader)
        batches = Batches(lane)
        early = batches.deliver_until(nth, items)
        batches.rewind_until(nth)
        assert batches.delivered + delivered_from(lane) == SOME
        assert lane.settled == len(SOME)
        reader.housekeep(2)
        reader.farewells.clear()
        reader.housekeep(3)
        ended(reader)
        files.close_all()
        assert list(tmp_path.iterdir()) == []
    assert nth > 50
