"""Every call on files may fail: the program never sees it, nothing that was accepted is lost, and accounts balance."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ManualClock
from tests.journals import (
    MEGABYTE,
    ORIGIN,
    all_of,
    batch_from,
    begun,
    delivered_from,
    emitter,
    in_thread,
    name_of,
    recovered_from,
    set_aside_in,
    span_for,
)
from tests.torture.declaring import MODE, by_mode, torture
from tracecore import files as files_module
from tracecore.files import Files
from tracecore.journal import Journal, StrictJournal
from tracecore.journal_lane import JournalLane, Kept
from tracecore.records import LedgerEntry, Span
from tracecore.segments import SEGMENT

CALLS = [name for name in vars(Files) if not name.startswith("_") and name != "close"]
"""Everything that may fail; closing never does."""
ENTRY = LedgerEntry(ORIGIN.project, "first", 0)


class Faulty(Files):
    """Files of which the ``nth`` call fails, and with ``for_good`` every later one.

    Reading the heads of one segment is a hundred calls alike; of those only some are counted, unless every one is.
    """

    def __init__(self, nth: int, error: int, *, for_good: bool = False) -> None:
        self.nth = nth
        self.error = error
        self.for_good = for_good
        self.counted = 0
        self.failed: list[str] = []
        self.made: Counter[str] = Counter()


def _failing(name: str) -> Callable[..., Any]:
    def call(self: Faulty, *arguments: Any) -> Any:
        self.made[name] += 1
        self.counted += name != "read" or self.made[name] < 3 or self.made[name] % by_mode(37, full=1) == 0
        if self.counted == self.nth if not self.for_good else self.counted >= self.nth:
            if not self.for_good:
                self.nth = -1
            self.failed.append(name)
            if name == "write":  # torn: a part of it is there
                descriptor, data, offset = arguments
                Files.write(self, descriptor, data[: len(data) // 2], offset)
            raise OSError(self.error, os.strerror(self.error))
        return getattr(Files, name)(self, *arguments)

    return call


for _name in CALLS:
    setattr(Faulty, _name, _failing(_name))


class Run:
    """Let one process live on faulty files, with what two dead ones left, and account for every record."""

    def __init__(self, directory: Path, files: Files, **settings: Any) -> None:
        self.directory = directory
        self.emitted: list[str] = []
        self.refused: list[str] = []
        self.settled: list[str] = []
        self.recovered: list[str] = []
        self.left_before = self._leave_something()
        self.clock = ManualClock()
        self.journal = begun(
            directory,
            "faulty",
            items=10,
            files=files,
            clock=self.clock,
            on_loss=lambda item, counter: self.refused.append(item.name),
            **settings,
        )

    def _leave_something(self) -> list[str]:
        """Let two processes leave records in their files."""
        left: list[str] = []
        for process in ("dead-1", "dead-2"):
            journal = begun(self.directory, process)
            for number in range(8):
                left.append(f"{process}.{number}")
                span_for(journal, left[-1], 30_000 * (number % 4)).end()
            journal.end()
        return left

    def live(self) -> None:
        """Emit, keep house, deliver in part, adopt, let threads end and give room back."""
        for _ in range(3):
            self.emit(3, 200)
            self.emit(24, 200_000)
            in_thread(lambda: self.emit(2, 70_000))
            self.pause()
            self.deliver(5)
            self.journal.rewind()
            self.deliver(20)
            self.pause()
        self.deliver(10**6)
        self.pause()
        self.emit(4, 60_000)
        self.deliver(2)

    def emit(self, count: int, size: int) -> None:
        """Emit some spans."""
        for _ in range(count):
            self.emitted.append(f"{len(self.emitted)}")
            span_for(self.journal, self.emitted[-1], size).end()

    def pause(self) -> None:
        """Let time pass and the journal keep house, as the pump does."""
        self.clock.advance(6)
        self.journal.housekeep(self.clock())
        self.journal.farewells.clear()
        self.journal.keep(lambda: ENTRY)

    def deliver(self, items: int) -> None:
        """Deliver up to so many items of every lane, half of them in a step of its own."""
        for lane in self.journal.lanes():
            into = self.settled if isinstance(lane, JournalLane) else self.recovered
            names = [name_of(item) for item in batch_from(lane, items, 10**9)]
            lane.settle(len(names) // 2)
            lane.note()
            lane.settle(len(names) - len(names) // 2)
            lane.note()
            into += names

    def finish(self) -> None:
        """End the process and see where everything is."""
        totals = self.journal.totals()
        assert totals["accepted"] + totals["full"] == len(self.emitted)
        assert totals["full"] == len(self.refused)
        assert totals["settled"] == len(self.settled) == len(set(self.settled))
        assert len(self.recovered) == len(set(self.recovered)), "nothing is recovered twice by one process"
        self.journal.rewind()
        lanes = [lane for lane in self.journal.lanes() if isinstance(lane, JournalLane)]
        waiting = [item for lane in lanes for item in lane.take(999, 10**9)]
        owed = [name_of(item) for item in waiting if isinstance(item, Kept)]
        memory = [name_of(item) for item in waiting if not isinstance(item, Kept)]
        assert sorted([*self.settled, *self.refused, *owed, *memory]) == sorted(self.emitted)
        assert self.journal.left == len(owed)
        self.journal.closed = True
        self.journal.end()
        found = [*recovered_from(self.directory), *set_aside_in(self.directory)]
        assert set(owed) <= set(found), "what was accepted into files is there"
        assert not set(self.settled) & set(found), "what was delivered is not delivered again"
        assert set(self.left_before) <= {*self.recovered, *found}, "what was found is recovered or still there"
        self.repeated = set(self.recovered) & set(found)
        assert set(found) <= {*owed, *self.left_before}


ERRORS = [errno.EIO, errno.ENOSPC, errno.EACCES, errno.ENOLCK, errno.EINTR, errno.EMFILE]


@torture("T10", "the n-th call on the journal's files fails")
@pytest.mark.parametrize(
    ("error", "sync"),
    [(error, "none") for error in ERRORS] + [(error, "always") for error in by_mode(ERRORS[:1], full=ERRORS[:2])],
)
def test_any_call_may_fail(tmp_path: Path, error: int, sync: str) -> None:
    """Whichever call fails, once: nothing is raised, lost or miscounted, and the journal goes on."""
    failed: Counter[str] = Counter()
    nth = by_mode(ERRORS.index(error) % 5, full=0)
    while True:
        nth += by_mode(5 if sync == "none" else 13, full=1)
        files = Faulty(nth, error)
        run = Run(tmp_path / f"{nth}", files, kind=StrictJournal, sync=sync)
        run.live()
        run.finish()
        shutil.rmtree(tmp_path / f"{nth}")
        if not files.failed:
            assert run.repeated == set()
            break
        failed.update(files.failed)
    assert set(CALLS) - set(files.made) <= {"sync", "sync_directory"}, "every kind of call is made"
    assert MODE.full <= (set(failed) == set(files.made)), f"every kind of call has failed: {failed}"
    assert len(failed) > 5


@torture("T10", "the journal's files fail from the n-th call on")
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_all_calls_may_fail(tmp_path: Path, error: int) -> None:
    """From whichever call on all of them fail: records go into what is mapped, and then into memory; none is lost."""
    nth = 0
    while True:
        nth += by_mode(13, full=1)
        files = Faulty(nth, error, for_good=True)
        run = Run(tmp_path / f"{nth}", files)
        run.live()
        run.finish()
        shutil.rmtree(tmp_path / f"{nth}")
        if not files.failed:
            break
    assert nth > 50


def test_short_reads_and_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes and gives a few bytes at a time costs nothing but time."""
    pread, pwrite = os.pread, os.pwrite

    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: pread(descriptor, min(size, 1_000), offset))
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, data[:30_000], offset))
    monkeypatch.setattr(files_module, "_fallocate", refuse)
    run = Run(tmp_path / "journal", Files())
    run.live()
    run.finish()
    assert run.repeated == set()
    assert list((tmp_path / "journal").iterdir()) == []


