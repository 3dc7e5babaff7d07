"""The files of a journal: private, reserved, bounded, used again, given back, and gone when nothing is in them."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tests.journals import ORIGIN
from tracecore import files as files_module
from tracecore.blocks import BLOCK, Head
from tracecore.files import Files
from tracecore.owners import Owner
from tracecore.segments import SEGMENT, UNFINISHED, Block, Home, Segment, is_home, is_segment

BLOCKS = SEGMENT // BLOCK


def home_in(directory: Path, *, segments: int = 4, synced: bool = False, files: Files | None = None) -> Home:
    """Return a new home that may have so many segments."""
    return Home(directory, "process", ORIGIN, most_bytes=segments * SEGMENT, synced=synced, files=files or Files())


def names_in(path: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(found.name for found in path.iterdir())


def numbers_in(home: Home) -> list[int]:
    """Return the numbers of the segments that are on the disk."""
    return sorted(int(name) for name in names_in(home.path) if is_segment(name))


def mode_of(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def end(home: Home) -> None:
    """Remove a home."""
    home.remove()
    home.leave()


@pytest.fixture
def umask() -> Any:
    """Let files be as open as their maker allows."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_nobody_else_may_look(tmp_path: Path) -> None:
    """Directories are for their user alone, and so are files, whatever the program's mask is."""
    home = home_in(tmp_path / "above" / "journal")
    assert mode_of(tmp_path / "above" / "journal") == mode_of(home.path) == 0o700
    assert {mode_of(path) for path in home.path.iterdir()} == {0o600}
    end(home)


def test_a_home_says_whose_it_is_and_is_locked(tmp_path: Path) -> None:
    """The name holds pid and process; the owner's file says what the spans have in common, and nobody else gets it."""
    home = home_in(tmp_path)
    assert home.path == tmp_path / f"{os.getpid()}-process"
    assert is_home(home.path.name)
    assert Owner.adopt(Files(), home.path / "owner", home.salt) is None
    home.leave()
    owner = Owner.adopt(Files(), home.path / "owner", home.salt)
    assert owner is not None
    assert owner.origin == ORIGIN
    owner.close()


def test_nothing_half_made_is_left(tmp_path: Path) -> None:
    """A home that is there has its own name, and so do its segments, each of full size and with all of its space."""
    home = home_in(tmp_path)
    home.grow()
    assert names_in(tmp_path) == [home.path.name]
    assert names_in(home.path) == ["0", "1", "owner"]
    for number in "01":
        found = (home.path / number).stat()
        assert found.st_size == SEGMENT
        assert found.st_blocks * 512 >= SEGMENT
    end(home)
    assert names_in(tmp_path) == []


def test_blocks_are_given_out_once_up_to_the_full_size(tmp_path: Path) -> None:
    """Every block of every segment is given to one lane; then there is no more room, and no more files."""
    home = home_in(tmp_path, segments=3)
    found: list[Block] = []
    while (block := home.block(len(found))) is not None:
        found.append(block)
    assert len(found) == len(set(map(id, found))) == 3 * BLOCKS
    assert home.block(1) is None
    assert numbers_in(home) == [0, 1, 2]
    heads = [Head.read(bytes(b.view[:32]), bytes(b.view[-32:]), home.salt) for b in found]
    assert heads == [Head(number, number + 1) for number in range(len(found))], "each use has its own number"
    end(home)


@pytest.mark.parametrize("most_bytes", [1, SEGMENT - 1, SEGMENT, 2 * SEGMENT - 1])
def test_a_journal_of_any_size_has_one_segment(tmp_path: Path, most_bytes: int) -> None:
    """There is one segment however little is allowed, and no second one before there is room for all of it."""
    home = Home(tmp_path, "process", ORIGIN, most_bytes=most_bytes, synced=False, files=Files())
    assert not home.grow()
    assert numbers_in(home) == [0]
    end(home)


def test_the_block_that_was_freed_last_is_used_first(tmp_path: Path) -> None:
    """A journal whose backend keeps up touches the same few pages, and nothing of an earlier use is in them."""
    home = home_in(tmp_path)
    first = home.block(1)
    assert first is not None
    first.written = first.write(first.written, b"{}", 0)
    home.give_back(deque([first]))
    assert not any(first.view[:32])
    assert not any(first.view[-32:])
    again = home.block(2)
    assert again is first
    assert [frame.body for frame in again.waiting()] == []
    assert not any(again.view[32 : BLOCK - 32])
    end(home)


