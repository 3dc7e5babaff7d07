"""Poolers between a program and PostgreSQL that hand connections around between transactions.

:class:`Alternating` is the smallest of them: a client has two sessions of the server, and every transaction of its goes
to the other one. :func:`pgbouncer` is the real one, where it is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.postgres_server import Database

__all__ = ["PGBOUNCER", "Alternating", "pgbouncer"]

PGBOUNCER: Final = shutil.which("pgbouncer")
PATIENCE_S: Final = 20.0
READY, IDLE = b"Z", b"I"


async def _message(reader: asyncio.StreamReader, *, begins: bool = False) -> bytes:
    head = await reader.readexactly(4 if begins else 5)
    return head + await reader.readexactly(int.from_bytes(head[-4:]) - 4)


class Alternating:
    """Serve on a socket in a folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Be there for the length of a block; yield the folder of the socket."""
        server = await asyncio.start_unix_server(self._serve, str(self._folder / ".s.PGSQL.5432"))
        try:
            yield str(self._folder)
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        hello = await _message(reader, begins=True)
        sessions = [await self._session(hello) for _ in range(2)]
        writer.writelines(sessions[0][2])
        there = asyncio.create_task(self._ask(reader, sessions))
        try:
            await self._answer(writer, sessions)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            there.cancel()
            for end in (writer, *(onward for _, onward, _ in sessions)):
                end.transport.abort()
            self._tasks.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, sessions: list[Any]) -> None:
        """Pass on what the client says to the first session; the last of its words ends both."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                said = await _message(reader)
                sessions[0][1].write(said)
        for _, onward, _ in sessions:
            onward.transport.abort()

    async def _answer(self, writer: asyncio.StreamWriter, sessions: list[Any]) -> None:
        """Pass on what the first session says; when it is idle, the other one is the first."""
        while True:
            answer = await _message(sessions[0][0])
            if answer[:1] == READY and answer[-1:] == IDLE:
                sessions.reverse()
            writer.write(answer)

    async def _session(self, hello: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, list[bytes]]:
        reader, writer = await asyncio.open_unix_connection(self._database.socket)
        writer.write(hello)
        said: list[bytes] = []
        while not said or said[-1][:1] != READY:
            said.append(await _message(reader))
        return reader, writer, said


@contextlib.asynccontextmanager
async def pgbouncer(database: Database, folder: Path, **settings: object) -> AsyncIterator[str]:
    """Run pgbouncer in transaction mode for the length of a block; yield the folder of its socket."""
    assert PGBOUNCER is not None
    # Version 1.21 and later keep prepared statements; here none does.
    chosen = {"pool_mode": "transaction", "default_pool_size": 3, "max_prepared_statements": 0} | settings
    if b"1.18" in subprocess.run([PGBOUNCER, "--version"], check=True, capture_output=True).stdout:  # noqa: ASYNC221 - it is quick
        del chosen["max_prepared_statements"]
    lines = ["[databases]", f"* = host={database.folder} port=5432 user=postgres", "[pgbouncer]"]
    lines += [f"unix_socket_dir = {folder}", "listen_port = 5432", "listen_addr =", "auth_type = any"]
    lines += [f"{key} = {value}" for key, value in chosen.items()]
    (folder / "pgbouncer.ini").write_text("\n".join(lines))
    who = _permitted(folder) if os.geteuid() == 0 else {}
    process = await asyncio.create_subprocess_exec(
        PGBOUNCER, "-q", str(folder / "pgbouncer.ini"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **who
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (folder / ".s.PGSQL.5432").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
        yield str(folder)
    finally:
        process.kill()
        await process.wait()


def _permitted(folder: Path) -> dict[str, Any]:
    """Return as whom to run, for pgbouncer refuses to run as root; may it use the folder."""
    folder.chmod(0o777)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    return {"user": 65534, "group": 65534, "extra_groups": []}