# -- directories that are not as they should be -----------------------------------------------------------------------


def in_use(directory: Path) -> tuple[Journal, Callable[..., None], ManualClock]:
    """Return a journal, what emits into it, and its clock."""
    clock = ManualClock()
    journal = begun(directory, clock=clock, most_bytes=4 * SEGMENT)
    return journal, emitter(journal), clock


def keep_house(journal: Journal, clock: ManualClock) -> None:
    """Let ten seconds pass."""
    clock.advance(10)
    journal.housekeep(clock())


not_for_root = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")


class ReadOnly(Files):
    """What a directory in which nothing may be made or removed answers, to root too."""

    forbids = True

    def make_directory(self, path: Path) -> None:
        """Refuse to make one that is not there."""
        if self.forbids and not path.is_dir():
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        super().make_directory(path)

    def create(self, path: Path) -> int:
        """Refuse."""
        if self.forbids:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return super().create(path)

    def remove(self, path: Path) -> None:
        """Refuse."""
        if self.forbids:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        super().remove(path)


def test_a_directory_that_becomes_read_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is mapped is used up, then memory, with one warning that names the directory; then it goes on."""
    clock = ManualClock()
    files = ReadOnly()
    files.forbids = False
    journal = begun(tmp_path, clock=clock, files=files)
    emit = emitter(journal)
    emit("before")
    files.forbids = True
    names = [f"{number}" for number in range(30)]
    for name in names:
        emit(name, 200_000)
        keep_house(journal, clock)
    (lane,) = journal.lanes()
    assert isinstance(lane, JournalLane)
    assert lane.depth > 0
    assert lane.kept > 15
    warnings = [record.getMessage() for record in caplog.records]
    assert len([line for line in warnings if "cannot use its journal" in line]) == 4, "once a minute"
    assert all(str(tmp_path) in line and "Read-only file system" in line for line in warnings)
    assert sorted(all_of(journal)) == sorted(["before", *names])
    files.forbids = False
    keep_house(journal, clock)
    emit("afterwards", 200_000)
    assert (journal.trouble, journal.left) == (None, 1)
    all_of(journal)
    journal.closed = True
    journal.end()
    assert list(tmp_path.iterdir()) == []


def test_who_asks_again_and_again_does_not_put_off_the_next_try(tmp_path: Path) -> None:
    """A program that emits what finds no room, more often than the journal tries again, does not keep it from that."""
    clock = ManualClock()
    files = ReadOnly()
    files.forbids = False
    journal = begun(tmp_path, clock=clock, files=files)
    emit = emitter(journal)
    for _ in range(20):
        emit("fills", 200_000)
    files.forbids = True
    for number in range(60):
        files.forbids = number < 20
        emit(f"{number}", 300_000)
        clock.advance(0.5)
        journal.housekeep(clock())
    (lane,) = journal.lanes()
    assert isinstance(lane, JournalLane)
    assert lane.framed >= 20 + 35
    all_of(journal)
    journal.closed = True
    journal.end()


def test_a_directory_that_was_read_only_at_the_start(tmp_path: Path) -> None:
    """The program begins in memory, and the journal when it can."""
    clock = ManualClock()
    files = ReadOnly()
    journal = begun(tmp_path / "journal", clock=clock, files=files)
    emit = emitter(journal)
    emit("a")
    assert "Read-only file system" in str(journal.trouble)
    assert not (tmp_path / "journal").exists()
    files.forbids = False
    keep_house(journal, clock)
    emit("b")
    assert journal.left == 1
    assert all_of(journal) == ["b", "a"]
    journal.closed = True
    journal.end()


@not_for_root
def test_permissions_that_are_taken_away(tmp_path: Path) -> None:
    """A directory that may not be entered any more costs nothing of what is mapped."""
    journal, emit, clock = in_use(tmp_path / "journal")
    emit("a", 100_000)
    (tmp_path / "journal").chmod(0)
    for number in range(30):
        emit(f"{number}", 200_000)
        keep_house(journal, clock)
    (tmp_path / "journal").chmod(0o700)
    assert sorted(all_of(journal)) == sorted(["a", *map(str, range(30))])
    journal.closed = True
    journal.end()


def test_everything_is_removed_at_any_moment(tmp_path: Path) -> None:
    """Whenever somebody removes the directory, or a part of it, nothing that was accepted is lost while we live."""
    for number, removed in enumerate(("journal", "journal/home", "journal/home/0", "journal/home/owner")):
        directory = tmp_path / f"{number}" / "journal"
        journal, emit, clock = in_use(directory)
        emit("a", 100_000)
        (home,) = directory.iterdir()
        victim = tmp_path / f"{number}" / removed.replace("home", home.name)
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
        names = [f"{n}" for n in range(30)]
        for name in names[:15]:
            emit(name, 200_000)
        keep_house(journal, clock)
        for name in names[15:]:
            emit(name, 200_000)
        assert sorted(all_of(journal)) == sorted(["a", *names])
        keep_house(journal, clock)
        emit("b", 100_000)
        assert all_of(journal) == ["b"]
        journal.closed = True
        journal.end()
        assert recovered_from(directory) == []


def test_a_link_to_a_directory_is_a_directory(tmp_path: Path) -> None:
    """The journal's directory itself may be a link to somewhere else."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    journal, emit, _ = in_use(tmp_path / "link")
    emit("a")
    journal.end()
    assert len(list((tmp_path / "real").iterdir())) == 1
    assert recovered_from(tmp_path / "real") == ["a"]


