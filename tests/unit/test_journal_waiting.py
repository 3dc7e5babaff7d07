"""Where a record waits: in blocks, in memory where there is no room, in new files where somebody removed the old."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ManualClock
from tests.journals import (
    MEGABYTE,
    ORIGIN,
    all_of,
    begun,
    emitter,
    ended,
    in_thread,
    lane_of,
    name_of,
    recovered_from,
    said,
    span_for,
)
from tracecore.context import TraceState
from tracecore.files import Files
from tracecore.journal import Journal
from tracecore.journal_lane import JournalLane
from tracecore.open_span import open_child
from tracecore.owners import OWNER, Note, Owner
from tracecore.records import LedgerEntry, Score
from tracecore.ring import Ring
from tracecore.sealing import Emitted, Unsealable
from tracecore.segments import SEGMENT
from tracecore.strict_journal import StrictJournal


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


@pytest.mark.parametrize("most", [1, 3, 4])
def test_what_waits_in_memory_has_its_turn(tmp_path: Path, most: int) -> None:
    """However much goes on coming into blocks, or into memory, what was in the other before is handed out before it."""
    journal = begun(tmp_path)
    emit = emitter(journal)
    for place in range(4):
        emit(f"blocks {place}")
    for place in range(4):
        Ring.push(journal, span_for(journal, f"memory {place}"))
    lane = lane_of(journal)
    found: list[str] = []
    for number in range(0, 40, most):
        for more in range(most):
            emit(f"later blocks {number + more}")
            Ring.push(journal, span_for(journal, f"later memory {number + more}"))
        found += map(name_of, lane.take(most, 10**9))
    for group in ("blocks", "memory"):
        assert [name for name in found if name.startswith(group)] == [f"{group} {place}" for place in range(4)]
    assert max(map(found.index, (f"memory {place}" for place in range(4)))) < 8 + 2 * most
    assert {"later blocks 0", "later memory 0"} <= set(found), "neither keeps the other away for ever"
    assert lane.rewind() == len(found)
    rest = all_of(journal)
    assert len(rest) == len(set(rest)) == lane.accepted
    assert found[-1] in rest
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
    assert owner.note == Note(entry)
    ended(journal)
    journal.keep(lambda: pytest.fail("there is no file any more"))
