"""The owner's file of a journal's home: locked while its process lives, it says what holds for all of its records.

::

    0      what the spans have in common (:class:`~tracecore.frames.Origin`), as a line of JSON behind its checksum
    4096   the same once more
    8192   what became of the process's records so far (:class:`Note`), likewise
    24576  the same as of another moment: the two are written in turn, and the later whole one counts

A note is written before records are settled. So whoever adopts a home knows what to tell the ledger of a process that
cannot do so any more: what had been settled, and what the adopter settles in its place. Counts and places are of one
moment, because they are in one line: whenever a process dies, an adopter too, each record is counted once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.locks import Busy, Turn
from tracecore.records import LedgerEntry

__all__ = ["OWNER", "OWNER_BYTES", "Mark", "Note", "Owner", "note_in", "origin_in", "salt_of"]

OWNER: Final = "owner"
_LINE: Final = 4096
_NOTE: Final = 4 * _LINE
"""Bytes for a note: for the marks of some 600 lanes."""
_AROUND: Final = 9
"""Bytes of a line before and behind its text: its checksum, and a line feed."""
_PATIENCE: Final = 0.05
"""Seconds that whoever writes into the file, or closes it, waits for who is writing into it."""
_ASKING: Final = 0.003
"""Seconds in which whoever asks whether a file is locked has his answer."""
_ORIGINS: Final = (0, _LINE)
_NOTES: Final = (2 * _LINE, 2 * _LINE + _NOTE)
OWNER_BYTES: Final = 2 * (_LINE + _NOTE)
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
        self._writing = threading.Lock()
        self._pid = os.getpid()

    @classmethod
    def create(cls, files: Files, path: Path, origin: Origin, salt: int) -> Self:
        """Make the file of a home.

        Raises:
            OSError: that is not possible.
        """
        owner = cls(files, descriptor := files.create(path), salt)
        try:
            if not owner.lock():
                raise BlockingIOError(errno.EAGAIN, "somebody else has locked it", str(path))  # noqa: TRY301 - one way out
            files.write(descriptor, bytes(OWNER_BYTES), 0)  # so that a disk that is full later on has the place
            for offset in _ORIGINS:
                owner.write(msgspec.json.encode(origin), offset, _LINE)
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
        return self._descriptor is not None and not self._is_anothers(self._descriptor)

    def _is_anothers(self, descriptor: int) -> bool:
        """Return whether the file of this number is not the one that was locked; not so where nobody can say."""
        if self._identity is None:
            return False
        try:
            return self._files.identity(descriptor) != self._identity
        except OSError as error:
            return error.errno == errno.EBADF

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
        while len(text := msgspec.json.encode(_Numbered(number, note))) > _NOTE - _AROUND and note.marks:
            note = replace(note, marks=note.marks[: len(note.marks) // 2])
        self.write(text, _NOTES[number % 2], _NOTE)
        self.note = note

    def write(self, text: bytes, offset: int, room: int) -> None:
        """Write a line behind its checksum; one that is too long is left out, and so is all once the file is closed.

        Raises:
            OSError: that is not possible.
        """
        try:
            with Turn(self._writing, _PATIENCE):
                descriptor = self._descriptor
                if descriptor is not None and len(text) <= room - _AROUND and self._is_open():
                    self._files.write(descriptor, b"%08x%b\n" % (crc32(text, self._salt), text), offset)
        except Busy:
            raise BlockingIOError(errno.EAGAIN, "somebody else is writing into the owner's file") from None

    def sync(self) -> None:
        """Bring the file to the disk."""
        if self._descriptor is not None:
            self._files.sync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, and of its lock unless a forked process still has it.

        While somebody is writing into it, for long because the disk hangs, it stays open: else what is written would go
        into whatever file the program opens next.
        """
        if os.getpid() != self._pid:  # whoever was writing when it was forked is a thread of the parent
            self._writing = threading.Lock()
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(Busy), Turn(self._writing, _PATIENCE):
            if descriptor is not None and not self._is_anothers(descriptor):
                self._files.close(descriptor)


def salt_of(home: str) -> int:
    """Return the salt of a journal's checksums, from the name of its home: it holds a random id."""
    return crc32(home.encode())


def origin_in(said: bytes, salt: int) -> Origin | None:
    """Return what an owner's file says that the spans have in common; None where both copies are damaged."""
    found = (_line(said[offset : offset + _LINE], salt, Origin) for offset in _ORIGINS)
    return next((origin for origin in found if origin is not None), None)


def note_in(said: bytes, salt: int) -> Note:
    """Return what an owner's file says of the process's records; without an entry where it says nothing."""
    return _latest(said, salt).note


def _latest(said: bytes, salt: int) -> _Numbered:
    found = (_line(said[offset : offset + _NOTE], salt, _Numbered) for offset in _NOTES)
    notes = [note for note in found if note is not None]
    return max(notes, key=lambda note: note.number, default=_Numbered(0, Note()))


def _line(said: bytes, salt: int, kind: type[_T]) -> _T | None:
    """Return what a line says; None where it is not whole."""
    line, _, _ = said.partition(b"\n")
    check, text = line[:8], line[8:]
    if check != b"%08x" % crc32(text, salt):
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # of another version
        return None