def test_links_inside_are_not_followed(tmp_path: Path) -> None:
    """A home, an owner's file or a segment that is a link leads nowhere: nothing outside is read, locked or removed."""
    elsewhere = tmp_path / "elsewhere"
    journal, emit, _ = in_use(elsewhere)
    emit("not yours")
    journal.end()
    (home,) = elsewhere.iterdir()
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    directory = tmp_path / "journal"
    directory.mkdir()
    (directory / home.name).symlink_to(home)
    owned = directory / "77-a"
    owned.mkdir()
    (owned / "owner").symlink_to(home / "owner")
    linked = directory / "78-b"
    linked.mkdir()
    (linked / "owner").write_bytes((home / "owner").read_bytes())
    (linked / "0").symlink_to(home / "0")
    assert recovered_from(directory) == []
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    assert recovered_from(elsewhere) == ["not yours"]


def test_a_directory_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """Whatever lies beside the homes, or in one of them, stays as it is: empty directories too, and odd files."""
    journal, emit, clock = in_use(tmp_path)
    emit("a")
    journal.end()
    (home,) = tmp_path.iterdir()
    (home / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "owner").write_text("somebody")
    (tmp_path / "data" / "0").write_text("important")
    (tmp_path / "4711").write_text("a file")
    (tmp_path / "12-file").write_text("a file with the name of a home")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"\xff\xfe")).mkdir()
    (tmp_path / "damaged").mkdir()
    before = sorted(path for path in tmp_path.rglob("*") if path.parent != home)
    assert recovered_from(tmp_path) == ["a"]
    assert recovered_from(tmp_path) == []
    assert sorted(path for path in tmp_path.rglob("*") if path.parent != home) == before
    assert [path.name for path in home.iterdir()] == ["notes.txt"]
    assert (tmp_path / "data" / "0").read_text() == "important"
    keep_house(journal, clock)


