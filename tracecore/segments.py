"""The files of one process's journal: a home directory with an owner's file and segments, cut into blocks.

::

    tracecore-journal/           shared by every process of a service
      4711-9f3a5c…/              the home of one recorder in one process: its pid, and its id as the salt
        owner                    held locked while the process lives; says what its spans have in common
        0  1  2 …                segments: 64 blocks of 64 KiB each, reserved on the disk before they are mapped
      damaged/                   segments in which something could not be read, kept for a person

A home is made under another name (``….new``) and renamed once it is locked, a segment once it has its full size: nobody
meets one that is half made, and one that is too short was cut. Blocks are used again, the latest freed first, so that a
journal whose backend keeps up touches the same few pages for ever. Taking and giving back a block are single steps of a
deque: no producer waits for another thread, least of all for one that is talking to the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import re
from collections import Counter, deque
from collections.abc import Generator, Iterator
from itertools import repeat, starmap
from pathlib import Path
from typing import Final

from tracecore.blocks import BLOCK, FIRST, LIMIT, Frame, Head, frames, write_frame
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.owners import OWNER, Owner, salt_of

__all__ = [
    "BUSY",
    "DAMAGED",
    "SEGMENT",
    "UNFINISHED",
    "Block",
    "Home",
    "Segment",
    "is_home",
    "is_segment",
    "no_block",
]

SEGMENT: Final = 64 * BLOCK
"""Bytes of a segment: 4 MiB."""
DAMAGED: Final = "damaged"
UNFINISHED: Final = ".new"
_HOME_NAME: Final = re.compile(r"[0-9]+-[\w-]+(\.new)?", re.ASCII)
_SEGMENT_NAME: Final = re.compile(r"[0-9]+(\.new)?")
_AHEAD: Final = 32
"""Blocks that should be free: at a gigabyte a second, what is written in the time the pump may take to wake."""
_SEGMENTS_KEPT: Final = 2
_AT_HAND: Final = _SEGMENTS_KEPT * (SEGMENT // BLOCK)
"""Blocks that are free and may stay in memory: a program whose backend keeps up uses the same few again and again."""
BUSY: Final = 1 << 20
"""More than any block holds."""


class Block:
    """Hold one block of a segment, and how far its lane has written and the pump has read and delivered it."""

    __slots__ = ("cold", "delivered", "limit", "seed", "segment", "sequence", "start", "taken", "view", "written")

    def __init__(self, segment: Segment | None, view: memoryview, start: int = 0) -> None:
        self.segment = segment
        self.view = view
        self.start = start
        """Where in the segment it begins."""
        self.limit = LIMIT
        """Where a frame may end: nowhere, once the files have been removed. Whoever leaves the home sets it."""
        self.cold = False
        """Whether it was left to the system to hold it in memory."""
        self.sequence = self.seed = 0
        """Number this use of the block, and begin its checksums."""
        self.written = LIMIT
        """Where the next frame begins; :data:`BUSY` while one is written. The producer's; the rest is the pump's."""
        self.taken = LIMIT
        self.delivered = LIMIT

    def begin(self, lane: int, sequence: int, salt: int) -> None:
        """Give the block to a lane."""
        head = Head(lane, sequence)
        head.write(self.view, salt)
        self.sequence, self.seed = sequence, head.seed(salt)
        self.cold = False
        self.taken = self.delivered = FIRST
        self.written = FIRST

    def write(self, start: int, piece: bytes, flags: int) -> int:
        """Write a frame that fits; return where it ends."""
        return write_frame(self.view, start, piece, self.seed, flags)

    def waiting(self) -> Iterator[Frame]:
        """Read the frames that have not been handed out, none while one is written; ends count from the first."""
        written = self.written
        found = bytes(self.view[self.taken : written]) if written <= LIMIT else b""
        return frames(found, 0, len(found), self.seed, before=self.taken)

    def cool(self) -> None:
        """Let this process's memory go of what has been written: the file has it, and gives it back when it is read."""
        if self.segment is not None and not self.cold:
            self.cold = True
            self.segment.cool(self.start)

    def clear(self, start: int) -> None:
        """Wipe out what was written from ``start`` on and does not count: whoever reads on would take it for damage."""
        self.view[start:LIMIT] = bytes(LIMIT - start)

    def deliver(self, end: int) -> None:
        """Note that everything before ``end`` has been delivered."""
        self.delivered = end
        self.view[Head.DELIVERED_AT : Head.DELIVERED_AT + 8] = Head.delivered_up_to(end)


def no_block() -> Block:
    """Return what a lane has before its first block: a block without room."""
    return Block(None, memoryview(bytearray()))


