"""What dead processes left is found, handed out once and in order, and removed; nothing of the living is touched."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
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
    in_thread,
    name_of,
    recovered_from,
    set_aside_in,
    span_for,
    taken,
)
from tests.torture.declaring import by_mode
from tracecore.account import Counts
from tracecore.blocks import BLOCK, FIRST, LIMIT, Head, frames, write_frame
from tracecore.files import Files
from tracecore.frames import Origin, body_of
from tracecore.journal import Journal
from tracecore.leftovers import Leftover
from tracecore.loss import Losses
from tracecore.owners import Owner, salt_of
from tracecore.records import LedgerEntry, Provenance, Span
from tracecore.segments import SEGMENT

OTHER = Origin("another project", Provenance(service_name="dead service"))
NAMES = [f"{number}" for number in range(12)]


def left_by(directory: Path, process: str, names: list[str], *, size: int = 100, origin: Origin = ORIGIN) -> Path:
    """Let a process die with spans of these names in its journal; return its home."""
    journal = begun(directory, process, origin=origin)
    emit = emitter(journal)
    for name in names:
        emit(name, size)
    home = journal._home
    assert home is not None
    journal.end()
    return home.path


def small_home(directory: Path, process: str, names: list[str]) -> None:
    """Make by hand what a process would have left, in a file that is mostly a hole."""
    home = directory / f"1-{process}"
    home.mkdir(parents=True)
    Owner.create(Files(), home / "owner", ORIGIN, salt_of(home.name)).close()
    block = memoryview(bytearray(BLOCK))
    head = Head(1, 1)
    head.write(block, salt_of(home.name))
    at = FIRST
    journal = Journal(1, 1, directory=directory, most_bytes=1, origin=ORIGIN)
    for name in names:
        at = write_frame(block, at, body_of(span_for(journal, name)), head.seed(salt_of(home.name)))
    with (home / "0").open("wb") as file:
        file.write(block)
        file.truncate(SEGMENT)


def reader_of(directory: Path, *, files: Files | None = None, name: str = "reader") -> tuple[Journal, Leftover]:
    """Return a journal that has adopted one home, and what it found there."""
    reader = begun(directory, name, files=files or Files())
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    return reader, leftover


def finish(reader: Journal) -> None:
    """Part with everything that has been delivered, and end."""
    reader.housekeep(2)
    reader.farewells.clear()
    reader.housekeep(3)
    reader.closed = True
    reader.end()


# -- what is handed out -----------------------------------------------------------------------------------------------


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


# -- homes that are not as they should be -----------------------------------------------------------------------------


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    """Nobody adopts the home of a process that lives, nor its own, whatever is in it."""
    living = begun(tmp_path, "living")
    emitter(living)("mine")
    other = begun(tmp_path, "other")
    emitter(other)("also mine")
    for journal in (living, other):
        for second in range(3):
            journal.housekeep(second * 10**11)
        assert adopted(journal) == []
    assert recovered_from(tmp_path) == []
    for journal in (living, other):
        (lane,) = journal.lanes()
        assert len(delivered_from(lane)) == 1
        journal.closed = True
        journal.end()
    assert list(tmp_path.iterdir()) == []


def test_homes_that_are_being_made_are_left_to_their_makers(tmp_path: Path) -> None:
    """A home that is half made is looked into only when it was there the last time too, and nobody holds it."""
    unowned, owned, held = (tmp_path / f"{number}-a.new" for number in (1, 2, 3))
    for path in (unowned, owned, held):
        path.mkdir()
    Owner.create(Files(), owned / "owner", ORIGIN, 0).close()
    maker = Owner.create(Files(), held / "owner", ORIGIN, 0)
    reader = begun(tmp_path, "reader")
    reader.housekeep(1)
    assert adopted(reader) == []
    assert unowned.exists()
    for second in range(2, 6):
        reader.housekeep(second * 10**11)
        for leftover in adopted(reader):
            assert delivered_from(leftover) == []
    assert [unowned.exists(), owned.exists(), held.exists()] == [False, False, True]
    assert reader.farewells == []
    maker.close()
    reader.closed = True
    reader.end()


def test_a_home_can_be_made_while_others_look_around(tmp_path: Path) -> None:
    """Of many processes that begin and look around at once, none takes another's new home away from it."""
    journals: list[Journal] = []
    ready = threading.Barrier(8)

    def work(number: int) -> None:
        for attempt in range(10):
            ready.wait(30)
            journal = begun(tmp_path, f"{number}-{attempt}")
            journals.append(journal)
            journal.housekeep(1)
            assert journal.trouble is None, journal.trouble
            journal.closed = True
            journal.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journals) == 80, "all of them came through"
    assert list(tmp_path.iterdir()) == []


