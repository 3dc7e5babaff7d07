"""The backend of one SQLite file: who opens what, and when."""

from __future__ import annotations

import contextlib
import os
from typing import Final, TypeAlias

from tracecore.backend import Access, Batch, Capabilities
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, Closed
from tracecore_sqlite.address import Address, parse
from tracecore_sqlite.connection import Connection, connect
from tracecore_sqlite.console import SqliteConsole, guard
from tracecore_sqlite.forking import watch_forks
from tracecore_sqlite.observations import SqliteObservations
from tracecore_sqlite.schema import check_readable, migrate, migrations
from tracecore_sqlite.search import Indexer, add_functions
from tracecore_sqlite.sessions import SqliteSessions
from tracecore_sqlite.settling import Settler
from tracecore_sqlite.traces import SqliteTraces
from tracecore_sqlite.writer import Writer

__all__ = ["SqliteBackend", "open_backend"]

_File: TypeAlias = tuple[int, int]
"""Device and inode."""


def open_backend(url: str, *, access: Access = "write") -> SqliteBackend:
    """Return an unopened backend for ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``.

    Raises:
        ConfigError: the URL is not of this form.
    """
    return SqliteBackend(parse(url), access=access)


class SqliteBackend:
    """Keep records in one file; see :class:`tracecore.backend.Backend` for what each member means."""

    capabilities: Final = Capabilities(
        durable=True, traces=True, observations=True, sessions=True, search=True, sql=True
    )

    def __init__(self, address: Address, *, access: Access) -> None:
        watch_forks()  # now, and not when it is opened: a fork that has begun by then would not be noticed
        self._address = address
        self._access = access
        self._writing: Connection | None = None
        self._reading: Connection | None = None
        self._asking: Connection | None = None
        self._writer: Writer | None = None
        self._chores: tuple[Settler | Indexer, ...] = ()
        self._file: _File | None = None
        self._astray = False
        self.location: Final = address.path
        self.traces: Final = SqliteTraces(self._reader)
        self.observations: Final = SqliteObservations(self._reader)
        self.sessions: Final = SqliteSessions(self._reader)
        self.sql: Final = SqliteConsole(self._console)

    async def open(self) -> None:
        """Open the file and bring its schema up to date, or with read access check that it can be read."""
        if self._access == "write" and self._writing is None:
            self._writing = await _open_for_writing(self._address)
            raw = self._writing.raw
            self._writer, self._chores = Writer(raw), (Settler(raw), Indexer(raw))
            self._file, self._astray = await self._writing.run(_identity, self.location), False
        elif self._access == "read" and self._reading is None:
            self._reading = await _open_for_reading(self._address)

    async def write(self, batch: Batch) -> None:
        """Keep every record of the batch, or none of it; returns after the commit."""
        if self._access == "read":
            raise BackendRejected(f"{self.location} was opened for reading", 'open it with access="write"')
        if self._astray:
            await self._begin_anew()
        if self._writing is None or self._writer is None:
            raise BackendUnavailable(f"{self.location} is not open", "open it first")
        if not await self._writing.run(_write, self._writer, batch, file=self._file, path=self.location):
            await self._begin_anew()
            await self.write(batch)

    async def maintain(self) -> bool:
        """Settle or index a slice of what was written; return whether more remains."""
        if self._writing is None:
            return False
        return await self._writing.run(_maintain, self._chores)

    async def close(self) -> None:
        """Let go of the file and the threads."""
        connections = (self._asking, self._reading, self._writing)
        self._astray = False
        self._asking = self._reading = self._writing = self._writer = None
        # The writing one goes last: it moves what is in the write-ahead log into the file when nobody else is there.
        for connection in connections:
            if connection is not None:
                await connection.close()

    async def _begin_anew(self) -> None:
        """Leave a file that was deleted or moved away, and make another in its place, now or at the next batch."""
        if self._writing is not None:
            with contextlib.suppress(BackendError):
                # Whoever moved the file gets all of it: closing would leave what is in the log behind.
                await self._writing.run(self._writing.raw.execute, "PRAGMA wal_checkpoint(truncate)")
        with contextlib.suppress(BackendError):
            await self.close()
        self._astray = True
        await self.open()

    async def _reader(self) -> Connection:
        """Return the reading connection, opened on first use beside the writing one."""
        if self._reading is None:
            if self._writing is None:
                raise Closed(f"{self.location} is not open; open it first")
            self._reading = await _connect_reader(self._address)
        return self._reading

    async def _console(self) -> Connection:
        """Return the connection for people's statements, opened on first use; a slow one holds up nobody else."""
        if self._asking is None:
            await self._reader()
            self._asking = await connect(self._address, writable=False)
            await self._asking.run(guard, self._asking.raw)
        return self._asking


def _write(writer: Writer, batch: Batch, *, file: _File | None, path: str) -> bool:
    """Write a batch, unless nobody would find it: return whether the file is still the one at its path."""
    if _identity(path) != file:
        return False
    writer.write(batch)
    return True


def _identity(path: str) -> _File | None:
    """Return what tells a file from another one at the same path."""
    try:
        found = os.stat(path)  # noqa: PTH116 - on the way of every batch
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _maintain(chores: tuple[Settler | Indexer, ...]) -> bool:
    """Do a slice of the first chore that has one."""
    return any(chore.maintain() for chore in chores)


async def _open_for_writing(address: Address) -> Connection:
    connection = await connect(address, writable=True)
    try:
        await connection.run(migrate, connection.raw, address.path, migrations())
    except BaseException:
        await connection.close()
        raise
    return connection


async def _open_for_reading(address: Address) -> Connection:
    connection = await _connect_reader(address)
    try:
        await connection.run(check_readable, connection.raw, address.path, migrations())
    except BaseException:
        await connection.close()
        raise
    return connection


async def _connect_reader(address: Address) -> Connection:
    connection = await connect(address, writable=False)
    await connection.run(add_functions, connection.raw)
    return connection
