"""The connections of a file: opened on first use, once, never half prepared, and each of them closed in the end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.sqlite.files import opened, span
from tracecore.backend import TraceQuery
from tracecore.errors import BackendRejected, BackendUnavailable, Closed
from tracecore_sqlite import backend as module
from tracecore_sqlite.connection import Connection

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Return every connection that is opened from now on."""
    found: list[Connection] = []
    connect = module.connect

    async def noted(*args: Any, **kwargs: Any) -> Connection:
        connection = await connect(*args, **kwargs)
        found.append(connection)
        return connection

    monkeypatch.setattr(module, "connect", noted)
    return found


async def open_ones(connections: list[Connection]) -> list[Connection]:
    """Return the connections that can still be used."""
    found: list[Connection] = []
    for connection in connections:
        try:
            await connection.run(int)
        except Closed:
            continue
        found.append(connection)
    return found


async def test_reads_side_by_side_leave_one_connection(tmp_path: Path, connections: list[Connection]) -> None:
    """Of those that ask at once each gets its answer, and what they opened beside each other is closed."""
    async with opened(tmp_path / "a.db") as backend:
        await backend.write([span(number) for number in range(3)])
        pages = await asyncio.gather(*(backend.traces.find("default", TraceQuery()) for _ in range(5)))
        assert [len(page.items) for page in pages] == [len(pages[0].items)] * 5
        assert pages[0].items
        answers = await asyncio.gather(*(backend.sql.query("select count(*) from spans") for _ in range(5)))
        assert [answer.rows for answer in answers] == [[(3,)]] * 5
        assert len(await open_ones(connections)) == 3  # the writer's, the readers', the console's
    assert await open_ones(connections) == []


async def test_closing_meanwhile_leaves_no_connection(tmp_path: Path, connections: list[Connection]) -> None:
    """A read that is opening its connection when the backend is closed ends as a read after closing does."""
    async with opened(tmp_path / "a.db") as backend:
        await backend.write([span(1)])
        reading = asyncio.ensure_future(backend.traces.find("default", TraceQuery()))
        await asyncio.sleep(0)
        await backend.close()
        with pytest.raises(Closed):
            await reading
        assert await open_ones(connections) == []


async def test_a_busy_console_keeps_no_connection_open(tmp_path: Path, connections: list[Connection]) -> None:
    """A close that is cut short, because a person's statement still runs, lets go of every connection all the same."""
    async with opened(tmp_path / "a.db") as backend:
        await backend.write([span(1)])
        await backend.sql.query("select 1")
        slow = asyncio.ensure_future(backend.sql.query(ENDLESS, timeout=1.0))
        await asyncio.sleep(0)
        with anyio.move_on_after(0.1):
            await backend.close()
        assert await open_ones(connections) == []
        with pytest.raises(BackendUnavailable, match="took longer"):
            await slow


async def test_nobody_gets_a_console_without_its_guard(
    tmp_path: Path, connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the guard cannot be set up, the connection is closed: the next statement gets another, with its guard."""
    guard, failures = module.guard, [sqlite3.OperationalError("not now")]

    def failing_once(raw: sqlite3.Connection) -> None:
        if failures:
            raise failures.pop()
        guard(raw)

    monkeypatch.setattr(module, "guard", failing_once)
    async with opened(tmp_path / "a.db") as backend:
        with pytest.raises(BackendUnavailable):
            await backend.sql.query("select 1")
        with pytest.raises(BackendRejected, match="more than read the views"):
            await backend.sql.query("select * from tc_observations")
        assert len(await open_ones(connections)) == 3


async def test_what_was_cancelled_before_its_turn_is_not_done(tmp_path: Path) -> None:
    """Of writes that are given up while the file is busy only the one that had begun is made, before what is next."""
    async with opened(tmp_path / "a.db") as backend:
        writing = backend._writing
        assert writing is not None
        began, go_on, done = threading.Event(), threading.Event(), []

        def first() -> None:
            began.set()
            go_on.wait(20)
            done.append("first")

        asked = [asyncio.ensure_future(writing.run(first))]
        asked += [asyncio.ensure_future(writing.run(done.append, name)) for name in ("second", "third")]
        await asyncio.to_thread(began.wait, 20)
        for future in asked:
            future.cancel()
        await asyncio.wait(asked)
        last = asyncio.ensure_future(writing.run(done.append, "last"))
        await asyncio.sleep(0)
        assert done == [], "nothing is done beside what has begun"
        go_on.set()
        await last
        assert done == ["first", "last"]
