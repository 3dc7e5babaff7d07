"""What the errors of files and pipes mean to a caller: try again, or never."""

from __future__ import annotations

import errno
import os.path
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, DiskFull

__all__ = ["translated"]

_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FOR_NOW: Final = {
    errno.EACCES: ("cannot be written", "allow reading and writing it and its directory"),
    errno.EPERM: ("cannot be written", "allow reading and writing it and its directory"),
    errno.EROFS: ("cannot be written", "name a file that is not on a read-only disk"),
    errno.EPIPE: ("is read by nobody any more", "start what reads it again, or write to a file: jsonl:traces.jsonl"),
    errno.EBADF: ("is closed", "give the program a stdout, or write to a file: jsonl:traces.jsonl"),
    errno.EMFILE: ("cannot be opened", "close some files, or allow more of them"),
}
_FOR_GOOD: Final = {
    errno.EISDIR: ("is a directory", "name a file"),
    errno.ENXIO: ("is no regular file", "write stdout: for a pipe"),
    errno.ENAMETOOLONG: ("is too long a name", "name another file"),
    errno.ELOOP: ("is a link in a circle", "name another file"),
    errno.ENOTDIR: ("is not inside a directory", "name another file"),
}


@contextmanager
def translated(location: str) -> Generator[None]:
    """Turn each error of the system into one of ours, which names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise _failure(location, error) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise BackendRejected(f"{location} cannot hold a value", f"record another value ({error})") from error


def _failure(location: str, error: OSError) -> BackendError:
    """Return what an error of the system means; unknown ones may pass."""
    reason = error.strerror or str(error)
    if error.errno in _NO_SPACE:
        return DiskFull(f"{location} has no space left on its disk", f"free some space ({reason})")
    if error.errno in _FOR_GOOD:
        what, remedy = _FOR_GOOD[error.errno]
        return BackendRejected(f"{location} {what}", f"{remedy} ({reason})")
    if error.errno == errno.ENOENT:
        folder = os.path.dirname(location)  # noqa: PTH120 - paths are texts here
        return BackendUnavailable(f"{location} cannot be opened", f"make its directory: mkdir -p {folder} ({reason})")
    what, remedy = _FOR_NOW.get(error.errno or 0, ("failed", "check the disk"))
    return BackendUnavailable(f"{location} {what}", f"{remedy} ({reason})")