class Segment:
    """Hold one mapped file."""

    def __init__(self, files: Files, path: Path, *, keep_descriptor: bool) -> None:
        """Make the file.

        Raises:
            OSError: there is no space, or no right, to do so; nothing stays behind.
        """
        self.path = path
        self.descriptor: int | None = None
        unfinished = path.with_name(path.name + UNFINISHED)
        descriptor = files.create(unfinished)
        try:
            files.reserve(descriptor, SEGMENT)
            self._map = files.map(descriptor, SEGMENT)
            files.rename(unfinished, path)
            if keep_descriptor:
                self.descriptor = descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove(unfinished)
            raise
        finally:
            if self.descriptor is None:
                files.close(descriptor)
        whole = memoryview(self._map)
        self.blocks = [Block(self, whole[start : start + BLOCK], start) for start in range(0, SEGMENT, BLOCK)]

    def cool(self, start: int) -> None:
        """Take a block out of this process's memory, where the system can do so."""
        self._advise("MADV_DONTNEED", start)

    def empty(self, start: int) -> None:
        """Give the space of a block back to the disk, where the system can do so: it reads as zeros from now on."""
        self._advise("MADV_REMOVE", start)

    def let_go(self, files: Files) -> None:
        """Close what is open, and forget the blocks: the map, and the space of a removed file, go with the last one."""
        self.blocks.clear()
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            files.close(descriptor)

    def _advise(self, name: str, start: int) -> None:
        if (advice := getattr(mmap, name, None)) is not None:
            with contextlib.suppress(OSError):  # it is advice, and not every file system can
                self._map.madvise(advice, start, BLOCK)


