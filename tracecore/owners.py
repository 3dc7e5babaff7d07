"""The owner's file of a journal's home: locked while its process lives, it says what holds for all of its records.

::

    0      what the spans have in common (:class:`~tracecore.frames.Origin`), as a line of JSON behind its checksum
    4096   the same once more
    8192   what became of the process's records so far (:class:`Note`), likewise
    12288  the same as of another moment: the two are written in turn, and the later whole one counts

A note is written before records are settled. So whoever adopts a home knows what to tell the ledger of a process that
cannot do so any more: what had been settled, and what the adopter settles in its place. Counts and places are of one
moment, because they are in one line: whenever a process dies, an adopter too, each record is counted once.
"""

from __future__ import annotations

import contextlib
import errno
import time
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.records import LedgerEntry

__all__ = ["OWNER", "OWNER_BYTES", "Mark", "Note", "Owner", "note_in", "origin_in", "salt_of"]

OWNER: Final = "owner"
_LINE: Final = 4096
_TEXT: Final = _LINE - 9
"""Bytes of a line without its checksum and its end."""
_ASKING: Final = 0.003
"""Seconds in which whoever asks whether a file is locked has his answer."""
_ORIGINS: Final = (0, _LINE)
_NOTES: Final = (2 * _LINE, 3 * _LINE)
OWNER_BYTES: Final = 4 * _LINE
_T = TypeVar("_T")


class Mark(NamedTuple):
    """Say up to where a lane has been settled: everything before a place in one use of a block."""

    lane: int
    sequence: int
    end: int


class Note(Struct, array_like=True, frozen=True):
    """Say what became of a process's records, and up to where that is, at one moment."""

    entry: LedgerEntry | None = None
    in_memory: int = 0
    """How many were waiting in memory, and in no file."""
    marks: tuple[Mark, ...] = ()
    """Where lanes have come, beyond what their blocks say."""
    up_to: Mark | None = None
    """Where an adopter has come, who delivers one lane after the other."""
    damages: tuple[tuple[str, int], ...] = ()
    """What it could not read: in which segments, and where."""

    def delivered(self, lane: int, sequence: int, so_far: int) -> int | None:
        """Return up to where a block has been settled that says so itself ``so_far``; None where all of it has."""
        marks = [mark for mark in self.marks if mark.lane == lane]
        if self.up_to is not None:
            if lane < self.up_to.lane:
                return None
            marks += [self.up_to] if lane == self.up_to.lane else []
        for mark in marks:
            if sequence < mark.sequence:
                return None
            if sequence == mark.sequence:
                so_far = max(so_far, mark.end)
        return so_far


class _Numbered(Struct, array_like=True):
    number: int
    note: Note


