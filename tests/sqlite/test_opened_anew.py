"""A file is opened anew once a call on it has failed, whatever keeps the old connection from being closed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

import tracecore_sqlite.backend
from tests.sqlite.files import opened, span, stored_names
from tracecore.errors import BackendUnavailable
from tracecore_sqlite.connection import Connection


async def test_cancelled_while_the_old_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a slow disk leaves no time to close it, the next batch is written through a new one."""
    path = tmp_path / "a.db"
    left: list[Connection] = []

    async def slow(connection: Connection) -> None:
        left.append(connection)
        scope.cancel()
        await anyio.sleep_forever()

    async with opened(path) as backend:
        await backend.write([span(1)])
        backend._astray = True
        with monkeypatch.context() as patch, anyio.CancelScope() as scope:
            patch.setattr(Connection, "close", slow)
            await backend.write([span(2)])
        assert scope.cancelled_caught
        await backend.write([span(2)])
        for connection in left:
            await connection.close()
    assert await stored_names(path) == ["s1", "s2"]


async def test_a_chore_that_fails_to_read_or_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a chore has met a failing disk nothing goes through that connection; the next batch has another."""

    def failing(_: object) -> bool:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    path = tmp_path / "a.db"
    async with opened(path) as backend:
        await backend.write([span(1)])
        before = backend._writing
        with monkeypatch.context() as patch:
            patch.setattr(tracecore_sqlite.backend, "_maintain", failing)
            with pytest.raises(BackendUnavailable):
                await backend.maintain()
        assert not await backend.maintain()
        await backend.write([span(2)])
        assert backend._writing is not before
    assert await stored_names(path) == ["s1", "s2"]


async def test_a_chore_that_finds_the_file_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process keeps from being done for now is no reason to open the file anew."""

    def locked(_: object) -> bool:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    async with opened(tmp_path / "a.db") as backend:
        before = backend._writing
        with monkeypatch.context() as patch:
            patch.setattr(tracecore_sqlite.backend, "_maintain", locked)
            with pytest.raises(BackendUnavailable):
                await backend.maintain()
        await backend.write([span(1)])
        assert backend._writing is before
