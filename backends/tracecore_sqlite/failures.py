"""What SQLite's errors mean to a caller: try again, or never."""

from __future__ import annotations

import os.path
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, DiskFull

__all__ = ["failure", "is_broken_off", "translated"]

_FOR_GOOD: Final = {
    sqlite3.SQLITE_NOTADB: ("is not an SQLite database", "name another file"),
    sqlite3.SQLITE_TOOBIG: ("cannot hold a value of this size", "record less"),
    sqlite3.SQLITE_CONSTRAINT: ("refused a record", "see the cause"),
    sqlite3.SQLITE_MISMATCH: ("refused a record", "see the cause"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "move it away, or recover it with: sqlite3 FILE .recover"),
}
_FOR_NOW: Final = {
    sqlite3.SQLITE_FULL: ("has no space left on its disk", "free some space"),
    sqlite3.SQLITE_BUSY: ("is locked by another process", "stop the other writer, or try again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another connection", "try again"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "allow writing to the file and its directory"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check that its directory exists and may be used"),
    sqlite3.SQLITE_IOERR: ("failed to read or write", "check the disk"),
    sqlite3.SQLITE_NOMEM: ("ran out of memory", "try again"),
}

_NO_TEXT: Final = "Could not decode to UTF-8"
"""How the driver begins where a column of text holds bytes that are none; the error has no code."""
_NOT_OPENED: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}


@contextmanager
def translated(path: str) -> Generator[None]:
    """Turn each error of the driver into one of ours, which names the file and the remedy."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise failure(path, error) from error


def failure(path: str, error: Exception) -> BackendError:
    """Return what an error of the driver means; unknown ones may pass."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_NO_TEXT):
        primary = sqlite3.SQLITE_CORRUPT
    if primary in _NOT_OPENED and (at_fault := _place_at_fault(path, error)) is not None:
        return at_fault
    if primary in _FOR_GOOD:
        what, remedy = _FOR_GOOD[primary]
        return BackendRejected(f"{path} {what}", f"{remedy} ({error})")
    if primary in _FOR_NOW:
        what, remedy = _FOR_NOW[primary]
        kind = DiskFull if primary == sqlite3.SQLITE_FULL else BackendUnavailable
        return kind(f"{path} {what}", f"{remedy} ({error})")
    if isinstance(error, OverflowError | UnicodeError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return BackendRejected(f"{path} cannot hold a value", f"record another value ({error})")
    return BackendUnavailable(f"{path} failed", f"try again ({error})")


def is_broken_off(error: BaseException) -> bool:
    """Return whether a call on the file has failed: SQLite then goes on by locks that may not be what it thinks."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}


def _place_at_fault(path: str, error: Exception) -> BackendError | None:
    """Return what is wrong with the place of a file that could not be opened, where a look at it tells."""
    folder = os.path.dirname(path)  # noqa: PTH120 - pathlib costs milliseconds to import, and paths are texts here
    if os.path.isdir(path):  # noqa: PTH112 - as above
        return BackendRejected(f"{path} is a directory", f"name a file ({error})")
    if not os.path.isdir(folder):  # noqa: PTH112 - as above
        return BackendUnavailable(f"{path} cannot be opened", f"make its directory: mkdir -p {folder} ({error})")
    return None
