"""The backend of one schema in a database: who connects, when, and what happens to a connection that broke."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Final, TypeVar

from tracecore.backend import Access, Batch, Capabilities, SchemaStatus
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.erasure import LARGEST_ERASURE, Erased
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, MissingDriver
from tracecore_postgres.abandoning import Abandoner
from tracecore_postgres.address import Address, parse
from tracecore_postgres.catalog import PostgresCatalog
from tracecore_postgres.connection import Connection, Connector, Left, is_clean, within
from tracecore_postgres.console import PostgresConsole
from tracecore_postgres.erasing import Eraser
from tracecore_postgres.failures import is_about_statements, is_unsettling, sqlstate_of, translated
from tracecore_postgres.indexing import Indexer
from tracecore_postgres.ledger import PostgresLedger
from tracecore_postgres.measuring import PostgresMeasures
from tracecore_postgres.observations import PostgresObservations
from tracecore_postgres.partitions import Partitions
from tracecore_postgres.pool import Pool
from tracecore_postgres.retention import Retention
from tracecore_postgres.schema import check_readable, migrate, migrations, status_of
from tracecore_postgres.scores import PostgresScores
from tracecore_postgres.sessions import PostgresSessions
from tracecore_postgres.traces import PostgresTraces
from tracecore_postgres.writer import Kinds, TraceRemoved, Writer, sorted_out

__all__ = ["PostgresBackend", "open_backend"]

_FACTS: Final = "SELECT current_setting('server_version'), current_setting('synchronous_commit')"
T = TypeVar("T")

_READERS: Final = 4
_MEASURERS: Final = 2
_FAREWELL_S: Final = 2.0
_NO_PARTITION: Final = "23514"
_AGAIN: Final = frozenset(("40P01", "40001", "26000", "42P05", _NO_PARTITION))
"""Deadlocks, poolers, and partitions that somebody has dropped: writing at once again is all that it takes."""
_TRIES: Final = 4
_TRIES_AT_ERASED: Final = 40


def open_backend(url: str, *, access: Access = "write") -> PostgresBackend:
    """Return an unopened backend for ``postgresql://user:password@host:port/database?schema=tracecore``.

    Raises:
        ConfigError: the URL is not of this form.
        MissingDriver: asyncpg is not installed.
    """
    address = parse(url)
    if find_spec("asyncpg") is None:
        raise MissingDriver("postgresql", "postgres", "backend URL")
    return PostgresBackend(address, access=access)


class PostgresBackend:
    """Keep records in one schema; see :class:`tracecore.backend.Backend` for what each member means."""

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
        self._pid = 0
        """The process that has it open; 0 when nobody has."""
        self._connector = Connector(address)
        self._writing: Connection | None = None
        self._writer: Writer | None = None
        self._end: Left | None = None
        self._left: Left | None = None
        """The server's end of a writing connection that was cut or lost."""
        self._partitions = Partitions(address, wall=wall, clock=clock)
        self._abandoner = Abandoner(wall=wall, clock=clock)
        self._retention = Retention(address, self._partitions, wall=wall, clock=clock)
        self._indexer = Indexer()
        self._readers = Pool(self._connector, address.location, most=_READERS, is_open=self._is_open)
        self._askers = Pool(self._connector, address.location, most=1, is_open=self._is_open, bare=True)
        self._measurers = Pool(self._connector, address.location, most=_MEASURERS, is_open=self._is_open)
        self._committers = Pool(self._connector, address.location, most=1, is_open=self._is_open, bare=True)
        self.location: Final = address.location
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
            level="handed_over" if address.synchronous_commit == "off" else "durable",
        )
        self.traces: Final = PostgresTraces(self._readers.lend)
        self.observations: Final = PostgresObservations(self._readers.lend)
        self.sessions: Final = PostgresSessions(self._readers.lend)
        self.scores: Final = PostgresScores(self._readers.lend)
        self.ledger: Final = PostgresLedger(self._readers.lend)
        self.catalog: Final = PostgresCatalog(self._readers.lend, self._commit, schema=address.schema)
        self.measures: Final = PostgresMeasures(self._measurers.lend)
        self._eraser: Final = Eraser(self._commit, self.catalog)
        self.sql: Final = PostgresConsole(self._askers.lend, lambda: self._connector.settings)

    @property
    def reading(self) -> Callable[[], contextlib.AbstractAsyncContextManager[Connection]]:
        """Return what lends a connection for reading."""
        return self._readers.lend

    def another(self) -> PostgresBackend:
        """Return an unopened backend of the same schema."""
        return PostgresBackend(self._address, access=self._access, wall=self._wall, clock=self._clock)

    async def schema(self) -> SchemaStatus:
        """Return what opening would do to the schema, and change nothing."""
        return await self._learning(self._schema)

    async def facts(self) -> dict[str, str]:
        """Return which server this is, what a commit waits for, and whether a pooler hands connections around."""
        async with self._readers.lend() as connection:
            [(version, commit)] = await connection.fetch(_FACTS)
        one, none = (
            "one that hands connections around: no statement stays prepared",
            "none that hands connections around",
        )
        pooler = one if self._connector.pooled else none
        return {"PostgreSQL": str(version), "synchronous_commit": str(commit), "pooler": pooler}

    async def open(self) -> None:
        """Connect and bring the schema up to date, or with read access check that it can be read."""
        if not self._is_open():
            self._forget()
            await self._learning(self._open)
            self._pid = os.getpid()

    async def write(self, batch: Batch) -> None:
        """Keep every record of the batch, or none of it; returns after the commit."""
        self._check_writable()
        await self._tried(partial(self._write, sorted_out(batch)))

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
        """Give up, make room, remove or index a slice; return whether more remains."""
        if self._access == "read" or not self._is_open():
            return False
        async with self._writing_connection() as (connection, _):
            settings = self._connector.settings
            for chore in (self._partitions, self._retention):
                if await chore.maintain(connection, settings):
                    return True
            async with within(connection, settings):
                if await self._indexer.maintain(connection):
                    return True
        # It writes by itself.
        return await self._abandon()

    async def close(self) -> None:
        """Let go of every connection."""
        if not self._is_open():
            self._forget()
            return
        self._pid = 0
        connection, self._writing, self._writer = self._writing, None, None
        async with contextlib.AsyncExitStack() as closing:
            closing.push_async_callback(self._readers.close)
            closing.push_async_callback(self._askers.close)
            closing.push_async_callback(self._measurers.close)
            closing.push_async_callback(self._committers.close)
            if connection is not None and not connection.is_closed():
                closing.callback(connection.terminate)
                with translated(self.location):
                    await connection.close(timeout=_FAREWELL_S)

    async def _schema(self) -> SchemaStatus:
        connection, _ = await self._connector.connect()
        try:
            with translated(self.location):
                return await status_of(connection, self._address, migrations())
        finally:
            connection.terminate()

    async def _open(self) -> None:
        connection, end = await self._connector.connect(leaving=self._left)
        try:
            with translated(self.location):
                if self._access == "write":
                    await migrate(connection, self._address, migrations())
                else:
                    await check_readable(connection, self._address, migrations())
        except BaseException:
            connection.terminate()
            raise
        self._end, self._left = end, None
        if self._access == "write":
            self._use(connection)
        else:
            self._readers.keep(connection)

    async def _learning(self, first: Callable[[], Awaitable[T]]) -> T:
        """Do something on a first connection; again where that has shown that a pooler stands between."""
        try:
            return await first()
        except BackendUnavailable as error:
            if not self._learn(error):
                raise
            return await first()

    def _learn(self, error: BaseException) -> bool:
        """Return whether an error says that a pooler stands between, which was not known; now it is."""
        if self._connector.pooled or not is_about_statements(error.__cause__):
            return False
        self._connector.pooled = True
        return True

    async def _write(self, kinds: Kinds) -> None:
        async with self._writing_connection() as (connection, writer):
            weeks = await self._partitions.ensure(connection, kinds.observations, self._connector.settings)
            await writer.write(kinds, weeks)

    async def _commit(self, change: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a function in a transaction beside those of batches, and return what it returns, after the commit."""
        self._check_writable()
        return await self._tried(partial(self._transact, change))

    async def _transact(self, change: Callable[[Connection], Awaitable[T]]) -> T:
        async with (
            self._committers.lend() as connection,
            within(connection, self._connector.settings, always=True),
        ):
            return await change(connection)

    async def _tried(self, change: Callable[[], Awaitable[T]]) -> T:
        """Change something; again where that is all that it takes, and more often while others erase what it is of."""
        tries = 0
        while True:
            tries += 1
            try:
                return await change()
            except TraceRemoved:
                if tries >= _TRIES_AT_ERASED:
                    raise
            except BackendError as error:
                if tries >= _TRIES or not self._is_worth_another_try(error):
                    raise

    def _check_writable(self) -> None:
        if self._access == "read":
            raise BackendRejected(f"{self.location} was opened for reading", 'open it with access="write"')
        if not self._is_open():
            raise BackendUnavailable(f"{self.location} is not open", "open it first")

    async def _abandon(self) -> bool:
        async with self._writing_connection() as (connection, _):
            found = await self._abandoner.find(connection, self._connector.settings)
        if found:
            await self.write(found)
        return bool(found)

    def _is_worth_another_try(self, error: BackendError) -> bool:
        """Return whether writing again at once may succeed, after having learned what there is to learn."""
        code = sqlstate_of(error.__cause__)
        if code == _NO_PARTITION:
            self._partitions.forget()
        return code in _AGAIN

    @contextlib.asynccontextmanager
    async def _writing_connection(self) -> AsyncGenerator[tuple[Connection, Writer]]:
        """Lend the writing connection, opened anew if it broke; errors of the driver come out as ours.

        One that is left in the middle of something is cut, and what the server still does for it has ended before
        the next one is used.
        """
        if not self._is_open():
            raise BackendUnavailable(f"{self.location} is not open", "open it first")
        connection, writer = await self._connected()
        try:
            with translated(self.location):
                yield connection, writer
        except BaseException as error:
            if self._learn(error) or is_unsettling(error) or not is_clean(connection):
                self._cut()
            raise

    async def _connected(self) -> tuple[Connection, Writer]:
        if self._writing is not None and self._writing.is_closed():
            self._cut()
        if self._writing is None or self._writer is None:
            try:
                connection, self._end = await self._connector.connect(leaving=self._left)
            except BackendRejected as error:
                # That nobody can be reached so is no fault of the records: they wait until somebody has mended it.
                raise BackendUnavailable(error.what, error.remedy) from error
            self._left = None
            return connection, self._use(connection)
        return self._writing, self._writer

    def _use(self, connection: Connection) -> Writer:
        settings = self._connector.settings
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED{'; ' if settings else ''}{settings}"
        self._writing, self._writer = connection, Writer(connection, begin=begin)
        return self._writer

    def _cut(self) -> None:
        """Cut the writing connection."""
        connection, self._writing, self._writer = self._writing, None, None
        if connection is not None:
            self._left, self._end = self._end, None
            connection.terminate()

    def _is_open(self) -> bool:
        return self._pid == os.getpid()

    def _forget(self) -> None:
        """Have nothing open: in a child, too, whose copies of the parent's connections lead nowhere."""
        if self._pid:
            self._writing = self._writer = self._end = self._left = None
            self._readers.forget()
            self._askers.forget()
            self._measurers.forget()
            self._committers.forget()
            self._connector = Connector(self._address)
        self._pid = 0
