"""Directories that are not as they should be: closed, removed, linked, or somebody else's."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import ManualClock
from tests.journals import (
    all_of,
    batch_from,
    begun,
    emitter,
    recovered_from,
    said,
)
from tracecore.files import Files
from tracecore.journal import Journal
from tracecore.journal_lane import JournalLane
from tracecore.records import LedgerEntry
from tracecore.segments import SEGMENT


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


def test_what_is_emitted_after_a_removal_outlives_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that was removed, or a directory that has another name, is noticed; then everything goes elsewhere."""
    for number, what in enumerate(("segment", "directory", "home", "moved owner")):
        directory = tmp_path / f"{number}" / "journal"
        journal, emit, clock = in_use(directory)
        emit("before")
        (home,) = directory.iterdir()
        if what == "segment":
            (home / "0").unlink()
        elif what == "moved owner":
            (home / "owner").rename(home / "other")
        else:
            moved = directory if what == "directory" else home
            moved.rename(tmp_path / f"{number}" / "moved")
        keep_house(journal, clock)
        emit("after", 10)
        emit("more", 100_000)
        assert journal.level == "accepted", what
        assert journal.left == (0 if what == "segment" else 2), what
        if what == "segment":
            (lane,) = journal.lanes()
            lane.settle(len(batch_from(lane, 1, 10**9)))
            assert (journal.left, journal.level) == (2, "handed_over")
        journal.end()
        assert recovered_from(directory)[-2:] == ["after", "more"], what
    assert [text for text in said(caplog) if "removed" in text] != []


def test_a_number_that_another_file_has_now(tmp_path: Path) -> None:
    """A program that closes all descriptors, and opens files of its own, finds in them what it has written itself."""
    journal, emit, clock = in_use(tmp_path / "journal")
    emit("before")
    home = journal._home
    assert home is not None
    descriptor = home.owner._descriptor
    assert descriptor is not None
    os.close(descriptor)
    mine = os.open(tmp_path / "mine", os.O_RDWR | os.O_CREAT)
    assert mine == descriptor, "the lowest that is free"
    os.write(mine, b"mine")
    journal.keep(lambda: LedgerEntry("project", "first", 0, emitted=1, waiting=1))
    keep_house(journal, clock)
    emit("after")
    journal.keep(lambda: LedgerEntry("project", "first", 0, emitted=2, waiting=2))
    journal.end()
    assert os.pread(mine, 99, 0) == b"mine"
    os.close(mine)
    assert recovered_from(tmp_path / "journal")[-1] == "after"


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
