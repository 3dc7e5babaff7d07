"""The backend of one SQLite file: who opens what, and when."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

from tracecore.backend import Access, Batch, Capabilities, SchemaStatus
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.erasure import LARGEST_ERASURE, Erased
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, Closed
from tracecore_sqlite.abandoning import Abandoner
from tracecore_sqlite.address import Address, parse
from tracecore_sqlite.catalog import SqliteCatalog
from tracecore_sqlite.connection import Connection, connect
from tracecore_sqlite.console import SqliteConsole, guard
from tracecore_sqlite.erasing import Eraser
from tracecore_sqlite.failures import is_broken_off
from tracecore_sqlite.ledger import SqliteLedger
from tracecore_sqlite.measuring import SqliteMeasures, add_measuring
from tracecore_sqlite.observations import SqliteObservations
from tracecore_sqlite.schema import check_readable, migrate, migrations, status_of
from tracecore_sqlite.scores import SqliteScores
from tracecore_sqlite.search import Indexer, add_functions
from tracecore_sqlite.sessions import SqliteSessions
from tracecore_sqlite.settling import Settler
from tracecore_sqlite.traces import SqliteTraces
from tracecore_sqlite.writer import Writer

__all__ = ["SqliteBackend", "open_backend"]

_File: TypeAlias = tuple[int, int]
"""Device and inode."""
T = TypeVar("T")
_Prepare: TypeAlias = Callable[[sqlite3.Connection], None]
_Chore: TypeAlias = Abandoner | Settler | Indexer


def open_backend(url: str, *, access: Access = "write") -> SqliteBackend:
    """Return an unopened backend for ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``.

    Raises:
        ConfigError: the URL is not of this form.
    """
    return SqliteBackend(parse(url), access=access)


class SqliteBackend:
    """Keep records in one file; see :class:`tracecore.backend.Backend` for what each member means."""

    def __init__(
        self,
        address: Address,
        *,
        access: Access,
        wall: Callable[[], int] = wall_ns,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._address = address
        self._access: Access = access
        self._wall = wall
        self._clock = clock
        self._writing: Connection | None = None
        self._reading: Connection | None = None
        self._slow: dict[_Prepare, Connection] = {}
        """Connections for what may take its time, by what prepared them."""
        self._writer: Writer | None = None
        self._chores: tuple[_Chore, ...] = ()
        self._file: _File | None = None
        self._astray = False
        """Whether the file has to be opened anew before anything can be written."""
        self.location: Final = address.path
        self.capabilities: Final = Capabilities(
            durable=True,
            traces=True,
            observations=True,
            sessions=True,
            scores=True,
            search=True,
            sql=True,
            ledger=True,
            catalog=True,
            measures=True,
            level="durable" if address.synchronous == "full" else "handed_over",
        )
        self.traces: Final = SqliteTraces(self._reader)
        self.observations: Final = SqliteObservations(self._reader)
        self.sessions: Final = SqliteSessions(self._reader)
        self.scores: Final = SqliteScores(self._reader)
        self.ledger: Final = SqliteLedger(self._reader)
        self.catalog: Final = SqliteCatalog(self._reader, self._change)
        self.sql: Final = SqliteConsole(partial(self._beside, guard))
        self.measures: Final = SqliteMeasures(partial(self._beside, _prepare_measurer))
        self._eraser: Final = Eraser(self._change)

    def another(self) -> SqliteBackend:
        """Return an unopened backend of the same file, whatever the current directory is now."""
        return SqliteBackend(self._address, access=self._access, wall=self._wall, clock=self._clock)

    async def schema(self) -> SchemaStatus:
        """Return what opening would do to the schema; a file that is not there is not made."""
        known = migrations()
        if not os.path.exists(self.location):  # noqa: ASYNC240, PTH110 - as quick as opening it would be
            return SchemaStatus(0, len(known), tuple(step.name for step in known))
        connection = await connect(self._address, writable=False)
        try:
            return await connection.run(status_of, connection.raw, self.location, known)
        finally:
            await connection.close()

    async def facts(self) -> dict[str, str]:
        """Return which SQLite this is, and how the file is written."""
        connection = await self._reader()
        (mode,) = await connection.run(lambda: connection.raw.execute("PRAGMA journal_mode").fetchone())
        return {"SQLite": sqlite3.sqlite_version, "journal mode": str(mode)}

    async def open(self) -> None:
        """Open the file and bring its schema up to date, or with read access check that it can be read."""
        if self._access == "write" and self._writing is None:
            self._writing = await _connected(self._address, self._bring_up_to_date, writable=True)
            raw = self._writing.raw
            self._writer = writer = Writer(raw)
            abandoner = Abandoner(raw, writer, wall=self._wall, clock=self._clock)
            self._chores = (abandoner, Settler(raw), Indexer(raw))
            self._file, self._astray = await self._writing.run(_identity, self.location), False
        elif self._access == "read" and self._reading is None:
            self._reading = await _connected(self._address, self._prepare_reader, writable=False)

    async def write(self, batch: Batch) -> None:
        """Keep every record of the batch, or none of it; returns after the commit."""
        await self._change(lambda writer: writer.write(batch))

    async def erase(self, project: str, *, trace_ids: Sequence[str] = (), score_ids: Sequence[str] = ()) -> Erased:
        """Erase traces with everything of theirs, and scores; see :class:`tracecore.erasure.Erasable`."""
        return await self._eraser.erase(project, trace_ids, score_ids)

    async def erase_before(self, project: str, until_ns: int, *, limit: int = LARGEST_ERASURE) -> bool:
        """Erase some of the traces that ended before a time; return whether more may remain."""
        return await self._eraser.erase_before(project, until_ns, limit)

    async def erase_project(self, project: str, *, limit: int = LARGEST_ERASURE) -> bool:
        """Erase some of everything that a project has; return whether more may remain."""
        return await self._eraser.erase_project(project, limit)

    async def maintain(self) -> bool:
        """Give up, settle or index a slice of what was written; return whether more remains."""
        if self._writing is None or self._astray:
            return False
        try:
            return await self._writing.run(_maintain, self._chores)
        except BackendUnavailable as error:
            self._astray = is_broken_off(error)
            raise

    async def close(self) -> None:
        """Let go of the file and the threads."""
        # From the last to the first: the writing one, when nobody else is there, moves what is in the write-ahead log
        # into the file. Every one is closed, also where another cannot be, or has no time for it.
        connections = (self._writing, self._reading, *self._slow.values())
        self._astray, self._slow = False, {}
        self._reading = self._writing = self._writer = None
        async with contextlib.AsyncExitStack() as closing:
            for connection in filter(None, connections):
                closing.push_async_callback(connection.close)

    async def _change(self, change: Callable[[Writer], T]) -> T:
        """Run a function on the thread of the writing connection, in a file where others will find what it writes."""
        if self._access == "read":
            raise BackendRejected(f"{self.location} was opened for reading", 'open it with access="write"')
        if self._astray:
            await self._begin_anew()
        if self._writing is None or self._writer is None:
            raise BackendUnavailable(f"{self.location} is not open", "open it first")
        try:
            return await self._writing.run(_change, self._writer, change, file=self._file, path=self.location)
        except _MovedAwayError:
            await self._begin_anew()
            return await self._change(change)
        except BackendUnavailable as error:
            self._astray = is_broken_off(error)
            raise

    async def _begin_anew(self) -> None:
        """Leave a file that was deleted or moved away, and make another in its place, now or at the next batch."""
        if self._writing is not None:
            with contextlib.suppress(BackendError):
                # Whoever moved the file gets all of it: closing would leave what is in the log behind.
                await self._writing.run(self._writing.raw.execute, "PRAGMA wal_checkpoint(truncate)")
        try:
            with contextlib.suppress(BackendError):
                await self.close()
        finally:
            self._astray = True  # also where there was no time to close it: the next batch goes on from here
        await self.open()

    def _bring_up_to_date(self, raw: sqlite3.Connection) -> None:
        migrate(raw, self.location, migrations())

    def _prepare_reader(self, raw: sqlite3.Connection) -> None:
        check_readable(raw, self.location, migrations())
        add_functions(raw)

    async def _reader(self) -> Connection:
        """Return the reading connection, opened on first use beside the writing one."""
        return self._reading or await self._begin_reading()

    async def _begin_reading(self) -> Connection:
        writing = self._writing
        if writing is None:
            raise Closed(f"{self.location} is not open; open it first")
        made = await _connected(self._address, add_functions, writable=False)
        if self._reading is None and self._writing is writing:
            self._reading = made
            return made
        # Others asked at the same time and were first, or the backend was closed meanwhile.
        await made.close()
        return await self._reader()

    async def _beside(self, prepare: _Prepare) -> Connection:
        """Return a connection of its own for slow statements, opened on first use: they hold up nobody else."""
        return self._slow.get(prepare) or await self._begin_beside(prepare)

    async def _begin_beside(self, prepare: _Prepare) -> Connection:
        reading = await self._reader()
        made = await _connected(self._address, prepare, writable=False)
        if prepare not in self._slow and self._reading is reading:
            self._slow[prepare] = made
            return made
        await made.close()  # as above
        return await self._beside(prepare)


def _prepare_measurer(raw: sqlite3.Connection) -> None:
    add_functions(raw)
    add_measuring(raw)
    raw.execute("PRAGMA temp_store = file")  # a million groups take more than memory is there for


class _MovedAwayError(Exception):
    """Say that a file is not at its path any more."""


def _change(writer: Writer, change: Callable[[Writer], T], *, file: _File | None, path: str) -> T:
    """Change what is in a file, if that is still the one at its path.

    Raises:
        _MovedAwayError: it is not.
    """
    if _identity(path) != file:
        raise _MovedAwayError
    return change(writer)


def _identity(path: str) -> _File | None:
    """Return what tells a file from another one at the same path."""
    try:
        found = os.stat(path)  # noqa: PTH116 - on the way of every batch
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _maintain(chores: tuple[_Chore, ...]) -> bool:
    """Do a slice of the first chore that has one."""
    return any(chore.maintain() for chore in chores)


async def _connected(address: Address, prepare: _Prepare, *, writable: bool) -> Connection:
    """Open a connection and prepare it, on its thread; one that cannot be prepared is closed, and nobody gets it."""
    connection = await connect(address, writable=writable)
    try:
        await connection.run(prepare, connection.raw)
    except BaseException:
        await connection.close()
        raise
    return connection
