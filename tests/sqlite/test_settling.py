"""Whether a trace is recent or settled makes no difference to any reader."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.sqlite.files import asked, keep, opened, span
from tests.sqlite.test_equivalence import written
from tests.sqlite.test_views import settle, settling_everything, view, views_agree
from tracecore.backend import Page, SessionQuery, TraceQuery
from tracecore.records import Generation, Record, Session, Span, TraceAttributes
from tracecore_sqlite import SqliteBackend, settling

USERS = ("u1", "u2", None)
SESSIONS = ("s1", "s2", "s3", None)


def _span(number: int, trace: int, start: int, user: str | None, session: str | None) -> Span:
    said = TraceAttributes(user_id=user, session_id=session)
    return replace(span(number, trace=trace), start_ns=start, trace=said)


spans = st.builds(
    _span,
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 8),
    st.sampled_from(USERS),
    st.sampled_from(SESSIONS),
)
own = st.builds(Session, st.just("default"), st.sampled_from(("s1", "s4")), public=st.sampled_from((None, True)))
batches = st.lists(st.lists(st.one_of(spans, spans, spans, own), min_size=1, max_size=6), min_size=1, max_size=4)


async def everything_read(backend: SqliteBackend) -> list[Any]:
    """Return every list of traces and sessions, whole and in pages of one, for each user and session."""
    found: list[Any] = []
    for user in USERS:
        for since in (None, 4):
            found.append(await _pages(backend.sessions.find, SessionQuery(limit=1, user_id=user, since_ns=since)))
            found.append(await _pages(backend.traces.find, TraceQuery(limit=2, user_id=user, since_ns=since)))
        queries = [TraceQuery(limit=1, user_id=user, session_id=session) for session in SESSIONS]
        found += [await _pages(backend.traces.find, query) for query in queries]
    found += [await backend.sessions.get("default", session) for session in ("s1", "s2", "s3", "s4")]
    return found


async def _pages(find: Any, query: Any) -> list[Any]:
    items: list[Any] = []
    while True:
        page: Page[Any] = await find("default", query)
        items += page.items
        if page.next_cursor is None:
            return items
        query = replace(query, cursor=page.next_cursor)


async def read_after(path: Path, parts: Sequence[Sequence[Record]], *, settled: bool) -> list[Any]:
    """Return what is read after some batches, with every trace settled after each batch or none at all."""
    async with opened(path) as backend:
        for part in parts:
            await backend.write(part)
            while settled and await backend.maintain():
                pass
        return await everything_read(backend)


@settings(max_examples=25)
@given(batches)
def test_settled_or_recent(parts: list[list[Record]]) -> None:
    """Settling after every batch, and never, give the same lists in the same order, and so do later changes."""
    with written([]) as path:
        recent = asyncio.run(read_after(path, parts, settled=False))
    patch = settling_everything()
    try:
        with written([]) as path:
            assert asyncio.run(read_after(path, parts, settled=True)) == recent
            assert asked(path, "SELECT count(*) FROM tc_traces WHERE settled IS NULL") == [(0,)]
    finally:
        patch.undo()


def trace(number: int, session: str, **fields: Any) -> Span:
    """Return a trace of one span in a session."""
    return replace(span(number), trace=TraceAttributes(session_id=session), **fields)


@pytest.fixture
def _settle_all() -> Any:
    """Let settling leave nothing recent."""
    patch = settling_everything()
    yield
    patch.undo()


@pytest.mark.usefixtures("_settle_all")
async def test_a_session_keeps_its_last_start(tmp_path: Path) -> None:
    """An older trace that is settled later does not move its session back, and a trace that leaves it does."""
    path = await keep(tmp_path / "a.db", trace(9, "s1"), trace(5, "s2"))
    await settle(path)
    await keep(path, trace(2, "s1"))
    await settle(path)
    async with opened(path, "read") as backend:
        assert [session.session_id for session in await _pages(backend.sessions.find, SessionQuery())] == ["s1", "s2"]
    moved = trace(9, "s3", duration_ns=10_000)
    await keep(path, moved)
    async with opened(path, "read") as backend:
        found = await _pages(backend.sessions.find, SessionQuery())
    assert [session.session_id for session in found] == ["s3", "s2", "s1"]


@pytest.mark.usefixtures("_settle_all")
async def test_a_session_knows_its_cost_only_when_every_trace_does(tmp_path: Path) -> None:
    """One trace without a cost makes the cost of its session unknown, in the view too, before and after settling."""
    said = TraceAttributes(session_id="s")
    used = {"usage_details": {"input": 1}, "trace": said, "duration_ns": 1}
    priced = Generation("p", "1" * 32, "1" * 16, "call", 1, total_cost=0.5, **used)
    free = Generation("p", "2" * 32, "1" * 16, "call", 2, **used)
    path = await keep(tmp_path / "a.db", priced, free)
    for _ in range(2):
        await views_agree(path)
        async with opened(path, "read") as backend:
            (row,) = await view(backend, "sessions")
        assert (row["total_cost"], row["cost_known"], row["last_start"]) == (0.5, 0, "1970-01-01T00:00:00.000000Z")
        await settle(path)


async def test_settling_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slice settles a bounded number of traces, the oldest first, and some always stay recent."""
    monkeypatch.setattr(settling, "_KEPT", 10)
    monkeypatch.setattr(settling, "_SLICE", 5)
    path = tmp_path / "a.db"
    async with opened(path) as backend:
        await backend.write([span(number) for number in range(1, 31)])
        recent = "SELECT count(*), min(start_ns) FROM tc_traces WHERE settled IS NULL"
        left = [asked(path, recent)[0]]
        while await backend.maintain():
            left.append(asked(path, recent)[0])
        left.append(asked(path, recent)[0])
    assert left == [(30, 1_000), (25, 6_000), (20, 11_000), (15, 16_000), (10, 21_000)]
