"""What dead processes left in the journal's directory: adopted by one living process, delivered once, and removed.

A home whose owner's file is not locked belongs to nobody that lives. Who locks it first delivers what is in it, block
by block and in the order in which each of its threads wrote, through a lane of its own; what has been delivered is
noted in the file at once, so that an adopter may die too. Files are read, never mapped: a disk that fails raises here
and does not end the program. Nothing is touched but what has the name of a home, and in it of a segment: the directory
may hold what is somebody else's.

Whatever cannot be read is stepped over. A segment in which that happened is left as it is and kept aside for a person,
in ``damaged``. What only cannot be read now, for want of descriptors or memory, is read later.
"""

from __future__ import annotations

import contextlib
import errno
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec.structs import replace

from tracecore.blocks import BLOCK, FIRST, LIMIT, Frame, Head, bodies, frames
from tracecore.clock import wall_ns
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.journal_lane import Kept
from tracecore.loss import Losses
from tracecore.owners import OWNER, Owner, salt_of
from tracecore.records import LedgerEntry
from tracecore.reporting import report
from tracecore.ring import Lane
from tracecore.segments import DAMAGED, SEGMENT, UNFINISHED, is_home, is_segment

__all__ = ["Leftover", "adopt"]

_MINUTE_NS: Final = 60_000_000_000
_NOTHING: Final = bytes(32)
"""A head, or a tail, of a block that is not in use."""
_FOR_NOW: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Errors that say nothing about a file: the process, or the system, has no more of something at the moment."""


class Counted(Protocol):
    """What an account says."""

    @property
    def delivered(self) -> int:
        """Return how many records were delivered."""
        ...

    @property
    def losses(self) -> Losses:
        """Return how many were lost."""
        ...


class _Old:
    """A block that was in use when its process ended."""

    __slots__ = ("files", "path", "seed", "start", "taken")

    def __init__(self, files: Files, path: Path, start: int, head: Head, salt: int) -> None:
        self.files = files
        self.path = path
        self.start = start
        self.seed = head.seed(salt)
        self.taken = head.delivered
        """Up to where it was read, or had been delivered before."""

    def waiting(self) -> Iterator[Frame]:
        """Read the frames that were not handed out; a block that the disk does not give is one damaged stretch.

        Raises:
            OSError: it cannot be read for now.
        """
        if self.taken >= LIMIT:
            return
        try:
            data = _read(self.files, self.path, BLOCK, self.start)
        except OSError as error:
            if error.errno in _FOR_NOW:
                raise
            yield Frame(LIMIT, 0, None)
            return
        yield from frames(data, self.taken, min(len(data), LIMIT), self.seed)

    def deliver(self, end: int) -> None:
        """Note that everything before ``end`` has been delivered."""
        _write(self.files, self.path, Head.delivered_up_to(end), self.start + Head.DELIVERED_AT)

    def erase(self) -> None:
        """Note that all of it has been delivered."""
        _write(self.files, self.path, _NOTHING, self.start)
        _write(self.files, self.path, _NOTHING, self.start + BLOCK - len(_NOTHING))


class Leftover(Lane[Any]):
    """Hand out what one dead process left, as a lane that nobody writes to. It is no part of this process's totals."""

    __slots__ = (
        "_before",
        "_blocks",
        "_damaged",
        "_exhausted",
        "_files",
        "_home",
        "_origin",
        "_owner",
        "_removed",
        "_unread",
        "damages",
        "farewell",
    )

    def __init__(self, home: Path, owner: Owner, fallback: Origin, files: Files) -> None:
        """Find the blocks of a home whose owner's file has been locked.

        Raises:
            OSError: the home cannot be read.
        """
        super().__init__(None)
        self.counted = False
        self.damages = 0
        """Stretches that could not be read: each held a record or more."""
        self._home = home
        self._owner = owner
        self._files = files
        self._damaged: set[Path] = set()
        self._exhausted = False
        self._removed = False
        self.farewell: LedgerEntry | None = None
        """What the ledger is to be told, once everything has been settled."""
        self._origin = owner.origin or fallback
        self._before = owner.entry or _unknown(self._origin.project, home.name)
        self._blocks = deque(self._found(salt_of(home.name)))
        self._unread = self._reading()

    def take(self, max_items: int, max_bytes: int) -> list[Any]:
        """Hand out up to ``max_items`` records, up to ``max_bytes`` in all, but at least one if there is one."""
        if self.items:  # handed out before, to a pump that ended
            return super().take(max_items, max_bytes)
        read: list[Kept] = []
        try:
            self._exhausted = self._read(read, max_items, max_bytes)
        except OSError:  # for now: then from where it stands
            self._unread = self._reading()
        self._hand[2].extend(read)
        self.bytes_taken += sum(kept.size for kept in read)
        return read

    def _read(self, read: list[Kept], max_items: int, max_bytes: int) -> bool:
        """Append what has not been read yet, within bounds; return whether that was all."""
        size = 0
        for body, passed in self._unread:
            for block, end in passed:
                block.taken = end
            block, end = passed[-1]
            if body is None:
                self._note_damage_in(block.path)
                continue
            read.append(Kept(body, len(body), self._origin, block, end))
            size += len(body)
            if len(read) >= max_items or size >= max_bytes:
                return False
        return True

    def _reading(self) -> Iterator[tuple[bytes | None, list[tuple[_Old, int]]]]:
        return bodies(((block, block.waiting()) for block in list(self._blocks)), ended=True)

    def settle(self, count: int) -> None:
        """Forget the first ``count`` of what was handed out, and note in the files that it has been delivered."""
        done = self._hand[2][:count]
        super().settle(count)
        if not done:
            return
        last: _Old = done[-1].block
        with contextlib.suppress(OSError):  # then it is delivered once more, should this process die: twice equals once
            while self._blocks[0] is not last:
                self._erase(self._blocks.popleft())
            if last.path not in self._damaged:
                last.deliver(done[-1].end)

    def _erase(self, block: _Old) -> None:
        """Note that a block has been delivered, unless a person, or a later adopter, is to see what it was like."""
        if block.path not in self._damaged:
            block.erase()

    def keep(self, counts: Counted) -> None:
        """Note in the owner's file what became of the process's records by now."""
        with contextlib.suppress(OSError):  # then a later adopter counts from an earlier moment
            self._owner.keep(self.entry(counts))

    def entry(self, counts: Counted, *, ended: bool = False) -> LedgerEntry:
        """Return what became of the process's records: before, and since they were adopted.

        It is of the moment when the process was last seen; until it has ``ended``, nobody knows how much is waiting.
        """
        lost: dict[str, int] = dict(self._before.lost or {})
        for reason, count in counts.losses.counts().items():
            lost[reason] = lost.get(reason, 0) + count
        delivered = self._before.delivered + counts.delivered
        waiting = 0 if ended else max(0, self._before.waiting - counts.delivered - counts.losses.total())
        return replace(
            self._before,
            emitted=delivered + sum(lost.values()) + waiting,
            delivered=delivered,
            waiting=waiting,
            lost={reason: count for reason, count in lost.items() if count} or None,
            ended=ended,
        )

    @property
    def exhausted(self) -> bool:
        """Return whether everything has been handed out and settled."""
        return self._exhausted and not self.items and not self._hand[2]

    @property
    def finished(self) -> bool:
        """Return whether the home has been removed."""
        return self._removed

    def end(self) -> None:
        """Remove the home, keeping aside the segments in which something could not be read; say so."""
        aside = self._home.parent / DAMAGED
        with contextlib.suppress(OSError):
            for path in self._damaged:
                self._files.make_directory(aside)
                self._files.rename(path, aside / f"{self._home.name}-{path.name}")
            for name in filter(is_segment, self._files.names(self._home)):
                self._files.remove(self._home / name)
            self._files.remove(self._home / OWNER)
            self._files.remove_directory(self._home)
        self.leave()
        self._removed = True
        if self.damages:
            report(
                "tracecore could not read all of what a process left in its journal: %d damaged stretches are lost; "
                "the segments are kept in %s",
                self.damages, aside,
            )  # fmt: skip

    def leave(self) -> None:
        """Let go of the home: whoever comes next may adopt it."""
        self._owner.close()

    def _found(self, salt: int) -> list[_Old]:
        """Return the blocks that are in use, each lane's in the order in which they were written."""
        found: list[tuple[int, int, _Old]] = []
        for name in filter(is_segment, self._files.names(self._home)):
            if not name.endswith(UNFINISHED):
                found += self._found_in(self._home / name, salt)
        return [block for _, _, block in sorted(found, key=lambda entry: entry[:2])]

    def _found_in(self, path: Path, salt: int) -> list[tuple[int, int, _Old]]:
        """Return the blocks of a segment that are in use; a segment that cannot be opened is damaged as a whole."""
        try:
            descriptor = self._files.open(path)
        except OSError as error:
            if error.errno in _FOR_NOW:
                raise
            self._note_damage_in(path)
            return []
        try:
            return self._found_at(path, descriptor, salt)
        finally:
            self._files.close(descriptor)

    def _found_at(self, path: Path, descriptor: int, salt: int) -> list[tuple[int, int, _Old]]:
        found: list[tuple[int, int, _Old]] = []
        if self._files.size(descriptor) < SEGMENT:
            self._note_damage_in(path)
        for start in range(0, SEGMENT, BLOCK):
            first, last = self._ends_of(path, descriptor, start)
            head = Head.read(first, last, salt)
            if head is not None:
                found.append((head.lane, head.sequence, _Old(self._files, path, start, head, salt)))
            elif any(first) or any(last):
                self._note_damage_in(path)
        return found

    def _ends_of(self, path: Path, descriptor: int, start: int) -> tuple[bytes, bytes]:
        """Return what should be head and tail of a block; nothing where the disk does not give it."""
        ends: list[bytes] = []
        for offset, size in ((start, FIRST), (start + LIMIT, BLOCK - LIMIT)):
            try:
                ends.append(self._files.read(descriptor, size, offset))
            except OSError as error:
                if error.errno in _FOR_NOW:
                    raise
                self._note_damage_in(path)
                ends.append(b"")
        return ends[0], ends[1]

    def _note_damage_in(self, path: Path) -> None:
        self.damages += 1
        self._damaged.add(path)


