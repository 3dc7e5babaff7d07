"""The owner's file of a journal's home: locked while its process lives, it says what holds for all of its records.

::

    0      what the spans have in common (:class:`~tracecore.frames.Origin`), as a line of JSON behind its checksum
    2048   the same once more
    4096   what became of the process's records so far, as an entry of the ledger, likewise
    6144   the same as of another moment: the two are written in turn, and the later whole one counts

An entry is written whenever records were settled. So whoever adopts a home knows what to tell the ledger of a process
that cannot do so any more: what had been settled, and what the adopter settles in its place.
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import Final, Self, TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct

from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.records import LedgerEntry

__all__ = ["OWNER", "Owner", "salt_of"]

OWNER: Final = "owner"
_LINE: Final = 2048
_ORIGINS: Final = (0, _LINE)
_ENTRIES: Final = (2 * _LINE, 3 * _LINE)
_SIZE: Final = 4 * _LINE
_T = TypeVar("_T")


class _Numbered(Struct, array_like=True):
    number: int
    entry: LedgerEntry


class Owner:
    """Hold the owner's file of one home, open and locked."""

    def __init__(self, files: Files, descriptor: int, salt: int) -> None:
        self.origin: Origin | None = None
        """What the file says; None where both copies are damaged."""
        self.entry: LedgerEntry | None = None
        """What became of the records up to now; None where nobody has said so."""
        self._files = files
        self._descriptor: int | None = descriptor
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
            if owner.lock() and owner.is_linked:
                owner.read()
                return owner
        except BaseException:
            owner.close()
            raise
        owner.close()
        return None

    def lock(self) -> bool:
        """Lock the file; return False if somebody else has."""
        return self._descriptor is not None and self._files.lock(self._descriptor)

    @property
    def is_linked(self) -> bool:
        """Return whether nobody has removed the file meanwhile."""
        return self._descriptor is not None and self._files.is_linked(self._descriptor)

    def read(self) -> None:
        """Read what the file says: nothing, where the disk does not give it."""
        said = b""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                said = self._files.read(self._descriptor, _SIZE, 0)
        origins = [self._line(said, offset, Origin) for offset in _ORIGINS]
        self.origin = next((origin for origin in origins if origin is not None), None)
        entries = [found for offset in _ENTRIES if (found := self._line(said, offset, _Numbered)) is not None]
        if entries:
            latest = max(entries, key=lambda found: found.number)
            self._number, self.entry = latest.number, latest.entry

    def keep(self, entry: LedgerEntry) -> None:
        """Note what became of the records up to now.

        Raises:
            OSError: that is not possible.
        """
        self._number += 1
        self.write(msgspec.json.encode(_Numbered(self._number, entry)), _ENTRIES[self._number % 2])
        self.entry = entry

    def write(self, text: bytes, offset: int) -> None:
        """Write a line behind its checksum; one that is too long is left out."""
        if self._descriptor is not None and len(text) <= _LINE - 9:
            line = b"%08x%b" % (crc32(text, self._salt), text)
            self._files.write(self._descriptor, line.ljust(_LINE - 1) + b"\n", offset)

    def sync(self) -> None:
        """Bring the file to the disk."""
        if self._descriptor is not None:
            self._files.sync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, and of its lock unless a forked process still has it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._files.close(descriptor)

    def _line(self, said: bytes, offset: int, kind: type[_T]) -> _T | None:
        """Return what a line says; None where it is not whole."""
        check, text = said[offset : offset + 8], said[offset + 8 : offset + _LINE].rstrip(b" \n")
        if check != b"%08x" % crc32(text, self._salt):
            return None
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # of another version
            return None


def salt_of(home: str) -> int:
    """Return the salt of a journal's checksums, from the name of its home: it holds a random id."""
    return crc32(home.encode())
