"""Clients that ask and do not read: an answer waits for them in memory, and not for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import uvicorn
from uvicorn.server import ServerState

from tracecore.server import connections
from tracecore.server.connections import Connection

HANG_SECONDS: Final = 30.0
LENGTH: Final = 16 << 20
REQUEST: Final = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@asynccontextmanager
async def asked(receive_buffer: int) -> AsyncIterator[tuple[socket.socket, asyncio.Event]]:
    """Serve long answers; return a connection over which one was asked for, and what says that it ended."""
    ended = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LENGTH)]})
        await send({"type": "http.response.body", "body": bytes(LENGTH)})

    class Noting(Connection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            ended.set()

    config = uvicorn.Config(answer, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Noting(config, state, {}), "127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.setblocking(False)  # noqa: FBT003 - the name of the method says what it means
    async with server:
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, REQUEST)
        with client:
            yield client, ended


async def test_who_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody reads is forgotten after some time, and its connection with it."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.05)
    async with asyncio.timeout(HANG_SECONDS), asked(4096) as (_, ended):
        await ended.wait()


async def test_who_reads_slowly_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads on, piece by piece and for longer than that, gets the whole answer."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 1.0)
    loop = asyncio.get_running_loop()
    got = 0
    async with asyncio.timeout(HANG_SECONDS), asked(1 << 20) as (client, _):
        while got < LENGTH:
            piece = await loop.sock_recv(client, 1 << 16)
            assert piece, f"closed after {got} bytes"
            got += len(piece)
            await asyncio.sleep(0.01)


async def test_what_waited_is_read_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an answer is read nobody waits any more, however long the connection is idle."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HANG_SECONDS), asked(1 << 20) as (client, ended):
        for number in (1, 2):
            got = 0
            while got < LENGTH:
                got += len(await loop.sock_recv(client, 1 << 20))
            assert not ended.is_set(), number
            await asyncio.sleep(0.15)
            await loop.sock_sendall(client, REQUEST)
