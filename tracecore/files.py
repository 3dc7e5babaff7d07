"""Every call on files that the kernel makes, each in one place, so that a test can make the n-th of them fail.

A sink of a backend has files of its own; what is here serves the journal.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["Files"]

_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700
_CANNOT_RESERVE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_PIECE = 1 << 16


def _cannot_reserve(_descriptor: int, _offset: int, _size: int) -> None:
    raise OSError(errno.ENOSYS, "this system cannot reserve space")


_fallocate: Callable[[int, int, int], None] = getattr(os, "posix_fallocate", _cannot_reserve)
"""Not there on macOS."""
_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Files:
    """Call the operating system. Every method but ``close`` may raise ``OSError``; none holds anything."""

    def make_directory(self, path: Path) -> None:
        """Make a directory that only this user may enter, and its parents; one that is there already is left alone."""
        path.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted; none where there is no directory."""
        try:
            return sorted(found.name for found in path.iterdir())
        except FileNotFoundError:
            return []

    def create(self, path: Path) -> int:
        """Make a new file that only this user may read; return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)

    def open(self, path: Path) -> int:
        """Open a file to read and write; return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def reserve(self, descriptor: int, size: int) -> None:
        """Take ``size`` bytes of the disk for a new file, so that writing into its map cannot fail for want of space.

        A store into a page that has no block behind it and gets none ends the process with SIGBUS.
        """
        try:
            _fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
            for offset in range(0, size, _PIECE):  # what is written has its blocks
                self.write(descriptor, bytes(min(_PIECE, size - offset)), offset)

    def map(self, descriptor: int, size: int) -> mmap.mmap:
        """Map a file to read and write, shared; the map keeps a descriptor of its own."""
        return mmap.mmap(descriptor, size)

    def is_directory(self, path: Path) -> bool:
        """Return whether there is a directory under a name, and not merely a link to one."""
        try:
            return stat.S_ISDIR(path.lstat().st_mode)
        except FileNotFoundError:
            return False

    def size(self, descriptor: int) -> int:
        """Return the size of an open file in bytes."""
        return os.fstat(descriptor).st_size

    def exists(self, path: Path) -> bool:
        """Return whether there is something under a name."""
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def identity(self, file: int | Path) -> tuple[int, int]:
        """Return what tells an open file, or the one that has a name, from all others: device and number."""
        found = os.fstat(file) if isinstance(file, int) else file.lstat()
        return found.st_dev, found.st_ino

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on; fewer only at the end of the file."""
        found = os.pread(descriptor, size, offset)
        while len(found) < size and (more := os.pread(descriptor, size - len(found), offset + len(found))):
            found += more
        return found

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        while data:
            written = os.pwrite(descriptor, data, offset)
            data = data[written:]
            offset += written

    def lock(self, descriptor: int) -> bool:
        """Lock an open file for as long as it is open, here or in a process forked meanwhile; False if somebody has."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_locked(self, path: Path) -> bool:
        """Return whether somebody has locked a file: whoever only asks the same at this moment does not count."""
        descriptor = self.open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            self.close(descriptor)
        return False

    def sync(self, descriptor: int) -> None:
        """Bring what was written, through a map too, to the disk."""
        _fdatasync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Bring the names in a directory to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor, the only call that raises nothing: it is closed whatever the system says."""
        with contextlib.suppress(OSError):
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or directory another name."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Take a file's name away; one that has gone already is no error."""
        path.unlink(missing_ok=True)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory; one that has gone already is no error."""
        try:
            path.rmdir()
        except FileNotFoundError:
            return
