"""The only place where a connection is opened.

A session of ours has the schema as its ``search_path``, so statements name tables without it. Behind a pooler that
hands connections around between transactions (pgbouncer in transaction mode) nothing of a session lasts: there the
settings are made in each transaction anew (:attr:`Connector.settings`) and no prepared statement is kept. That
something of the kind stands between is seen from its having answered as another server process than the one that
answers statements, from its refusing our settings, or in the end from its losing a prepared statement; the URL may say
so, too (``statement_cache_size=0``), or that it does no harm (a greater number).
"""

from __future__ import annotations

import configparser
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Final, Protocol, cast

from msgspec import Struct

from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore_postgres.address import Address
from tracecore_postgres.driver import driver
from tracecore_postgres.failures import is_about_statements, sqlstate_of, translated
from tracecore_postgres.forking import disown_in_children

__all__ = ["Connection", "Connector", "Left", "is_clean", "quoted", "within"]

_PATIENCE_S: Final = 10.0
"""How long connecting may take."""
_STATEMENTS: Final = 200
_OLDEST: Final = 14
"""The first version of PostgreSQL that knows all that the schema needs."""
_REFUSED_SETTINGS: Final = frozenset(("08P01", "0A000", "22023", "42704"))
"""How poolers refuse a setting of the session."""
_WAIT_FOR_DISK: Final = """
SELECT set_config('synchronous_commit', 'on', {local}) WHERE current_setting('synchronous_commit') = 'off'
"""
"""What we promise; a server may have been told otherwise."""
_WHO: Final = """
SELECT pg_backend_pid(), current_setting('search_path'),
    (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
_END: Final = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2
"""
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class Connection(Protocol):
    """What we use of asyncpg's connection, which has no types of its own."""

    async def execute(self, query: str, *args: Any) -> str:
        """Run one statement, or without arguments several; return the tag of the last."""
        ...

    async def fetch(self, query: str, *args: Any) -> list[Sequence[Any]]:
        """Return the rows of one statement."""
        ...

    async def fetchrow(self, query: str, *args: Any) -> Sequence[Any] | None:
        """Return the first row of one statement."""
        ...

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Return the first value of the first row of one statement."""
        ...

    def transaction(self, *, isolation: str | None = None) -> AbstractAsyncContextManager[Any]:
        """Return a transaction for the length of a block, within another one a savepoint."""
        ...

    def is_in_transaction(self) -> bool:
        """Return whether a transaction is under way."""
        ...

    def is_closed(self) -> bool:
        """Return whether the connection is known to be closed."""
        ...

    def terminate(self) -> None:
        """Cut the connection."""
        ...

    async def close(self, *, timeout: float | None = None) -> None:
        """Take leave of the server, within so many seconds."""
        ...


class Left(Struct, frozen=True):
    """Name the server's end of a connection that was cut: whoever comes next makes sure that it is gone."""

    pid: int
    began: datetime