def test_it_says_when_room_becomes_short(tmp_path: Path) -> None:
    """A segment should be added before the last blocks are taken, as long as there may be one more."""
    home = home_in(tmp_path, segments=2)
    assert not home.is_short
    blocks = [home.block(1) for _ in range(BLOCKS // 2 + 1)]
    assert home.is_short
    assert home.grow()
    assert not home.is_short
    blocks += [home.block(1) for _ in range(BLOCKS)]
    assert not home.is_short, "it has its full size"
    assert not home.grow()
    end(home)


def test_a_producer_adds_no_segment_while_the_disk_gives_none(tmp_path: Path) -> None:
    """Whoever finds no free block does not ask a full disk again and again."""
    home = home_in(tmp_path, segments=2)
    for _ in range(BLOCKS):
        home.block(1)
    home.may_grow = False
    assert home.block(1) is None
    assert numbers_in(home) == [0]
    home.may_grow = True
    assert home.block(1) is not None
    end(home)


# -- giving back ------------------------------------------------------------------------------------------------------


def grown(home: Home, segments: int) -> list[Block]:
    """Return the blocks of a home that has grown to so many segments, all of them taken."""
    while len(home.segments) < segments:
        home.grow()
    return [block for block in iter(lambda: home.block(1), None) if block is not None]


def test_segments_that_nobody_needs_are_removed_down_to_two(tmp_path: Path) -> None:
    """What was added for a backlog is given back to the disk, and may be added again."""
    home = home_in(tmp_path, segments=5)
    blocks = grown(home, 5)
    for block in blocks:
        home.give_back(deque([block]))
    gone = [segment for segment in home.segments if home.shrink() and segment]
    assert len(gone) == 3
    assert not home.shrink()
    assert len(home.segments) == len(numbers_in(home)) == 2
    assert len(home.free) == 2 * BLOCKS
    assert len(grown(home, 5)) == 5 * BLOCKS
    assert len(numbers_in(home)) == 5
    end(home)


def test_a_segment_with_one_block_in_use_stays(tmp_path: Path) -> None:
    """Nothing is removed in which a lane still has something."""
    home = home_in(tmp_path)
    blocks = grown(home, 4)
    kept = {segment: next(block for block in blocks if block.segment is segment) for segment in home.segments}
    for block in blocks:
        if kept[block.segment] is not block:  # type: ignore[index]  # every block here has a segment
            home.give_back(deque([block]))
    assert not home.shrink()
    assert len(numbers_in(home)) == 4
    home.give_back(deque([kept[home.segments[2]]]))
    number = home.segments[2].path.name
    assert home.shrink()
    assert number not in names_in(home.path)
    end(home)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what a process has open")
def test_the_space_of_a_removed_segment_is_given_back_at_once(tmp_path: Path) -> None:
    """No map and no descriptor of a removed segment stays until somebody collects garbage."""
    home = home_in(tmp_path, synced=True)
    for block in grown(home, 3):
        home.give_back(deque([block]))
    del block
    before = names_in(Path("/proc/self/fd"))
    assert home.shrink()
    assert len(before) - len(names_in(Path("/proc/self/fd"))) == 2
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert not [line for line in maps if home.path.name in line and line.endswith("(deleted)")]
    end(home)


class _Raced(deque[Block]):
    """Free blocks of which a producer takes one at the very moment at which another is withdrawn."""

    stolen: Block | None = None

    def remove(self, value: Block) -> None:
        """Let a producer be faster once."""
        if self.stolen is None and value.segment is not None:
            self.stolen = value.segment.blocks[9]
            deque.remove(self, self.stolen)
        deque.remove(self, value)


def test_a_producer_may_be_faster_than_who_removes_a_segment(tmp_path: Path) -> None:
    """A segment of which a block was taken meanwhile stays, and so do all of its other blocks."""
    home = home_in(tmp_path, segments=3)
    for block in grown(home, 3):
        home.give_back(deque([block]))
    home.free = _Raced(home.free)
    assert not home.shrink()
    assert len(home.segments) == len(numbers_in(home)) == 3
    assert len(home.free) == 3 * BLOCKS - 1
    assert len(set(map(id, home.free))) == len(home.free)
    stolen = home.free.stolen
    assert stolen is not None
    home.give_back(deque([stolen]))
    assert home.shrink()
    end(home)


def test_a_block_of_a_home_that_was_left_is_not_used_again(tmp_path: Path) -> None:
    """What comes back after the files were let go is dropped."""
    home = home_in(tmp_path)
    block = home.block(1)
    assert block is not None
    home.leave()
    home.give_back(deque([block]))
    assert len(home.free) == 0


# -- the disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_space_is_reserved_also_where_the_system_cannot(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where space cannot be reserved by one call it is written: a store into the map would end the process."""

    def refuse(*_: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(files_module, "_fallocate", refuse)
    home = home_in(tmp_path)
    found = (home.path / "0").stat()
    assert (found.st_size, found.st_blocks * 512 >= SEGMENT) == (SEGMENT, True)
    end(home)


class _Failing(Files):
    """A disk on which one kind of call fails while it is told so."""

    call = ""

    def reserve(self, descriptor: int, size: int) -> None:
        """Fail for want of space."""
        if self.call == "reserve":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().reserve(descriptor, size)

    def remove(self, path: Path) -> None:
        """Fail for want of rights."""
        if self.call == "remove":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        super().remove(path)

    def sync(self, descriptor: int) -> None:
        """Fail for no reason."""
        if self.call == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


def test_a_segment_for_which_there_is_no_space_leaves_nothing(tmp_path: Path) -> None:
    """A full disk is told, costs no permit and no file, and the segment can be added when there is space again."""
    disk = _Failing()
    home = home_in(tmp_path, segments=2, files=disk)
    disk.call = "reserve"
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            home.grow()
    assert names_in(home.path) == ["0", "owner"]
    disk.call = ""
    assert home.grow()
    assert not home.grow()
    end(home)


def test_a_home_for_which_there_is_no_space_leaves_nothing(tmp_path: Path) -> None:
    """A home whose first segment cannot be made is not there, is not locked and can be made later."""
    disk = _Failing()
    disk.call = "reserve"
    with pytest.raises(OSError, match="No space"):
        home_in(tmp_path, files=disk)
    assert names_in(tmp_path) == []
    disk.call = ""
    end(home_in(tmp_path, files=disk))


def test_a_segment_that_cannot_be_removed_stays_in_use(tmp_path: Path) -> None:
    """Where removing fails, the segment's blocks can be taken as before."""
    disk = _Failing()
    home = home_in(tmp_path, files=disk, segments=3)
    for block in grown(home, 3):
        home.give_back(deque([block]))
    disk.call = "remove"
    with pytest.raises(OSError, match="Permission denied"):
        home.shrink()
    assert len(home.free) == 3 * BLOCKS
    disk.call = ""
    assert home.shrink()
    end(home)


def test_syncing_tells_of_a_disk_that_fails(tmp_path: Path) -> None:
    """Descriptors are kept only where there is something to sync, and a failure is told; not one of a segment gone."""
    disk = _Failing()
    home = home_in(tmp_path, files=disk)
    disk.call = "sync"
    home.sync_segment(home.segments[0])
    assert [segment.descriptor for segment in home.segments] == [None]
    disk.call = ""
    end(home)
    home = home_in(tmp_path, synced=True, files=disk)
    segment = home.segments[0]
    home.sync_segment(segment)
    disk.call = "sync"
    with pytest.raises(OSError, match="Input/output"):
        home.sync_segment(segment)
    home.leave()
    home.sync_segment(segment)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1-a", True), ("4711-9f3a5c", True), ("4711-9f3a5c-2", True), ("4711-9f.new", True), ("damaged", False),
        ("4711", False), ("4711-", False), ("-9f", False), ("a-9f", False), ("1-a/b", False), ("1-ä", False),
        ("1-a.db", False), ("backup 1-a", False), ("1-a\n", False), ("", False),
    ],
)  # fmt: skip
def test_what_may_be_a_home(name: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Only what was named by a journal is taken for a home."""
    assert is_home(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("0", True), ("17", True), ("3" + UNFINISHED, True), ("owner", False), ("1a", False), ("", False)],
)  # fmt: skip
def test_what_may_be_a_segment(name: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Only what was named by a home is taken for a segment."""
    assert is_segment(name) is expected


def test_a_segment_exists_under_its_name_or_not_at_all(tmp_path: Path) -> None:
    """A process that dies while it reserves space leaves a file that nobody takes for a segment that was cut."""
    seen: list[list[str]] = []

    class _Watching(Files):
        def reserve(self, descriptor: int, size: int) -> None:
            seen.append(names_in(tmp_path))
            super().reserve(descriptor, size)

    segment = Segment(_Watching(), tmp_path / "7", keep_descriptor=False)
    assert seen == [["7.new"]]
    assert names_in(tmp_path) == ["7"]
    segment.let_go(Files())
