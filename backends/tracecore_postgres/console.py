"""A person's SQL: one read-only statement over the views, within a number of rows and a time.

What guards the data is the transaction: it is READ ONLY, ends by ROLLBACK, and is given one statement by a protocol
that takes no second one. The server ends it when its time is up. That a statement keeps to the views, and away from
functions that reach beyond the transaction, is a fence (:mod:`tracecore_postgres.fence`). Against somebody who means
harm only a role with fewer rights helps: the URL may name one that may use the schema and select from its views and
from ``tc_migrations``, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date, time
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from tracecore.backend import Rows
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable
from tracecore_postgres.failures import sqlstate_of
from tracecore_postgres.fence import forbidden_word
from tracecore_postgres.texts import value_of
from tracecore_sql.views import VIEWS

__all__ = ["PostgresConsole", "value_for_people"]

Lending: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]

_BEGIN: Final = """
BEGIN READ ONLY; SET LOCAL statement_timeout = {timeout_ms}; SET LOCAL standard_conforming_strings = on;
SET LOCAL idle_in_transaction_session_timeout = {idle_ms};
"""
# Locks of the session outlive the transaction; settings do not.
_END: Final = "ROLLBACK; SELECT pg_advisory_unlock_all()"
_SCHEMAS: Final = "SELECT nspname::text FROM pg_namespace WHERE nspname <> current_schema()"
# What the server needs to notice that its time is up, and to say so.
_GRACE_S: Final = 5.0
_LONGEST_MS: Final = 2**31 - 1

_CANCELLED: Final = "57014"
_NO_VIEW: Final = "42P01"
_NOT_READING: Final = frozenset(("25006", "42501", "55000"))
_ITS_OWN_FAULT: Final = ("22", "2F", "21", "25", "38", "39", "3B", "42", "44", "0A", "54", "55", "P0")
"""Beginnings of codes that say that a statement is wrong."""


class PostgresConsole:
    """Run a person's SQL; see :class:`tracecore.backend.QueryConsole`."""

    def __init__(self, lending: Lending, settings: Callable[[], str]) -> None:
        """Take what lends the connection for people's statements, and says what to set in each transaction of it."""
        self._lending = lending
        self._settings = settings

    async def query(self, sql: str, *, limit: int = 1000, timeout: float = 30.0) -> Rows:
        """Run one read-only statement and return at most ``limit`` rows within ``timeout`` seconds."""
        if limit < 1:
            raise BackendRejected(f"limit = {limit}", "ask for at least one row")
        if not timeout > 0:
            raise _too_long(timeout)
        async with self._lending() as connection:
            try:
                async with asyncio.timeout(timeout + _GRACE_S):
                    await connection.execute(_begin(self._settings(), timeout))
                    return await _answer(connection, sql, limit=limit, timeout=timeout)
            except TimeoutError as error:
                connection.terminate()
                raise _too_long(timeout) from error


def _begin(settings: str, timeout: float) -> str:
    timeout_ms = min(_LONGEST_MS, max(1, int(timeout * 1000)))
    idle_ms = min(_LONGEST_MS, timeout_ms + int(_GRACE_S * 1000))
    return f"{_BEGIN.format(timeout_ms=timeout_ms, idle_ms=idle_ms)}{settings}"


async def _answer(connection: Any, sql: str, *, limit: int, timeout: float) -> Rows:
    try:
        _check(sql, {row[0] for row in await connection.fetch(_SCHEMAS)})
        return await _rows(connection, sql, limit=limit)
    except Exception as error:
        meaning = _meaning(error, timeout)
        if meaning is None:
            raise
        raise meaning from error
    finally:
        await _end(connection)


async def _end(connection: Any) -> None:
    """Leave nothing of a statement behind; a connection that cannot be cleaned is not used again."""
    try:
        await connection.execute(_END)
    except Exception:  # noqa: BLE001 - what happened before it is what matters
        connection.terminate()


def _check(sql: str, schemas: set[str]) -> None:
    word = "\0" if "\0" in sql else forbidden_word(sql, schemas)
    if word is not None:
        said = f"{word!r} is not for people's statements" if word else "the statement says nothing"
        raise BackendRejected(said, f"write one SELECT from {', '.join(VIEWS)}")


async def _rows(connection: Any, sql: str, *, limit: int) -> Rows:
    statement = await connection.prepare(sql)
    columns = [attribute.name for attribute in statement.get_attributes()]
    if not columns or statement.get_parameters():
        raise BackendRejected("the statement answers nothing, or has parameters", "write one SELECT, with the values")
    # A portal: the server makes as many rows as are fetched.
    cursor = await statement.cursor()
    rows = await cursor.fetch(limit + 1)
    shown = [tuple(map(value_for_people, row)) for row in rows[:limit]]
    return Rows(columns, shown, truncated=len(rows) > limit)


def value_for_people(value: Any) -> Any:
    """Return a value of the database as one that JSON knows, or bytes; what is no number becomes text."""
    if value is None or isinstance(value, int | float | bytes):
        return value
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, Decimal):
        # Sums of whole numbers are numeric, and so are averages.
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple) or hasattr(value, "keys"):
        return [value_for_people(one) for one in cast("list[Any]", value)]
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _readable(text: str) -> str:
    """Return a stored text; what no text outside may hold (half a surrogate pair) becomes the replacement character."""
    found: str | bytes = value_of(text)
    if isinstance(found, str):
        found = text if found is text else found.encode("utf-8", "surrogatepass")
    return found if isinstance(found, str) else found.decode("utf-8", "replace")


def _meaning(error: Exception, timeout: float) -> BackendError | None:
    """Return what went wrong with a statement, where it is its own fault."""
    if isinstance(error, BackendError):
        return None
    code = sqlstate_of(error)
    if code == _CANCELLED:
        return _too_long(timeout)
    views = ", ".join(VIEWS)
    if code in _NOT_READING:
        return BackendRejected(f"the statement does more than read the views ({error})", f"select from {views}")
    if code == _NO_VIEW:
        return BackendRejected(f"there is no such view ({error})", f"select from {views}")
    if code.startswith(_ITS_OWN_FAULT) or isinstance(error, UnicodeError | ValueError | OverflowError):
        return BackendRejected(f"the statement is wrong ({error})", "correct it")
    return None


def _too_long(timeout: float) -> BackendUnavailable:
    return BackendUnavailable(f"the statement took longer than {timeout:g} s", "narrow it, or allow it more time")
