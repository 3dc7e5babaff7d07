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
    batch_from,
    begun,
    delivered_from,
    in_thread,
    name_of,
    recovered_from,
    set_aside_in,
    span_for,
)
from tests.torture.declaring import MODE, by_mode, torture
from tracecore import files as files_module
from tracecore.files import Files
from tracecore.journal_lane import JournalLane, Kept
from tracecore.records import LedgerEntry, Span
from tracecore.segments import SEGMENT
from tracecore.strict_journal import StrictJournal

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
    rare = {"sync", "sync_directory", "is_locked"}  # of one way to work, and where somebody else has a home
    assert set(CALLS) - set(files.made) <= rare, "every other kind of call is made"
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
