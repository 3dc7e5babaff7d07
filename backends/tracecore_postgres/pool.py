"""Connections that are lent for reading: a handful, opened when they are needed, each lent to one reader at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from tracecore.errors import Closed
from tracecore_postgres.connection import Connection, Connector, is_clean, within
from tracecore_postgres.failures import is_about_statements, is_unsettling, translated

__all__ = ["Pool"]

_FAREWELL_S: Final = 2.0


class Pool:
    """Lend connections of one kind.

    ``is_open`` says whether anything may be lent. With ``bare`` a borrower begins transactions by itself; without, what
    it does behind a pooler is one transaction, for that long a pooler leaves a connection to whoever has it.
    """

    def __init__(
        self, connector: Connector, location: str, *, most: int, is_open: Callable[[], bool], bare: bool = False
    ) -> None:
        self._connector = connector
        self._location = location
        self._is_open = is_open
        self._bare = bare
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._most = most
        self._turns = asyncio.Semaphore(most)

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Connection]:
        """Lend a connection for the length of a block; errors of the driver come out as ours.

        Raises:
            BackendUnavailable: the database cannot be reached now.
            Closed: the backend is not open.
        """
        async with self._turns:
            connection = await self._taken()
            self._lent.add(connection)
            try:
                with translated(self._location):
                    async with within(connection, "" if self._bare else self._connector.settings):
                        yield connection
            except BaseException as error:
                if is_unsettling(error) or not is_clean(connection):
                    connection.terminate()
                if is_about_statements(error.__cause__):
                    self._connector.pooled = True  # the next time it is asked for another way
                    connection.terminate()
                raise
            finally:
                self._lent.discard(connection)
                if self._is_open() and not connection.is_closed():
                    self._idle.append(connection)
                else:
                    connection.terminate()

    def keep(self, connection: Connection) -> None:
        """Take over a connection that is open."""
        self._idle.append(connection)

    async def close(self) -> None:
        """Close what is idle, and cut what is lent."""
        idle, self._idle = self._idle, []
        self._turns = asyncio.Semaphore(self._most)  # the next loop may be another one
        for connection in self._lent:
            connection.terminate()
        for connection in idle:
            try:
                with translated(self._location):
                    await connection.close(timeout=_FAREWELL_S)
            finally:
                connection.terminate()

    def forget(self) -> None:
        """Have no connections any more, in a child that inherited them."""
        self._idle, self._lent = [], set()
        self._turns = asyncio.Semaphore(self._most)

    async def _taken(self) -> Connection:
        """Return an idle connection or a new one."""
        if not self._is_open():
            raise Closed(f"{self._location} is not open; open it first")
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        connection, _ = await self._connector.connect()
        return connection