def test_a_segment_that_is_no_file(tmp_path: Path) -> None:
    """A directory or a pipe in the place of a segment is damage; what is beside it is recovered."""
    journal, emit, _ = in_use(tmp_path)
    emit("a")
    journal.end()
    (home,) = tmp_path.iterdir()
    (home / "1").mkdir()
    os.mkfifo(home / "2")
    assert recovered_from(tmp_path) == ["a"]
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == [f"{home.name}-1", f"{home.name}-2"]
    assert not home.exists()


def test_the_space_of_the_disk_is_never_exceeded(tmp_path: Path) -> None:
    """Whatever fails, the files of one process are never more than it may have."""
    most = 3

    class Watching(Faulty):
        """Look at what is there after each call."""

    files = Watching(10**9, errno.EIO)
    for nth in range(1, 60, by_mode(9, full=1)):
        files = Watching(nth, errno.EIO)
        journal = begun(tmp_path / f"{nth}", files=files, most_bytes=most * SEGMENT, items=100)
        clock = ManualClock()
        for number in range(100):
            span_for(journal, f"{number}", 300_000).end()
            if number % 10 == 0:
                clock.advance(2)
                journal.housekeep(clock())
            found = [path for path in (tmp_path / f"{nth}").rglob("*") if path.is_file() and path.name != "owner"]
            assert sum(path.stat().st_size for path in found) <= most * SEGMENT
        for lane in journal.lanes():
            delivered_from(lane)
        journal.closed = True
        journal.end()
        shutil.rmtree(tmp_path / f"{nth}", ignore_errors=True)


def test_spans_are_kept_whole_beside_a_failing_disk(tmp_path: Path) -> None:
    """A record is what it was, in files or in memory, whatever its size and wherever the disk failed."""
    files = Faulty(12, errno.ENOSPC, for_good=True)
    journal = begun(tmp_path, files=files, size=1000 * MEGABYTE)
    sizes = [10, 6_000, 70_000, 1_000_000, 3_000_000, 5_000_000, 20]
    for size in sizes:
        span_for(journal, f"{size}", size).end()
    (lane,) = journal.lanes()
    items = lane.take(100, 10**9)
    assert sorted(name_of(item) for item in items) == sorted(map(str, sizes))
    assert all(isinstance(item.seal(), Span) for item in items)
    lane.settle(len(items))
    journal.closed = True
    journal.end()