def test_without_an_owners_file_the_records_are_still_there(tmp_path: Path) -> None:
    """Where somebody removed that file, or the disk lost it, segments are read, and origins are the reader's."""
    home = left_by(tmp_path, "dead", NAMES, origin=OTHER)
    (home / "owner").unlink()
    (tmp_path / "7-empty").mkdir()
    reader, leftover = reader_of(tmp_path)
    items = batch_from(leftover, 99, 10**9)
    assert [name_of(item) for item in items] == NAMES
    assert {item.seal().project for item in items} == {ORIGIN.project}
    leftover.settle(len(items))
    finish(reader)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("start", "end", "known"),
    [
        pytest.param(0, 2_048, True, id="first copy"), pytest.param(2_048, 4_096, True, id="second copy"),
        pytest.param(30, 31, True, id="a byte of the first"), pytest.param(0, 4_096, False, id="both copies"),
        pytest.param(0, 8_192, False, id="everything"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("byte", [0, 0xFF, 0x20])
def test_a_damaged_owners_file(tmp_path: Path, start: int, end: int, known: bool, byte: int) -> None:  # noqa: FBT001 - drawn
    """What the spans have in common is there twice; without both, spans are the reader's, and none is lost."""
    home = left_by(tmp_path, "dead", NAMES, origin=OTHER)
    data = bytearray((home / "owner").read_bytes())
    data[start:end] = bytes([byte]) * (len(data[start:end]))
    (home / "owner").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    items = batch_from(leftover, 99, 10**9)
    assert [name_of(item) for item in items] == NAMES
    assert {item.seal().project for item in items} == {OTHER.project if known else ORIGIN.project}
    leftover.settle(len(items))
    finish(reader)


@pytest.mark.parametrize("length", [0, 1, 9, 2_047, 2_048, 4_095, 5_000])
def test_an_owners_file_that_was_cut(tmp_path: Path, length: int) -> None:
    """However short that file is, the records are recovered."""
    home = left_by(tmp_path, "dead", NAMES)
    os.truncate(home / "owner", length)
    assert recovered_from(tmp_path) == NAMES


def test_thousands_of_homes_are_delivered_a_few_at_a_time(tmp_path: Path) -> None:
    """A crash loop of days costs neither descriptors nor a long halt: of all that is there, a few are open at once."""
    count = by_mode(300, full=3_000)
    for number in range(count):
        small_home(tmp_path, f"dead-{number:05}", [f"{number}"])
    reader = begun(tmp_path, "reader")
    found: list[str] = []
    most = rounds = 0
    while reader.recovering:
        rounds += 1
        reader.housekeep(rounds)
        most = max(most, len(adopted(reader)))
        for leftover in adopted(reader):
            found += delivered_from(leftover)
        reader.farewells.clear()
    assert found == [f"{number}" for number in range(count)]
    assert most <= 4
    assert rounds <= count
    reader.closed = True
    reader.end()
    assert list(tmp_path.iterdir()) == []


# -- several adopters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readers", [2, 8])
def test_adopters_that_race_find_each_record_once(tmp_path: Path, readers: int) -> None:
    """Threads that look around at the same moment, as processes do: every record is handed out by one of them."""
    homes = by_mode(24, full=200)
    for number in range(homes):
        small_home(tmp_path, f"dead-{number}", [f"{number}.{n}" for n in range(5)])
    found: list[str] = []
    ready = threading.Barrier(readers)

    def work(number: int) -> None:
        reader = begun(tmp_path, f"reader-{number}")
        ready.wait(30)
        now = 0
        while reader.recovering:
            now += 10**11
            reader.housekeep(now)
            for leftover in adopted(reader):
                found.extend(delivered_from(leftover))
            reader.farewells.clear()
        reader.closed = True
        reader.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(found) == Counter(f"{number}.{n}" for number in range(homes) for n in range(5))
    assert list(tmp_path.iterdir()) == []


def test_whoever_looks_while_a_home_is_removed_finds_nothing(tmp_path: Path) -> None:
    """A home of which another adopter has just removed a part is not adopted a second time."""
    for step in range(4):
        directory = tmp_path / f"{step}"
        home = left_by(directory, "dead", ["a"])
        other = begun(directory, "other")
        steps: list[str] = []

        class Slow(Files):
            def _look(self, other: Journal = other, steps: list[str] = steps, step: int = step) -> None:
                steps.append("step")
                if len(steps) == step + 1:
                    other.housekeep(1)

            def remove(self, path: Path) -> None:
                self._look()
                super().remove(path)

            def remove_directory(self, path: Path) -> None:
                self._look()
                super().remove_directory(path)

        assert recovered_from(directory, files=Slow()) == ["a"]
        for leftover in adopted(other):
            assert delivered_from(leftover) == []
        other.housekeep(2)
        other.closed = True
        other.end()
        assert not home.exists()
        assert list(directory.iterdir()) == []


def test_a_home_that_was_removed_before_it_could_be_locked(tmp_path: Path) -> None:
    """Who has opened an owner's file, and gets its lock only when another adopter is done, has got nothing."""
    left_by(tmp_path, "dead", ["a"])
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == ["a"]

    class Late(Files):
        def lock(self, descriptor: int) -> bool:
            if leftover in reader.lanes():
                finish(reader)
            return super().lock(descriptor)

    other = begun(tmp_path / "elsewhere", "other")
    other._files = Late()
    other.directory = tmp_path
    other.housekeep(1)
    assert leftover not in reader.lanes()
    assert adopted(other) == []
    other.closed = True
    other.end()


# -- damage and want --------------------------------------------------------------------------------------------------


def test_a_damaged_segment_is_kept_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is whole is delivered, the rest is counted and said once, and the segment is kept, untouched."""
    home = left_by(tmp_path, "dead", NAMES, size=25_000)
    data = bytearray((home / "0").read_bytes())
    at = data.index(b"<5><5>")
    data[at] ^= 1
    (home / "0").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == [name for name in NAMES if name != "5"]
    assert leftover.damages == 1
    finish(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]
    (kept,) = (tmp_path / "damaged").iterdir()
    assert kept.name == f"{home.name}-0"
    assert kept.read_bytes() == bytes(data)
    assert set(set_aside_in(tmp_path)) == set(NAMES) - {"5"}
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "1 damaged stretches are lost" in warning
    assert str(tmp_path / "damaged") in warning
    assert recovered_from(tmp_path) == [], "what was set aside is not adopted again"


def test_damage_is_seen_by_whoever_comes_after_an_adopter_that_died(tmp_path: Path) -> None:
    """An adopter that dies after it has met a damage takes no trace of it away."""
    home = left_by(tmp_path, "dead", NAMES, size=25_000)
    data = bytearray((home / "0").read_bytes())
    data[data.index(b"<5><5>")] ^= 1
    (home / "0").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    leftover.settle(len(batch_from(leftover, 8, 10**9)))
    leftover.note()
    reader.closed = True
    reader.end()
    reader, leftover = reader_of(tmp_path, name="second")
    assert delivered_from(leftover)[-6:] == NAMES[-6:]
    assert leftover.damages == 1
    finish(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


@pytest.mark.parametrize("last", [False, True])
def test_sectors_that_the_disk_has_lost(tmp_path: Path, last: bool) -> None:  # noqa: FBT001 - drawn
    """Zeros in a block that was filled are a damage; at the end of the last one there may have been nothing."""
    names = [f"{number}" for number in range(2_000)]
    home = left_by(tmp_path, "dead", names, size=100)
    data = bytearray((home / "0").read_bytes())
    salt = salt_of(home.name)
    heads = {start: Head.read(bytes(data[start:][:FIRST]), b"", salt) for start in range(0, SEGMENT, BLOCK)}
    used = sorted(((head.sequence, start) for start, head in heads.items() if head is not None))
    assert len(used) > 3
    _, start = used[-1] if last else used[1]
    head = heads[start]
    assert head is not None
    read = list(frames(bytes(data[start : start + BLOCK]), FIRST, LIMIT, head.seed(salt)))
    assert len(read) > 20
    data[start + read[-10].end : start + LIMIT] = bytes(LIMIT - read[-10].end)
    (home / "0").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    found = delivered_from(leftover)
    assert len(names) - 11 <= len(found) <= len(names) - 9
    assert leftover.damages == 1 - last
    finish(reader)


class Wanting(Files):
    """A system that gives no more descriptors for a while, or whose disk does not give one stretch."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.fails: Callable[[str, int], bool] = lambda name, count: False
        self.counts: Counter[str] = Counter()

    def open(self, path: Path) -> int:
        """Fail when it is time to."""
        self._try("open")
        return super().open(path)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Fail when it is time to."""
        self._try("read")
        return super().read(descriptor, size, offset)

    def _try(self, name: str) -> None:
        self.counts[name] += 1
        if self.fails(name, self.counts[name]):
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR])
def test_what_cannot_be_read_now_is_read_later(tmp_path: Path, error: int) -> None:
    """A process without descriptors or memory to spare loses nothing, and calls nothing damaged."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    files = Wanting(error)
    reader = begun(tmp_path, "reader", files=files)
    files.fails = lambda name, count: name == "open" and count % 3 == 2
    found: list[str] = []
    for now in range(1, 50):
        reader.housekeep(now * 10**11)
        for leftover in adopted(reader):
            assert leftover.damages == 0
            batch = batch_from(leftover, 2, 10**9)
            found += map(name_of, batch)
            leftover.settle(len(batch))
        reader.farewells.clear()
    assert found == NAMES
    reader.closed = True
    reader.end()
    files.fails = lambda name, count: False
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_the_disk_does_not_give_is_one_damage(tmp_path: Path) -> None:
    """One bad sector costs the block that it is in, whichever read meets it; everything else is delivered."""
    files = Wanting(errno.EIO)
    files.fails = lambda name, count: False
    left_by(tmp_path / "count", "dead", NAMES, size=25_000)
    recovered_from(tmp_path / "count", files=files)
    for nth in range(2, files.counts["read"] + 1, by_mode(9, full=1)):
        directory = tmp_path / f"{nth}"
        left_by(directory, "dead", NAMES, size=25_000)
        failing = Wanting(errno.EIO)
        failing.fails = lambda name, count, nth=nth: name == "read" and count == nth  # type: ignore[misc]  # bound
        found = recovered_from(directory, files=failing)
        assert found == [name for name in NAMES if name in found], "in order"
        assert len(found) >= len(NAMES) - 4
        assert set(found) | set(set_aside_in(directory)) == set(NAMES)


def test_a_half_written_home_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """A body of which only the later pieces were written, and a segment that was never finished, are nothing."""
    home = left_by(tmp_path, "dead", ["before"])
    salt = salt_of(home.name)
    data = bytearray((home / "0").read_bytes())
    used = next(
        number for number in range(64) if Head.read(bytes(data[number * BLOCK :][:FIRST]), b"", salt) is not None
    )
    free = (used + 1) % 64
    block = memoryview(bytearray(BLOCK))
    head = Head(1, 99)
    head.write(block, salt)
    write_frame(block, FIRST, b"\0" * 8 + b"the rest of a body", head.seed(salt), 1 << 30)
    data[free * BLOCK : (free + 1) * BLOCK] = block
    data[used * BLOCK + LIMIT - 900 : used * BLOCK + LIMIT - 100] = b"x" * 800
    (home / "0").write_bytes(data)
    (home / "1.new").write_bytes(b"\0" * 1_000)
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == ["before"]
    assert leftover.damages == 0
    finish(reader)
    assert list(tmp_path.iterdir()) == []


# -- the ledger's account of the dead ---------------------------------------------------------------------------------


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
    leftover.keep(Counts(5, Losses({"rejected": 1})))
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
    leftover.settle(len(batch_from(leftover, 5, 10**9)))
    leftover.note()
    leftover.keep(Counts(5))
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
