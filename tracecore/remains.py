"""The files of a home whose process is gone: the blocks that were in use, what cannot be read, and the end of it all.

Files are read, never mapped: a disk that fails raises here and does not end the program. They are not written to: how
far they have been delivered is noted in the owner's file. Nothing is touched but that, and what has the name of a
segment: the home may hold what is somebody else's.

What cannot be read is a damage, and is stepped over. A segment in which there is one is kept aside for a person in the
end, and so is one that holds what only another version can read. What only cannot be read now, for want of descriptors
or memory, is no damage.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from tracecore.blocks import BLOCK, FIRST, HEADER, LIMIT, Frame, Head, end_of_rest, frames
from tracecore.files import Files
from tracecore.owners import OWNER, Mark, Note, salt_of
from tracecore.segments import DAMAGED, SEGMENT, UNFINISHED, is_segment

__all__ = ["OldBlock", "Remains"]

_TAIL_BYTES: Final = BLOCK - LIMIT
_NOT_DAMAGED: Final = -1
"""Stands for the place of a damage where a segment is only to be kept."""
_FOR_NOW: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN, errno.EACCES, errno.EPERM}
)
"""Errors that say nothing of what is in a file: there is no more of something at the moment, or it is forbidden."""


class OldBlock:
    """Hold a block that was in use when its process ended: where it is, and how far it was delivered."""

    __slots__ = ("delivered", "filled", "is_rest", "lane", "path", "seed", "sequence", "start")

    def __init__(self, path: Path, start: int, head: Head, salt: int, *, is_rest: bool) -> None:
        self.path = path
        self.start = start
        self.lane = head.lane
        self.sequence = head.sequence
        self.seed = head.seed(salt)
        self.delivered = head.delivered
        self.is_rest = is_rest
        """Whether nothing is in it but the rest of a body, for all that is known."""
        self.filled = False
        """Whether its lane went on after it, with more than that."""


Found: TypeAlias = tuple[tuple[int, int], OldBlock]
"""A block, behind the lane and the number of its use."""


class Remains:
    """Find what is in a home, give it up block by block, and remove the home."""

    def __init__(self, home: Path, files: Files, note: Note) -> None:
        """Find the blocks that are in use, each lane's in the order in which they were written.

        What a ``note`` says has been delivered is passed over.

        Raises:
            OSError: the home cannot be read, or not now.
        """
        self.home = home
        self._files = files
        self._damages: set[tuple[Path, int]] = set()
        """Which segments could not be read, and where."""
        self._aside: set[Path] = set()
        """Which are to be kept: those, and what holds other pieces of a body that could not be read."""
        for name, offset in note.damages:
            self._note_damage(home / name, offset)
        found: dict[tuple[int, int], OldBlock] = {}
        for name in filter(is_segment, files.names(home)):
            if not name.endswith(UNFINISHED):
                for use, block in self._found_in(home / name):
                    if found.setdefault(use, block) is not block:  # the disk has put one in the place of another
                        self._note_damage(block.path, block.start)
        self.blocks: deque[OldBlock] = deque()
        """Those that have not been delivered as a whole, as far as is known."""
        filled: dict[int, bool] = {}
        for (lane, sequence), block in sorted(found.items(), key=lambda entry: entry[0], reverse=True):
            block.filled = filled.get(lane, False)
            filled[lane] = block.filled or not block.is_rest
            delivered = note.delivered(lane, sequence, block.delivered)
            if delivered is not None:
                block.delivered = delivered
                self.blocks.appendleft(block)

    @property
    def damages(self) -> int:
        """Return how many stretches could not be read: each held a record or more."""
        return sum(offset != _NOT_DAMAGED for _, offset in self._damages)

    def noted_damages(self, most: int) -> tuple[tuple[str, int], ...]:
        """Return up to so many of them, for whoever comes after this process."""
        return tuple((path.name, offset) for path, offset in sorted(self._damages)[:most])

    @property
    def aside(self) -> Path:
        """Return where segments are kept in which something could not be read."""
        return self.home.parent / DAMAGED

    def note_lost(self, passed: list[tuple[OldBlock, int]]) -> None:
        """Count a body, or a stretch, that could not be read, by the blocks that it was in, and up to where."""
        block, end = passed[-1]
        self._note_damage(block.path, block.start + end)
        self._aside.update(block.path for block, _ in passed)

    def keep_aside(self, block: OldBlock) -> None:
        """Keep the segment of a block, in which something is whole that this version cannot read."""
        self._note_damage(block.path, _NOT_DAMAGED)

    def waiting(self, block: OldBlock, start: int) -> Iterator[Frame]:
        """Read the frames from ``start`` on; a block that the disk does not give is one damaged stretch.

        Raises:
            OSError: it cannot be read now.
        """
        if start >= LIMIT:
            return
        try:
            data = self._read(block.path, block.start)
        except OSError as error:
            if error.errno in _FOR_NOW:
                raise
            yield Frame(LIMIT, 0, None)
            return
        yield from frames(data, start, min(len(data), LIMIT), block.seed, filled=block.filled)

    def give_up(self, last: OldBlock, end: int) -> Mark:
        """Pass over everything before ``end`` of a block, and all blocks before it: it has been delivered."""
        last.delivered = end
        while self.blocks[0] is not last:
            self.blocks.popleft()
        return Mark(last.lane, last.sequence, end)

    def remove(self) -> None:
        """Remove the home, keeping aside the segments in which something could not be read.

        Raises:
            OSError: that is not possible.
        """
        for path in sorted(self._aside):
            self._files.make_directory(self.aside)
            self._files.rename(path, self.aside / f"{self.home.name}-{path.name}")
        for name in filter(is_segment, self._files.names(self.home)):
            self._files.remove(self.home / name)
        self._files.remove(self.home / OWNER)
        self._files.remove_directory(self.home)

    def _found_in(self, path: Path) -> list[Found]:
        """Return the blocks of a segment that are in use; a segment that cannot be opened is damaged as a whole."""
        try:
            descriptor = self._files.open(path)
        except OSError as error:
            if error.errno in _FOR_NOW:
                raise
            self._note_damage(path, 0)
            return []
        try:
            if self._files.size(descriptor) < SEGMENT:
                self._note_damage(path, SEGMENT)
            return self._found_at(path, descriptor)
        finally:
            self._files.close(descriptor)

    def _found_at(self, path: Path, descriptor: int) -> list[Found]:
        found: list[Found] = []
        salt = salt_of(self.home.name)
        for start in range(0, SEGMENT, BLOCK):
            first = self._few(path, descriptor, start, FIRST + HEADER)
            last = self._few(path, descriptor, start + LIMIT, _TAIL_BYTES)
            head = Head.read(first, last, salt)
            if head is not None:
                is_rest = self._is_rest(path, descriptor, start, end_of_rest(first))
                found.append(((head.lane, head.sequence), OldBlock(path, start, head, salt, is_rest=is_rest)))
            elif any(first[:FIRST]) or any(last):
                self._note_damage(path, start)
        return found

    def _is_rest(self, path: Path, descriptor: int, start: int, end: int | None) -> bool:
        """Return whether nothing comes after the rest of a body, which ends there."""
        return end is not None and (end + HEADER > LIMIT or not any(self._few(path, descriptor, start + end, HEADER)))

    def _few(self, path: Path, descriptor: int, offset: int, size: int) -> bytes:
        """Return a few bytes of a block, its head or its tail; nothing where the disk does not give them."""
        try:
            return self._files.read(descriptor, size, offset)
        except OSError as error:
            if error.errno in _FOR_NOW:
                raise
            self._note_damage(path, offset)
            return b""

    def _note_damage(self, path: Path, offset: int) -> None:
        """Count a damage; however often it is met, it is one."""
        self._damages.add((path, offset))
        self._aside.add(path)

    def _read(self, path: Path, start: int) -> bytes:
        descriptor = self._files.open(path)
        try:
            return self._files.read(descriptor, BLOCK, start)
        finally:
            self._files.close(descriptor)
