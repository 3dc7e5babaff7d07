"""SQLite fails at every statement of a write, one after the other: nothing of the batch stays; it can be retried."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tracecore.backend import LedgerQuery
from tracecore.errors import BackendError
from tracecore.records import Record, TraceAttributes
from tracecore.testing.opening import ledger_in, observations_in, opened, opened_with, sessions_in, sql_of, traces_in
from tracecore.testing.samples import PROJECT, entry, full_generation, json_of, score, session, span, trace_id_of
from tracecore_sqlite import open_backend

SAID = TraceAttributes(session_id="s2", user_id="u2", tags=("late",))
FIRST: list[Record] = [full_generation(1), span(2, status="running", input=json_of(1)), session("s2"), entry(emitted=3)]
SECOND: list[Record] = [
    span(2, trace=SAID),
    span(3, within=2, trace=SAID),
    session("s2", public=True),
    score("c"),
    entry(emitted=7, delivered=7, ended=True),
]


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
