"""What the errors of PostgreSQL and of its driver mean to a caller: try again, or never.

The server names what happened by a code of five characters, whose first two are its class; one table says what each
means. What is not in it may pass: a running service is kinder to itself by trying again than by throwing records away.

* A **wrong password**, a missing database or right, and a schema or table that is gone may pass: an operator mends them
  while the program runs, and meanwhile the records wait in its buffer.
* **Values** that the database cannot hold will never fit.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, TypeAlias

from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, DiskFull
from tracecore_postgres.driver import driver

__all__ = [
    "FAILURES",
    "driver_errors",
    "failure",
    "is_about_statements",
    "is_about_text",
    "is_unsettling",
    "sqlstate_of",
    "translated",
]

Meaning: TypeAlias = tuple[type[BackendError], str, str]
"""The error, what happened, and what to do next."""

_TRY_AGAIN: Final = "try again"
_REACH: Final = "check that it runs and can be reached"
_FILES: Final = f"{_REACH}, and the files that the URL names"
_CERTIFICATES: Final = "check sslmode, and the certificates of both ends"
_LARGER: Final = (BackendRejected, "cannot hold a value of this size", "record less")
_VALUE: Final = (BackendRejected, "cannot hold a value", "record another value")
_BUSY: Final = (BackendUnavailable, "was busy with the same rows", _TRY_AGAIN)
_GONE: Final = (BackendUnavailable, "lost the connection", _TRY_AGAIN)
_STOPPED: Final = (BackendUnavailable, "is being stopped or started", _TRY_AGAIN)
_SIGN_IN: Final = (
    BackendUnavailable,
    "refused the user or the password",
    "check the URL, TRACECORE_SECRET or the secret file",
)
_TOO_MANY: Final = (BackendUnavailable, "has too many connections", "raise max_connections, or close some")
_POOLER: Final = (BackendUnavailable, "lost a prepared statement to a pooler", "set statement_cache_size=0 in the URL")
_SCHEMA: Final = (BackendUnavailable, "lacks a table or a column", "run `tracecore migrate`, or open it for writing")
_READ_ONLY: Final = "25006"

FAILURES: Final[dict[str, Meaning]] = {
    "08": _GONE,
    "08P01": (BackendUnavailable, "was not understood", "check what stands between here and the server"),
    "22": _VALUE,
    "22021": (BackendRejected, "cannot hold a character", "record another value"),
    "22P05": (BackendRejected, "cannot hold a character in its encoding", "use a database with the encoding UTF8"),
    "23": (BackendRejected, "refused a record", "see the cause"),
    "23514": (BackendUnavailable, "has no partition for the time of a record", _TRY_AGAIN),
    _READ_ONLY: (
        BackendUnavailable,
        "can only be read, as a standby can",
        "name the primary, or all hosts with target_session_attrs=read-write, and set no default_transaction_read_only",
    ),
    "25P03": (BackendUnavailable, "ended a transaction that stood still", _TRY_AGAIN),
    "25P04": (BackendUnavailable, "ended a transaction that took too long", _TRY_AGAIN),
    "26000": _POOLER,
    "28": _SIGN_IN,
    "3D000": (BackendUnavailable, "has no such database", "create it, or correct the URL"),
    "3F000": (BackendUnavailable, "keeps its schema from the user", "grant the user USAGE and CREATE on the schema"),
    "40": _BUSY,
    "42501": (
        BackendUnavailable,
        "does not permit this to the user",
        "grant the user rights on the database and schema",
    ),
    "42703": _SCHEMA,
    "42P01": _SCHEMA,
    "42P05": _POOLER,
    "53": (BackendUnavailable, "ran out of something", "see the cause"),
    "53100": (DiskFull, "has no space left on its disk", "free some space on the server"),
    "53200": (BackendUnavailable, "ran out of memory", _TRY_AGAIN),
    "53300": _TOO_MANY,
    "54": _LARGER,
    "55": (BackendUnavailable, "cannot do this now", "see the cause"),
    "55006": _BUSY,
    "55P03": _BUSY,
    "57014": (BackendUnavailable, "cancelled what took too long", _TRY_AGAIN),
    "57P": _STOPPED,
    "58": (BackendUnavailable, "failed to read or write", "check the disk of the server"),
    "58P01": (BackendUnavailable, "lacks a file", "check the disk of the server"),
    "F0": (BackendUnavailable, "has a mistake in its configuration", "see the cause"),
    "XX001": (BackendUnavailable, "is damaged", "see the log of the server"),
    "XX002": (BackendUnavailable, "has a damaged index", "see the log of the server"),
}
"""What a code means; the longest beginning of it that is here counts."""


def driver_errors() -> tuple[type[Exception], ...]:
    """Return the classes of everything that a call on the driver raises."""
    asyncpg = driver()

    ours = asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
    return *ours, OSError, EOFError, ValueError, OverflowError


@contextmanager
def translated(location: str) -> Generator[None]:
    """Turn each error of the driver into one of ours, which names the database and the remedy."""
    try:
        yield
    except driver_errors() as error:
        raise failure(location, error) from error


def failure(location: str, error: Exception) -> BackendError:
    """Return what an error of the driver means; unknown ones may pass."""
    kind, what, remedy = _meaning(error)
    said = " ".join(str(error).split()) or type(error).__name__
    return kind(f"{location} {what}", f"{remedy} ({said})")


def sqlstate_of(error: BaseException | None) -> str:
    """Return the code of an error, or an empty text where the server has not said one."""
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else ""


def is_unsettling(error: BaseException) -> bool:
    """Return whether a connection is not to be used again.

    It may be out of step: neither the server nor a value was at fault. Or it leads to a server that has become a
    standby, while another one takes what is written.
    """
    cause = error.__cause__ if isinstance(error, BackendError) else error
    if sqlstate_of(cause) == _READ_ONLY:
        return True
    return cause is not None and not isinstance(cause, (driver().PostgresError, ValueError, OverflowError))


def is_about_text(error: BaseException) -> bool:
    """Return whether a text was refused that can be stored escaped."""
    return sqlstate_of(error) == "22021" or isinstance(error.__cause__, UnicodeEncodeError)


def is_about_statements(error: BaseException | None) -> bool:
    """Return whether a pooler that hands connections around has lost or mixed up prepared statements."""
    return sqlstate_of(error) in {"26000", "42P05"}


def _meaning(error: Exception) -> Meaning:
    code = sqlstate_of(error)
    for length in (5, 3, 2):
        if len(code) >= length and code[:length] in FAILURES:
            return FAILURES[code[:length]]
    return _of_the_driver(error)


def _of_the_driver(error: Exception) -> Meaning:
    """Return what an error means that the driver raised by itself."""
    asyncpg = driver()

    for kinds, meaning in (
        (asyncpg.ClientConfigurationError, (BackendRejected, "cannot be reached so", "correct the URL")),
        (ssl.SSLError, (BackendUnavailable, "cannot be reached by TLS", _CERTIFICATES)),
        (TimeoutError, (BackendUnavailable, "did not answer in time", _REACH)),
        (asyncpg.TargetServerAttributeNotMatched, (BackendUnavailable, "is not of the wanted kind now", _TRY_AGAIN)),
        (ConnectionRefusedError, (BackendUnavailable, "cannot be reached", _REACH)),
        (FileNotFoundError, (BackendUnavailable, "cannot be reached", _FILES)),
        ((ValueError, OverflowError), _VALUE),  # the driver's DataError is a ValueError
        ((asyncpg.InterfaceError, EOFError, ConnectionError), _GONE),
        (OSError, (BackendUnavailable, "cannot be reached", _REACH)),
    ):
        if isinstance(error, kinds):
            return meaning
    return BackendUnavailable, "failed", _TRY_AGAIN
