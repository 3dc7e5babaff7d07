"""What dead processes left is handed out once and in order, and its account is finished."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import ManualClock
from tests.journals import (
    MEGABYTE,
    ORIGIN,
    adopted,
    batch_from,
    begun,
    delivered_from,
    emitter,
    finish,
    in_thread,
    left_by,
    name_of,
    reader_of,
    recovered_from,
    small_home,
    span_for,
    taken,
)
from tracecore.account import Counts
from tracecore.blocks import BLOCK
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.loss import Losses
from tracecore.records import LedgerEntry, Provenance, Span
from tracecore.segments import SEGMENT

OTHER = Origin("another project", Provenance(service_name="dead service"))
NAMES = [f"{number}" for number in range(12)]


def test_each_threads_records_come_in_their_order(tmp_path: Path) -> None:
    """Lanes one after the other, each from its beginning, through blocks and segments, with bodies in pieces."""
    journal = begun(tmp_path, "dead", most_bytes=8 * SEGMENT)
    emit = emitter(journal)

    def work(thread: int) -> Callable[[], None]:
        return lambda: [emit(f"{thread}.{n}", (n % 5) * 90_000) for n in range(40)] and None

    for thread in range(3):
        in_thread(work(thread))
    journal.end()
    found = recovered_from(tmp_path)
    assert found == [f"{thread}.{n}" for thread in range(3) for n in range(40)]
    assert list(tmp_path.iterdir()) == []


def test_threads_that_wrote_in_turn_are_told_apart(tmp_path: Path) -> None:
    """Blocks of several threads lie between each other in the files, and still each thread's order is kept."""
    journal = begun(tmp_path, "dead")
    emit = emitter(journal)
    turn = threading.Barrier(2)

    def work(thread: int) -> None:
        for number in range(30):
            emit(f"{thread}.{number}", 40_000)
            turn.wait(30)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.end()
    found = recovered_from(tmp_path)
    for thread_number in "01":
        mine = [name for name in found if name.startswith(thread_number)]
        assert mine == [f"{thread_number}.{number}" for number in range(30)]
    assert len(found) == 60


def test_records_are_those_of_the_process_that_made_them(tmp_path: Path) -> None:
    """Project and provenance are the dead process's, whoever delivers."""
    left_by(tmp_path, "dead", ["a"], origin=OTHER)
    reader, leftover = reader_of(tmp_path)
    (item,) = batch_from(leftover, 9, 9)
    record = item.seal()
    assert isinstance(record, Span)
    assert (record.project, record.provenance) == (OTHER.project, OTHER.provenance)
    leftover.settle(1)
    finish(reader)


@pytest.mark.parametrize(("items", "size"), [(1, MEGABYTE), (5, MEGABYTE), (100, 1), (100, 1_200)])
def test_bounds_of_a_batch_are_kept(tmp_path: Path, items: int, size: int) -> None:
    """No batch is larger than asked for, and each holds something as long as there is anything."""
    left_by(tmp_path, "dead", NAMES, size=500)
    reader, leftover = reader_of(tmp_path)
    found: list[str] = []
    while batch := batch_from(leftover, items, size):
        assert len(batch) <= items
        assert sum(item.size for item in batch[:-1]) < size
        assert leftover.bytes_taken >= sum(item.size for item in batch)
        found += map(name_of, batch)
        leftover.settle(len(batch))
    assert found == NAMES
    finish(reader)


def test_what_is_recovered_is_in_no_total_of_this_process(tmp_path: Path) -> None:
    """A leftover's records were emitted elsewhere: they do not count here, nor as left here."""
    left_by(tmp_path, "dead", NAMES)
    reader, leftover = reader_of(tmp_path)
    assert reader.recovering
    batch_from(leftover, 5, MEGABYTE)
    leftover.settle(2)
    assert set(reader.totals().values()) == {0}
    assert (reader.left, reader.level) == (0, "handed_over")
    leftover.settle(3)
    delivered_from(leftover)
    finish(reader)
    assert not reader.recovering
    assert set(reader.totals().values()) == {0}


