"""A person's SQL: one read-only statement over the views, within a number of rows and a time.

Three guards, each enough by itself against writing: the connection is opened read-only, it is ``query_only``, and an
authorizer permits nothing but reading. The authorizer also keeps to the views, because the tables behind them change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tracecore.backend import Rows
from tracecore.clock import monotonic_ns
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore_sql.views import VIEWS
from tracecore_sqlite.connection import Connection

__all__ = ["SqliteConsole", "guard"]

Opener: TypeAlias = Callable[[], Awaitable[Connection]]

_ALLOWED: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer", "fts5", "match", "snippet", "highlight"})
_SCHEMA: Final = frozenset({"sqlite_master", "sqlite_schema"})
# Steps of the virtual machine between two looks at the clock: about a millisecond.
_STEPS: Final = 20_000
# A value longer than this is a mistake (or worse), and would be held in memory.
_LONGEST_VALUE: Final = 256 * 1024 * 1024


class SqliteConsole:
    """Run a person's SQL; see :class:`tracecore.backend.QueryConsole`."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener

    async def query(self, sql: str, *, limit: int = 1000, timeout: float = 30.0) -> Rows:
        """Run one read-only statement and return at most ``limit`` rows within ``timeout`` seconds."""
        if limit < 1:
            raise BackendRejected(f"limit = {limit}", "ask for at least one row")
        connection = await self._opener()
        return await connection.run(_query, connection.raw, sql, limit=limit, timeout=timeout)


def guard(raw: sqlite3.Connection) -> None:
    """Make a connection one that can only read the views."""
    raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    raw.text_factory = _decoded
    # A table-valued function declares a table when it is first used, which the authorizer would not permit.
    raw.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").close()
    raw.set_authorizer(_authorize)


def _query(raw: sqlite3.Connection, sql: str, *, limit: int, timeout: float) -> Rows:
    deadline = monotonic_ns() + int(timeout * 1e9)
    raw.set_progress_handler(lambda: monotonic_ns() > deadline, _STEPS)
    cursor = raw.cursor()
    try:
        cursor.execute(sql)
        if cursor.description is None:
            raise BackendRejected("the statement answers nothing", "write one SELECT")
        rows = cursor.fetchmany(limit + 1)
        return Rows([column[0] for column in cursor.description], rows[:limit], truncated=len(rows) > limit)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        raise _meaning(error, timeout) from error
    finally:
        cursor.close()
        raw.set_progress_handler(None, 0)


def _meaning(error: Exception, timeout: float) -> BackendRejected | BackendUnavailable:
    """Return what went wrong with a statement: its own fault, unless its time was up or the file cannot be read."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return BackendUnavailable(f"the statement took longer than {timeout:g} s", "narrow it, or allow it more time")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM}:
        return BackendUnavailable(f"the file cannot be read now ({error})", "try again")
    views = ", ".join(VIEWS)
    if code == sqlite3.SQLITE_AUTH or "prohibited" in str(error) or "not authorized" in str(error):
        return BackendRejected(f"the statement does more than read the views ({error})", f"select from {views}")
    if "no such table" in str(error):
        return BackendRejected(f"there is no such view ({error})", f"select from {views}")
    return BackendRejected(f"the statement is wrong ({error})", "correct it")


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, source: str | None) -> int:
    """Permit reading: views, what a view reads by itself, the schema, and functions that only compute."""
    if action in _ALLOWED:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in _FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ:
        table = (first or "").lower()
        # Counting rows reads no column, and is then not attributed to the view.
        inside_a_view = source in VIEWS or not second
        hidden = table.startswith(("tc_", "sqlite_", "pragma_", "dbstat", "fts5")) and table not in _SCHEMA
        return sqlite3.SQLITE_OK if inside_a_view or not hidden else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
