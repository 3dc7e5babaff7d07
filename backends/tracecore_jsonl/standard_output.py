"""Writing lines to stdout: to a pipe, a file or a terminal, whichever the program was given.

Lines of one batch follow each other; those of several processes that share a stdout are told apart where it can be
locked. Invariant: a line begins where a line begins, also after a batch that stopped in the middle of one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import sys
from collections.abc import Generator
from typing import Final

__all__ = ["StandardOutput"]

_STDOUT: Final = 1
_CLOSED: Final = -1


class StandardOutput:
    """Write to a descriptor of one's own of stdout; every method runs on one thread and may raise ``OSError``."""

    def __init__(self) -> None:
        self._descriptor = _CLOSED
        self._amid = False
        """Whether what was written last ends in the middle of a line."""

    def open(self) -> None:
        """Take hold of stdout, as it is now."""
        if sys.__stdout__ is None:  # the descriptor may be anything then
            raise OSError(errno.EBADF, "the program was started without one")
        self._descriptor = os.dup(_STDOUT)

    def append(self, lines: bytes) -> None:
        """Write whole lines; after an error some of them may have been written."""
        rest = memoryview(b"\n" + lines if self._amid else lines)
        with self._turn():
            while rest:
                written = self._write(rest)
                if written:
                    self._amid = rest[written - 1] != ord("\n")
                rest = rest[written:]

    def close(self) -> None:
        """Let go of stdout."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)

    @contextlib.contextmanager
    def _turn(self) -> Generator[None]:
        """Keep the other processes that have this stdout from writing meanwhile, where there are locks."""
        with contextlib.suppress(OSError):
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # somebody has made it so, and it is full
            ready = select.poll()
            ready.register(self._descriptor, select.POLLOUT)
            ready.poll()
            return 0
