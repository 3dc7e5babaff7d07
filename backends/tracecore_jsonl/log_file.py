"""Appending lines to a file that other processes append to as well, and that somebody may move away at any time.

Nothing is kept open: each batch opens what is at the path now, locks it, and appends; so the batch after a file was
renamed (as logrotate does) begins a new one. Invariants, while nobody writes without the lock:

* A batch is appended whole or not at all: what stops in the middle is cut off again. A process that is killed in the
  middle of one leaves its first lines, and the rest of a line, at most.
* The file ends where a line ends, and only the rest of a line of ours is ever cut off.
* A file that begins with something else than a record is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Generator
from typing import Final

from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.json_lines import Malformed, record_in
from tracecore_jsonl.forking import at_work, watch_forks

__all__ = ["LogFile"]

_BEGINNING: Final = b'{"record":"'
_HOW: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
"""Not blocking, which means nothing to files, so that opening what turns out to be a pipe does not wait."""
_MODE: Final = 0o666
_BLOCK: Final = 1 << 16
_LONGEST_WAIT_S: Final = 5.0
_STEP_S: Final = 0.001


class LogFile:
    """Append to the file at a path; every method runs on one thread.

    Raises:
        OSError: as the system puts it.
        BackendRejected: the file holds something else.
        BackendUnavailable: another process keeps the file locked.
    """

    def __init__(self, path: str, *, synchronous: bool) -> None:
        self._path = path
        self._synchronous = synchronous
        self.torn = 0
        """Rests of lines that were cut off."""

    def open(self) -> None:
        """Make the file, unless it is there, and see that it can be appended to."""
        watch_forks()
        self.append(b"")

    def append(self, lines: bytes) -> None:
        """Append whole lines, all of them or none."""
        with at_work, self._locked() as descriptor:
            size = self._mended(descriptor)
            try:
                _write(descriptor, lines)
                if self._synchronous:
                    self._sync(descriptor, is_new=not size)
            except BaseException:
                with contextlib.suppress(OSError):  # then the next batch finds the rest of a line
                    os.ftruncate(descriptor, size)
                raise

    def close(self) -> None:
        """Do nothing: nothing is open."""

    @contextlib.contextmanager
    def _locked(self) -> Generator[int]:
        """Yield the descriptor of the file that is at the path, locked."""
        descriptor = None
        while descriptor is None:
            descriptor = self._opened()
        try:
            yield descriptor
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a child has inherited it
            os.close(descriptor)

    def _opened(self) -> int | None:
        """Return the descriptor of the file, locked, or None when another took its place meanwhile."""
        descriptor = os.open(self._path, _HOW, _MODE)
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ENXIO, "it is a device or a pipe")
            self._lock(descriptor)
            if not _is_at(self._path, descriptor):
                return None
            closing.pop_all()
        return descriptor

    def _lock(self, descriptor: int) -> None:
        """Wait for the lock, but not for ever: who holds it may have been stopped."""
        until = time.monotonic() + _LONGEST_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    remedy = "see which process has it open, and end that"
                    raise BackendUnavailable(f"{self._path} is locked by another process", remedy) from error
                time.sleep(_STEP_S)
            else:
                return

    def _mended(self, descriptor: int) -> int:
        """Make the file end where a line ends; return its size."""
        size = os.fstat(descriptor).st_size
        if not size:
            return 0
        if not _BEGINNING.startswith(os.pread(descriptor, len(_BEGINNING), 0)):
            raise BackendRejected(f"{self._path} holds something else than records", "name a file of its own")
        if os.pread(descriptor, 1, size - 1) == b"\n":
            return size
        tail = _last_line(descriptor, size)
        if _is_torn(tail):
            os.ftruncate(descriptor, size - len(tail))
            self.torn += 1
            return size - len(tail)
        _write(descriptor, b"\n")
        return size + 1

    def _sync(self, descriptor: int, *, is_new: bool) -> None:
        os.fsync(descriptor)
        if is_new:
            folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: PTH120 - paths are texts here
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _is_at(path: str, descriptor: int) -> bool:
    """Return whether a path still leads to the file that was opened there."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116 - on the way of every batch
    except FileNotFoundError:
        return False


def _last_line(descriptor: int, size: int) -> bytes:
    """Return what stands behind the last line feed."""
    tail = b""
    at = size
    while at and b"\n" not in tail:
        begin = max(0, at - _BLOCK)
        tail = os.pread(descriptor, at - begin, begin) + tail
        at = begin
    return tail.rpartition(b"\n")[2]


def _is_torn(tail: bytes) -> bool:
    """Return whether a line is the beginning of one of ours, and not whole but for its end, nor of another program."""
    if not tail.startswith(_BEGINNING[: len(tail)]):
        return False
    try:
        record_in(tail)
    except Malformed:
        return True
    return False