def test_what_was_settled_is_not_handed_out_by_the_next_adopter(tmp_path: Path) -> None:
    """However many adopters come and go, each goes on exactly where the one before was: also inside of a block."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    found: list[str] = []
    count = 0
    while len(found) < len(NAMES):
        count += 1
        reader, leftover = reader_of(tmp_path, name=f"reader-{count}")
        batch = batch_from(leftover, 3, 10**9)
        found.append(name_of(batch[0]))
        leftover.settle(1)
        leftover.note()
        reader.closed = True
        reader.end()
    assert found == NAMES
    assert recovered_from(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_put_back_comes_again(tmp_path: Path) -> None:
    """A pump that comes after another is handed what that one had in hand, from the files."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    reader, leftover = reader_of(tmp_path)
    assert [name_of(item) for item in batch_from(leftover, 5, 10**9)] == NAMES[:5]
    leftover.settle(2)
    assert reader.rewind() == [(leftover, 3)]
    assert taken(leftover) == NAMES[2:]
    assert leftover.exhausted is False
    assert reader.rewind() == [(leftover, 10)]
    assert delivered_from(leftover) == NAMES[2:]
    assert leftover.exhausted
    finish(reader)
    assert list(tmp_path.iterdir()) == []


def test_a_pump_that_ends_while_it_takes_loses_nothing(tmp_path: Path) -> None:
    """What was read and never handed out is read again."""
    left_by(tmp_path, "dead", NAMES)
    reader, leftover = reader_of(tmp_path)
    leftover.fetch(4, 10**9)
    reader.rewind()
    assert delivered_from(leftover) == NAMES
    finish(reader)


class Idle(Files):
    """Files on which nothing may be called while they are at rest."""

    at_rest = False


def _at_work(name: str) -> Callable[..., Any]:
    def call(self: Idle, *arguments: Any) -> Any:
        assert not self.at_rest, f"{name} was called"
        return getattr(Files, name)(self, *arguments)

    return call


for _name in vars(Files):
    if not _name.startswith("_"):
        setattr(Idle, _name, _at_work(_name))


