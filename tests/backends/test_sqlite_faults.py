"""SQLite fails at every statement of a write, one after the other: nothing of the batch stays; it can be retried."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tracecore.backend import LedgerQuery
from tracecore.catalog import Change, Delete, Entry, Put
from tracecore.errors import BackendError
from tracecore.records import Record, TraceAttributes
from tracecore.testing.opening import ledger_in, observations_in, opened, opened_with, sessions_in, sql_of, traces_in
from tracecore.testing.samples import PROJECT, entry, full_generation, json_of, score, session, span, trace_id_of
from tracecore_sqlite import SqliteBackend, open_backend

SAID = TraceAttributes(session_id="s2", user_id="u2", tags=("late",))
FIRST: list[Record] = [full_generation(1), span(2, status="running", input=json_of(1)), session("s2"), entry(emitted=3)]
SECOND: list[Record] = [
    span(2, trace=SAID),
    span(3, within=2, trace=SAID),
    session("s2", public=True),
    score("c"),
    entry(emitted=7, delivered=7, ended=True),
]


BESIDE = ("tc_catalog_refs", "tc_catalog_attachments", "tc_bodies", "tc_stale", "tc_redocs", "tc_state", "tc_sessions")


class Failing(sqlite3.Connection):
    """A connection whose n-th statement from now fails."""

    left = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        """Count down, and fail at 0."""
        type(self).left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError("the disk is gone")
        return super().execute(*args)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    """Make every connection that is opened one that can fail."""
    connect: Callable[..., Any] = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=Failing, **kwargs))
    monkeypatch.setattr(Failing, "left", 0)
    return Failing


async def stored(url: str) -> list[object]:
    """Return everything that a reader sees."""
    async with opened(open_backend(url, access="read")) as reader:
        traces = [await traces_in(reader).get(PROJECT, trace_id_of(n)) for n in (1, 2)]
        trees = [await observations_in(reader).tree(PROJECT, trace_id_of(n)) for n in (1, 2)]
        sessions = [await sessions_in(reader).get(PROJECT, name) for name in ("session-1", "s2")]
        scores = (await sql_of(reader).query("select * from scores")).rows
        ledger = (await ledger_in(reader).find(PROJECT, LedgerQuery())).items
    return [traces, trees, sessions, scores, ledger]


CHANGES: list[Change] = [
    Put(Entry(project=PROJECT, kind="k", id="1", body=json_of(2), name="b", refs=("s",), attachment=b"2"), 1),
    Delete(PROJECT, "k", "2"),
    Put(Entry(project=PROJECT, kind="k", id="3", body=json_of(3), refs=("r",), attachment=b"3"), 0),
]


async def commit(backend: SqliteBackend) -> None:
    """Change some entries."""
    await backend.catalog.commit(CHANGES)


async def erase(backend: SqliteBackend) -> None:
    """Erase two traces, of which one is settled."""
    await backend.erase(PROJECT, trace_ids=[trace_id_of(1), trace_id_of(2)])


async def everything(url: str) -> list[object]:
    """Return everything that a reader sees, of the catalog, too, and every row of the tables that lie beside others."""
    async with opened(open_backend(url, access="read")) as reader:
        assert isinstance(reader, SqliteBackend)
        entries = [await reader.catalog.get(PROJECT, "k", one) for one in ("1", "2", "3")]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
        rows = [raw.execute(f"SELECT * FROM {table}").fetchall() for table in BESIDE]  # noqa: S608 - names of ours
    return [await stored(url), entries, rows]


@pytest.mark.parametrize("change", [commit, erase])
async def test_a_change_that_fails_anywhere_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, failing: type[Failing], change: Callable[[SqliteBackend], Awaitable[None]]
) -> None:
    """Fail statement 1, 2, 3, … of a commit or of erasing until it passes: nothing of it is there, then all of it."""
    before: list[object] = []
    for nth in count(1):
        url = f"sqlite:///{tmp_path}/{nth}.db"
        backend = open_backend(url)
        async with opened_with(backend, FIRST):
            await backend.write(SECOND)
            entries = [Entry(project=PROJECT, kind="k", id=one, body=json_of(1), refs=("r",), name=one) for one in "12"]
            await backend.catalog.commit([Put(one) for one in entries])
            before = await everything(url)
            failing.left = nth
            try:
                await change(backend)
            except BackendError:
                failing.left = 0
                assert await everything(url) == before, f"statement {nth} failed"
                await change(backend)
                assert await everything(url) != before
            else:
                failing.left = 0
                break
    assert nth > 8, "a change is more than a few statements"


async def test_a_write_that_fails_anywhere_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, failing: type[Failing]
) -> None:
    """Fail statement 1, 2, 3, … of a batch until it passes: before, all of the first batch; after, all of both."""
    expected = f"sqlite:///{tmp_path}/expected.db"
    async with opened_with(open_backend(expected), FIRST) as backend:
        before = await stored(expected)
        await backend.write(SECOND)
        after = await stored(expected)
    assert before != after
    for nth in count(1):
        url = f"sqlite:///{tmp_path}/{nth}.db"
        async with opened_with(open_backend(url), FIRST) as backend:
            failing.left = nth
            try:
                await backend.write(SECOND)
            except BackendError:
                failing.left = 0
                assert await stored(url) == before, f"statement {nth} failed"
                await backend.write(SECOND)
                assert await stored(url) == after, f"statement {nth} failed"
            else:
                failing.left = 0
                assert await stored(url) == after
                break
    assert nth > 8, "a batch is more than a few statements"
