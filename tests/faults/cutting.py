"""A way to a PostgreSQL server that breaks: it passes messages on one by one, and is cut at the n-th of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from tests.postgres_server import Database

__all__ = ["Way"]

NAME = ".s.PGSQL.5432"


class Way:
    """Stand between a program and the server."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self.passed = 0
        """Messages that were passed on, in both directions, since the last :meth:`cut_at`."""
        self.cut_at = 0
        """The number of the message that is not passed on any more; 0 is never."""
        self.silent_at = 0
        """The number of the message from which on nothing is passed on, but nothing is cut either; 0 is never."""
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Return the URL of the same schema by this way."""
        return self._database.url().replace(
            quote(str(self._database.folder), safe=""), quote(str(self._folder), safe="")
        )

    def begin(self, *, cut_at: int = 0, silent_at: int = 0) -> None:
        """Count messages from now on."""
        self.passed, self.cut_at, self.silent_at, self.cuts = 0, cut_at, silent_at, 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Way]:
        """Be there for the length of a block."""
        server = await asyncio.start_unix_server(self._serve, str(self._folder / NAME))
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, onward = await asyncio.open_unix_connection(self._database.socket)
        self._writers |= {writer, onward}
        ways = [
            asyncio.create_task(self._pass(reader, onward, begins=True)),
            asyncio.create_task(self._pass(upstream, writer, begins=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, onward):
            end.transport.abort()
        await asyncio.wait(ways)
        self._writers -= {writer, onward}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, begins: bool) -> None:
        """Pass messages on; what a client begins with has no letter in front of its length."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(4 if begins else 5)
                message = head + await reader.readexactly(int.from_bytes(head[-4:]) - 4)
                begins = False
                self.passed += 1
                if self.passed == self.cut_at:
                    self.cuts += 1
                    return
                if not self.silent_at or self.passed < self.silent_at:
                    writer.write(message)
                    await writer.drain()