def test_whoever_holds_the_lock_waits_for_no_disk(tmp_path: Path) -> None:
    """Files are read by fetching and written by noting; taking, settling and putting back touch none of them."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    files = Idle()
    reader, leftover = reader_of(tmp_path, files=files)
    found: list[str] = []
    while not leftover.exhausted:
        leftover.fetch(5, 10**9)
        files.at_rest = True
        reader.rewind()
        assert leftover.take(5, 10**9) == [], "what was fetched before is read again"
        files.at_rest = False
        leftover.fetch(5, 10**9)
        files.at_rest = True
        found += [name_of(item) for item in leftover.take(5, 10**9)]
        leftover.settle(3)
        leftover.settle(2)
        files.at_rest = False
        leftover.note()
    assert found == NAMES
    finish(reader)


def test_a_pump_that_hung_while_it_read_disturbs_nobody(tmp_path: Path) -> None:
    """Its successor reads from what is settled on; what the old one still reads, or says to be damaged, is nothing."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    went_on: list[list[str]] = []

    class Hanging(Files):
        def read(self, descriptor: int, size: int, offset: int) -> bytes:
            if size == BLOCK and not went_on:
                went_on.append([])
                reader.rewind()
                went_on[0] += [name_of(item) for item in batch_from(leftover, 7, 10**9)]
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(descriptor, size, offset)

    reader, leftover = reader_of(tmp_path, files=Hanging())
    leftover.fetch(3, 10**9)
    assert went_on == [NAMES[:7]]
    leftover.settle(7)
    leftover.note()
    assert delivered_from(leftover) == NAMES[7:]
    assert leftover.damages == 0
    finish(reader)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_noted_is_noted_the_next_time(tmp_path: Path) -> None:
    """After a disk that failed for a while, the next adopter goes on where this one was."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    fails = True

    class Failing(Files):
        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            if fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().write(descriptor, data, offset)

    reader, leftover = reader_of(tmp_path, files=Failing())
    batch_from(leftover, 9, 10**9)
    for _ in range(8):
        leftover.settle(1)
        leftover.note()
    fails = False
    leftover.settle(1)
    leftover.note()
    reader.closed = True
    reader.end()
    assert recovered_from(tmp_path) == NAMES[9:]


def test_records_are_read_for_some_milliseconds_at_a_time(tmp_path: Path) -> None:
    """However much there is to be read, whoever is beside the pump in its loop has a turn soon."""
    left_by(tmp_path, "dead", NAMES)
    clock = ManualClock()
    reader = begun(tmp_path, "reader", clock=clock)
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    moments = iter([0, 0, 1, 5, 9])
    leftover._reading._clock = lambda: next(moments) * 1_000_000
    assert [name_of(item) for item in batch_from(leftover, 12, 10**9)] == NAMES[:2]
    leftover.rewind()
    assert delivered_from(leftover) == NAMES
    finish(reader)


def test_the_account_of_the_dead_is_finished(tmp_path: Path) -> None:
    """What had become of its records, and what the adopter delivers or loses, add up to what the process emitted."""
    journal = begun(tmp_path, "dead")
    for name in NAMES:
        span_for(journal, name).end()
    (lane,) = journal.lanes()
    lane.settle(len(batch_from(lane, 4, 10**9)))
    lane.note()
    entry = LedgerEntry(
        ORIGIN.project, "dead", 60, seen_ns=77, emitted=13, delivered=3, waiting=8, lost={"rejected": 2}
    )
    journal.keep(lambda: entry)
    journal.end()
    reader, leftover = reader_of(tmp_path)
    assert leftover.entry(Counts()) == entry
    halfway = leftover.entry(Counts(5, Losses({"rejected": 1})))
    assert halfway == replace(entry, delivered=8, waiting=2, lost={"rejected": 3})
    assert halfway.unaccounted == 0
    delivered_from(leftover)
    leftover.account.counts = Counts(7, Losses({"rejected": 1}))
    reader.housekeep(2)
    (farewell,) = reader.farewells
    assert farewell == replace(entry, delivered=10, waiting=0, lost={"rejected": 3}, ended=True)
    assert farewell.unaccounted == 0
    reader.housekeep(3)
    assert len(reader.farewells) == 1, "the home stays until the ledger knows"
    assert len(list(tmp_path.iterdir())) == 2
    finish(reader)
    assert list(tmp_path.iterdir()) == []


def test_the_account_goes_on_with_a_second_adopter(tmp_path: Path) -> None:
    """An adopter that dies leaves the account as far as it had come."""
    home = left_by(tmp_path, "dead", NAMES)
    reader, leftover = reader_of(tmp_path)
    leftover.account.counts = Counts(len(batch_from(leftover, 5, 10**9)))
    leftover.settle(5)
    leftover.note()
    reader.closed = True
    reader.end()
    reader, leftover = reader_of(tmp_path, name="second")
    assert len(delivered_from(leftover)) == 7
    told = leftover.entry(Counts(7), ended=True)
    assert (told.process, told.emitted, told.delivered, told.ended) == (home.name.partition("-")[2], 12, 12, True)
    finish(reader)


def test_nothing_is_told_of_a_process_that_left_nothing(tmp_path: Path) -> None:
    """A home without records, of a process that nobody knows anything of, is removed without a word."""
    small_home(tmp_path, "dead", [])
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == []
    reader.housekeep(2)
    assert reader.farewells == []
    reader.closed = True
    reader.end()
    assert list(tmp_path.iterdir()) == []


def test_homes_are_looked_for_every_ten_seconds(tmp_path: Path) -> None:
    """Who dies while others live is found by them."""
    clock = ManualClock()
    reader = begun(tmp_path, "reader", clock=clock)
    reader.housekeep(clock())
    left_by(tmp_path, "dead", ["a"])
    clock.advance(9)
    reader.housekeep(clock())
    assert adopted(reader) == []
    clock.advance(1)
    reader.housekeep(clock())
    (leftover,) = adopted(reader)
    assert delivered_from(leftover) == ["a"]
    finish(reader)