def adopt(directory: Path, fallback: Origin, files: Files, known: set[str]) -> Iterator[Leftover]:
    """Lock and return what dead processes left, except homes that are ``known``; add those found to it.

    A home that is half made is somebody's at work; only one that was met before, and still is, is looked into.
    ``fallback`` stands for the origin of spans whose owner's file is damaged.

    Raises:
        OSError: the directory cannot be read.
    """
    for name in filter(is_home, files.names(directory)):
        if name.endswith(UNFINISHED) and name not in known:
            known.add(name)
        elif name.endswith(UNFINISHED) or name not in known:
            with contextlib.suppress(OSError):
                leftover = _adopted(directory / name, fallback, files)
                if leftover is not None:
                    known.add(name)
                    yield leftover


def _adopted(home: Path, fallback: Origin, files: Files) -> Leftover | None:
    """Lock and return one home; None where somebody else has it or there is nothing to deliver."""
    if not files.is_directory(home):
        return None
    try:
        owner = Owner.adopt(files, home / OWNER, salt_of(home.name))
    except FileNotFoundError:  # its process died while it made or removed it, or somebody has removed that file alone
        if _is_removed(home, files):
            return None
        files.close(files.create(home / OWNER))
        owner = Owner.adopt(files, home / OWNER, salt_of(home.name))
    if owner is None:
        return None
    try:
        return Leftover(home, owner, fallback, files)
    except BaseException:
        owner.close()
        raise


def _is_removed(home: Path, files: Files) -> bool:
    """Remove a home if it is empty; return whether it was."""
    try:
        files.remove_directory(home)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def _unknown(project: str, home: str) -> LedgerEntry:
    """Return an entry for a process of which nothing is known but the name of its home."""
    pid, _, process = home.partition("-")
    now = wall_ns()
    return LedgerEntry(
        project, process, now - now % _MINUTE_NS, now, pid=int(pid) if pid.isdecimal() else None, started_ns=now
    )


def _read(files: Files, path: Path, size: int, offset: int) -> bytes:
    descriptor = files.open(path)
    try:
        return files.read(descriptor, size, offset)
    finally:
        files.close(descriptor)


def _write(files: Files, path: Path, data: bytes, offset: int) -> None:
    descriptor = files.open(path)
    try:
        files.write(descriptor, data, offset)
    finally:
        files.close(descriptor)