class Home:
    """Hold the files of one recorder's journal in this process."""

    def __init__(
        self, directory: Path, process: str, origin: Origin, *, most_bytes: int, synced: bool, files: Files
    ) -> None:
        """Make the home and its first segment.

        Raises:
            OSError: that is not possible.
        """
        self.path = directory / f"{os.getpid()}-{process}"
        self.salt = salt_of(self.path.name)
        self.free: deque[Block] = deque()
        self.segments: list[Segment] = []
        self.may_grow = True
        """Whether producers who find no free block add a segment themselves; not so while the disk gives none."""
        self._is_left = False
        self.is_lost = False
        """Whether somebody has removed the files: no other process will find what is in them."""
        self.has_gaps = False
        """Whether that is so of some of them."""
        self._files = files
        self._synced = synced
        self._permits = deque(range(max(1, most_bytes // SEGMENT)))
        self._numbers = itertools.count()
        self._uses = itertools.count(1)
        unfinished = self.path.with_name(self.path.name + UNFINISHED)
        self._files.make_directory(directory)
        self._files.make_directory(unfinished)
        with self._discarding(unfinished):
            self.owner = Owner.create(files, unfinished / OWNER, origin, self.salt)
        with self._discarding(unfinished, self.path):
            self._move_in(directory, unfinished)
            self.grow()

    def block(self, lane: int) -> Block | None:
        """Return a block for a lane; None where there is no more room.

        Raises:
            OSError: there would be, but the disk does not give it.
        """
        try:
            block = self.free.pop()
        except IndexError:
            return self.block(lane) if self.may_grow and self.grow() else None
        block.begin(lane, next(self._uses), self.salt)
        return block

    def give_back(self, blocks: deque[Block]) -> None:
        """Take the first of a lane's blocks back: all in it is delivered. One of a home that was left is forgotten.

        Whoever does so may end between any two steps, and somebody else does it once more: the block is on one list or
        on the other.
        """
        block = blocks[0]
        Head.erase(block.view)
        if len(self.free) >= _AT_HAND:  # of a backlog: so many are not needed soon
            block.cool()
        if block.segment in self.segments:
            self.free.extend(starmap(blocks.popleft, repeat((), 1)))  # one step
        else:
            blocks.popleft()

    @property
    def is_short(self) -> bool:
        """Return whether a segment should be added before somebody needs it."""
        return len(self.free) < _AHEAD and bool(self._permits)

    def grow(self) -> bool:
        """Add a segment; return False where the journal has its full size.

        Raises:
            OSError: the disk does not give it.
        """
        try:
            permit = self._permits.pop()
        except IndexError:
            return False
        try:
            segment = Segment(self._files, self.path / str(next(self._numbers)), keep_descriptor=self._synced)
        except BaseException:
            self._permits.append(permit)
            raise
        self.segments.append(segment)
        self.free.extend(segment.blocks)
        if self._is_left:  # meanwhile: whoever did so may have come before this one
            self.leave()
            return False
        if self._synced:
            self._files.sync_directory(self.path)
        return True

    def shrink(self) -> bool:
        """Remove one segment of which no block is in use, while there are more than two; return whether it did so.

        Raises:
            OSError: that is not possible.
        """
        if len(self.segments) <= _SEGMENTS_KEPT:
            return False
        unused = Counter(block.segment for block in list(self.free))
        spare = next((segment for segment, count in unused.items() if segment and count == len(segment.blocks)), None)
        return spare is not None and self._give_up(spare)

    def _give_up(self, segment: Segment) -> bool:
        """Remove a segment, unless a producer takes one of its blocks meanwhile."""
        withdrawn = [block for block in segment.blocks if self._withdraw(block)]
        gone = False
        try:
            if len(withdrawn) == len(segment.blocks):
                self._files.remove(segment.path)
                gone = True
        finally:
            if not gone:
                self.free.extendleft(withdrawn)
        if gone:
            self._part_with(segment)
        return gone

    def _withdraw(self, block: Block) -> bool:
        """Take a block out of those that producers may take; return False where one was faster."""
        try:
            self.free.remove(block)
        except ValueError:
            return False
        return True

    def sync_segment(self, segment: Segment) -> None:
        """Bring one segment to the disk.

        Raises:
            OSError: the disk failed.
        """
        descriptor = segment.descriptor
        try:
            if descriptor is not None:
                self._files.sync(descriptor)
        except OSError:
            if segment.descriptor is not None:  # else it was given up meanwhile
                raise

    def is_there(self) -> bool:
        """Return whether the files still have their names, by which the next process would find them.

        Raises:
            OSError: nobody knows.
        """
        return self.owner.is_at(self.path / OWNER)

    def part_with_removed(self) -> int:
        """Leave the segments that somebody has removed alone, as :meth:`give_up` does; return how many those are.

        Raises:
            OSError: nobody knows.
        """
        removed = [segment for segment in list(self.segments) if not self._files.exists(segment.path)]
        for segment in removed:
            self.has_gaps = True
            for block in segment.blocks:
                block.limit = 0
                self._withdraw(block)
            self._part_with(segment)
        return len(removed)

    def _part_with(self, segment: Segment) -> None:
        """Forget a segment whose file is gone; another one may be made in its place."""
        self.segments.remove(segment)
        segment.let_go(self._files)
        self._permits.append(0)

    def remove(self) -> None:
        """Remove everything: it has been delivered.

        Raises:
            OSError: that is not possible.
        """
        self._remove(self.path)
        self.is_lost = True  # whatever is written into it from now on is nowhere

    def give_up(self) -> None:
        """Leave files that somebody has removed; whoever writes into one of them goes elsewhere with the next record.

        Until then, and until it is settled, what is in them is as good as in memory.
        """
        self.is_lost = True
        for block in [block for segment in self.segments for block in segment.blocks]:
            block.limit = 0
        self.leave()

    def give_space_back(self) -> None:
        """Give back to the disk the space of all blocks that nothing is in; nobody gets one of them any more.

        A program that ends while its backend is away would leave the whole 4 MiB of a segment else, each time.
        """
        self.may_grow = False
        with contextlib.suppress(IndexError):
            while True:
                block = self.free.pop()
                if block.segment is not None:
                    block.segment.empty(block.start)

    def leave(self) -> None:
        """Let go of the files and leave them to whoever comes next, or, in a forked child, to the parent."""
        self._is_left = True
        self.free.clear()
        for segment in self.segments:
            segment.let_go(self._files)
        self.segments.clear()
        self.owner.close()

    def _move_in(self, directory: Path, unfinished: Path) -> None:
        self._files.rename(unfinished, self.path)
        if self._synced:
            self.owner.sync()
            self._files.sync_directory(directory)

    @contextlib.contextmanager
    def _discarding(self, *paths: Path) -> Generator[None]:
        """Leave nothing behind of a home that could not be made."""
        try:
            yield
        except BaseException:
            for path in paths:
                with contextlib.suppress(OSError):
                    self._remove(path)
            if hasattr(self, "owner"):
                self.leave()
            raise

    def _remove(self, path: Path) -> None:
        for name in self._files.names(path):
            if is_segment(name):
                self._files.remove(path / name)
        self._files.remove(path / OWNER)
        self._files.remove_directory(path)


def is_home(name: str) -> bool:
    """Return whether this may be the name of a home, finished or not: whatever else is in the directory is not ours."""
    return _HOME_NAME.fullmatch(name) is not None


def is_segment(name: str) -> bool:
    """Return whether this may be the name of a segment, finished or not."""
    return _SEGMENT_NAME.fullmatch(name) is not None