class Connector:
    """Open connections to one database."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.pooled = address.statement_cache_size == 0
        """Whether nothing of a session outlasts a transaction."""

    @property
    def settings(self) -> str:
        """Return the statements that make the settings of a transaction; empty where the session has them."""
        if not self.pooled:
            return ""
        address = self._address
        settings = f"SET LOCAL search_path = {quoted(address.schema)}; SET LOCAL jit = off"
        if address.synchronous_commit is not None:
            return f"{settings}; SET LOCAL synchronous_commit = {address.synchronous_commit}"
        return f"{settings}; {_WAIT_FOR_DISK.format(local='true')}"

    async def connect(self, *, leaving: Left | None = None) -> tuple[Connection, Left | None]:
        """Open a connection; return it and the name of its other end, where that is nobody else's.

        ``leaving`` is one that was cut: what it was still doing on the server is over when this returns.

        Raises:
            BackendUnavailable: the database cannot be reached now, or will not have us now.
            BackendRejected: it is too old, or its encoding does not hold every text.
        """
        connection = await self._connect_as_is_fit()
        try:
            with translated(self._address.location):
                self._check(connection)
                is_as_thought, end = await self._identify(connection)
                if leaving is not None and end is not None:
                    await self._end(connection, leaving)
        except BackendUnavailable as error:
            connection.terminate()
            if self.pooled or not is_about_statements(error.__cause__):
                raise
            is_as_thought, end = False, None
        except BaseException:
            connection.terminate()
            raise
        if is_as_thought:
            return connection, end
        connection.terminate()
        self.pooled = True
        return await self.connect()

    async def _connect_as_is_fit(self) -> Connection:
        with translated(self._address.location):
            try:
                return await self._connect()
            except Exception as error:
                if self.pooled or sqlstate_of(error) not in _REFUSED_SETTINGS:
                    raise
                self.pooled = True
                return await self._connect()

    async def _connect(self) -> Connection:
        address = self._address
        settings = {"application_name": address.application_name or "tracecore"}
        if not self.pooled:
            settings |= {"search_path": quoted(address.schema), "jit": "off"}
            settings["idle_in_transaction_session_timeout"] = "60s"  # of a process that stands still holding locks
            if address.synchronous_commit is not None:
                settings["synchronous_commit"] = address.synchronous_commit
        try:
            connection: Any = await driver().connect(
                address.dsn,
                password=address.password(),
                timeout=_PATIENCE_S,
                statement_cache_size=0 if self.pooled else address.statement_cache_size or _STATEMENTS,
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
                server_settings=settings,
            )
        except configparser.Error:  # it quotes lines of the file, of which one is the password
            raise BackendUnavailable(
                f"{address.location}: the service file cannot be read", "correct it, and write %% for % in it"
            ) from None
        sock: Any = connection._transport.get_extra_info("socket")  # noqa: SLF001 - there is no public way
        disown_in_children(connection, sock.fileno())
        _keep_alive(sock)
        return cast("Connection", connection)

    async def _end(self, connection: Connection, leaving: Left) -> None:
        if await connection.fetchval(_END, leaving.pid, leaving.began) is False:
            raise BackendUnavailable(f"{self._address.location} still works on what was cancelled", "try again")

    def _check(self, connection: Any) -> None:
        version, encoding = connection.get_server_version(), connection.get_settings().server_encoding
        if version.major < _OLDEST:
            raise BackendRejected(
                f"{self._address.location} is PostgreSQL {version.major}", f"use version {_OLDEST} or newer"
            )
        if encoding.upper().replace("-", "") != "UTF8":
            raise BackendRejected(
                f"{self._address.location} has the encoding {encoding}", "use a database that was created with UTF8"
            )

    async def _identify(self, connection: Any) -> tuple[bool, Left | None]:
        """Return whether a session lasts as was thought, and the server's end of it, if it is nobody else's."""
        if self.pooled:
            return True, None
        pid, path, began = await connection.fetchrow(_WHO)
        if self._address.synchronous_commit is None:
            await connection.execute(_WAIT_FOR_DISK.format(local="false"))
        straight: bool = pid == connection.get_server_pid()
        lasting = path == quoted(self._address.schema) and (straight or bool(self._address.statement_cache_size))
        return lasting, Left(pid, began) if straight else None


def is_clean(connection: Connection) -> bool:
    """Return whether a connection is open, and in the middle of nothing."""
    return not connection.is_closed() and not connection.is_in_transaction()


@asynccontextmanager
async def within(connection: Connection, settings: str, *, always: bool = False) -> AsyncGenerator[None]:
    """Run a block with settings in force: within a transaction, where there are any, or ``always``.

    Whatever the server's default is, each statement sees what others have committed before it: who has waited for a
    lock has to see what its holder did.
    """
    if not settings and not always:
        yield
        return
    async with connection.transaction(isolation="read_committed"):
        if settings:
            await connection.execute(settings)
        yield


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _keep_alive(sock: Any) -> None:
    """Let the kernel notice a server that is gone without a word."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