class Owner:
    """Hold the owner's file of one home, open and locked."""

    def __init__(self, files: Files, descriptor: int, salt: int) -> None:
        self.origin: Origin | None = None
        """What the file says; None where both copies are damaged."""
        self.note = Note()
        """What became of the records up to now; without an entry where nobody has said so."""
        self._files = files
        self._descriptor: int | None = descriptor
        self._identity: tuple[int, int] | None = None
        """Of the file that was locked: whoever closes all descriptors of a process may open others of their numbers."""
        self._salt = salt
        self._number = 0

    @classmethod
    def create(cls, files: Files, path: Path, origin: Origin, salt: int) -> Self:
        """Make the file of a home.

        Raises:
            OSError: that is not possible.
        """
        owner = cls(files, files.create(path), salt)
        try:
            if not owner.lock():
                raise BlockingIOError(errno.EAGAIN, "somebody else has locked it", str(path))  # noqa: TRY301 - one way out
            for offset in _ORIGINS:
                owner.write(msgspec.json.encode(origin), offset)
            for offset in _NOTES:  # their place, so that a disk that is full later on has it
                owner.write(b"", offset)
        except BaseException:
            owner.close()
            raise
        owner.origin = origin
        return owner

    @classmethod
    def adopt(cls, files: Files, path: Path, salt: int) -> Self | None:
        """Open the file of a home that nobody owns; None where somebody does, or it is being removed.

        Raises:
            OSError: it cannot be opened, locked or read.
        """
        owner = cls(files, files.open(path), salt)
        try:
            if (owner.lock() or owner._lock_once_more(path)) and owner.is_at(path):
                owner.read()
                return owner
        except BaseException:
            owner.close()
            raise
        owner.close()
        return None

    def lock(self) -> bool:
        """Lock the file; return False if somebody else has."""
        if self._descriptor is None or not self._files.lock(self._descriptor):
            return False
        self._identity = self._files.identity(self._descriptor)
        return True

    def _lock_once_more(self, path: Path) -> bool:
        """Lock the file some milliseconds later, where nobody has it, but somebody asked just then whether anybody has.

        Raises:
            OSError: somebody still does, or nobody knows.
        """
        try:
            if self._files.is_locked(path):
                return False
            time.sleep(_ASKING)
            if self.lock():
                return True
            if self._files.is_locked(path):
                return False
        except FileNotFoundError:
            return False
        raise BlockingIOError(errno.EAGAIN, "somebody asks all the time whether anybody has locked it", str(path))

    def is_at(self, path: Path) -> bool:
        """Return whether the file is open and locked here, and has this name.

        Raises:
            OSError: nobody knows.
        """
        try:
            return self._is_open() and self._files.identity(path) == self._identity
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _is_open(self) -> bool:
        try:
            return self._descriptor is not None and self._files.identity(self._descriptor) == self._identity
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return False

    def read(self) -> None:
        """Read what the file says: nothing, where the disk does not give it."""
        said = b""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                said = self._files.read(self._descriptor, OWNER_BYTES, 0)
        self.origin = origin_in(said, self._salt)
        latest = _latest(said, self._salt)
        self._number, self.note = latest.number, latest.note

    def keep(self, note: Note) -> None:
        """Write down what became of the records up to now. Of more marks than there is room for the first are kept.

        Raises:
            OSError: that is not possible.
        """
        number = self._number = self._number + 1
        while len(text := msgspec.json.encode(_Numbered(number, note))) > _TEXT and note.marks:
            note = replace(note, marks=note.marks[: len(note.marks) // 2])
        self.write(text, _NOTES[number % 2])
        self.note = note

    def write(self, text: bytes, offset: int) -> None:
        """Write a line behind its checksum; one that is too long is left out, and so is all once the file is closed."""
        if self._descriptor is not None and len(text) <= _TEXT and self._is_open():
            line = b"%08x%b" % (crc32(text, self._salt), text)
            self._files.write(self._descriptor, line.ljust(_LINE - 1) + b"\n", offset)

    def sync(self) -> None:
        """Bring the file to the disk."""
        if self._descriptor is not None:
            self._files.sync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, and of its lock unless a forked process still has it."""
        is_open = True  # as far as anybody knows
        with contextlib.suppress(OSError):
            is_open = self._identity is None or self._is_open()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and is_open:
            self._files.close(descriptor)


def salt_of(home: str) -> int:
    """Return the salt of a journal's checksums, from the name of its home: it holds a random id."""
    return crc32(home.encode())


def origin_in(said: bytes, salt: int) -> Origin | None:
    """Return what an owner's file says that the spans have in common; None where both copies are damaged."""
    return next((found for offset in _ORIGINS if (found := _line(said, salt, offset, Origin)) is not None), None)


def note_in(said: bytes, salt: int) -> Note:
    """Return what an owner's file says of the process's records; without an entry where it says nothing."""
    return _latest(said, salt).note


def _latest(said: bytes, salt: int) -> _Numbered:
    notes = [found for offset in _NOTES if (found := _line(said, salt, offset, _Numbered)) is not None]
    return max(notes, key=lambda found: found.number, default=_Numbered(0, Note()))


def _line(said: bytes, salt: int, offset: int, kind: type[_T]) -> _T | None:
    """Return what a line says; None where it is not whole."""
    check, text = said[offset : offset + 8], said[offset + 8 : offset + _LINE].rstrip(b" \n")
    if check != b"%08x" % crc32(text, salt):
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # of another version
        return None
