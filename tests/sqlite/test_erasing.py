"""Erasing from a file: by indexes, in slices that let others in between, and in the end out of the search index."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.finding import maintained
from tests.sqlite.files import asked, opened, span
from tests.sqlite.test_query_plans import statements as _statements
from tracecore.backend import TraceQuery
from tracecore.records import Record, Score, Session, TraceAttributes
from tracecore.testing.samples import PROJECT, json_of, trace_id_of
from tracecore_sqlite import erasing, search, settling

statements = _statements
TRACES, SPANS = 200, 12
EVERY = [trace_id_of(number) for number in range(TRACES)]


def records() -> list[Record]:
    """Return traces of some sessions, each judged."""
    found: list[Record] = [Session("default", "own")]
    for number in range(TRACES):
        said = TraceAttributes(session_id=f"s{number % 5}", user_id="u")
        spans = [span(number * SPANS + at, trace=number) for at in range(SPANS)]
        found += [replace(one, trace=said, input=json_of(f"word{number % 2}")) for one in spans]
        found.append(Score("default", f"{number}", "tone", number, trace_id=trace_id_of(number)))
    return found


async def test_every_statement_follows_an_index(
    tmp_path: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that erasing asks or deletes walks through a table, however large that is."""
    monkeypatch.setattr(settling, "_KEPT", 10)
    path = tmp_path / "a.db"
    async with opened(path) as backend:
        await backend.write(records())
        await maintained(backend)
        statements.clear()
        await backend.erase(PROJECT, trace_ids=EVERY[:50], score_ids=["60", "nobody's"])
        await backend.erase_before(PROJECT, 500_000, limit=10)
        await backend.erase_before(PROJECT, 0, limit=10)
        await backend.erase_project(PROJECT)
        while await backend.erase_project(PROJECT):
            pass
        ran = {sql for sql in statements if sql.split()[0] in {"SELECT", "DELETE", "UPDATE"}}
    deleted = {sql.split()[2] for sql in ran if sql.startswith("DELETE")}
    assert deleted >= {"tc_observations", "tc_bodies", "tc_stale", "tc_redocs", "tc_traces", "tc_scores", "tc_sessions"}
    with closing(sqlite3.connect(path)) as raw:
        search.add_functions(raw)
        plans = {sql: [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in ran}
    assert [plan for plan in plans.items() if any(line.startswith("SCAN tc_") for line in plan[1])] == []


async def test_others_have_their_turn_between_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while many traces are erased waits for one slice, not for all of them."""
    sizes: list[int] = []
    erase = erasing._erase_traces

    def counting(*given: Any) -> Any:
        done = erase(*given)
        sizes.append(done.observations)
        return done

    monkeypatch.setattr(erasing, "_erase_traces", counting)
    async with opened(tmp_path / "a.db") as backend:
        await backend.write(records())
        erased = asyncio.create_task(backend.erase(PROJECT, trace_ids=EVERY))
        at: list[int] = []
        while not erased.done():
            await backend.write([span(10**6 + len(at), trace=10**6)])
            at.append(len(sizes))
        assert (await erased).observation_count == sum(sizes) == TRACES * SPANS
    assert len(sizes) >= 3
    assert max(sizes) <= 1000
    assert max(later - earlier for earlier, later in pairwise(at)) <= 2, at


async def test_the_index_is_made_anew_when_half_of_it_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as little of it does, it is left alone; then what was erased is in it no more, and the rest is found."""
    monkeypatch.setattr(search, "_FEW_ORPHANS", 100)
    monkeypatch.setattr(search, "_SLICE_ROWS", 50)
    path = tmp_path / "a.db"
    words = "SELECT count(*) FROM tc_search WHERE tc_search MATCH '{}'"
    indexed = "SELECT value FROM tc_state WHERE name = 'indexed'"
    async with opened(path) as backend:
        await backend.write(records())
        await maintained(backend)
        every = asked(path, words.format("word0")) + asked(path, words.format("word1"))
        await backend.erase(PROJECT, trace_ids=EVERY[:80:2])
        await maintained(backend)
        assert asked(path, words.format("word0")) + asked(path, words.format("word1")) == every
        await backend.erase(PROJECT, trace_ids=EVERY[::2])
        await backend.erase(PROJECT, trace_ids=EVERY[:20])
        await maintained(backend)
        assert asked(path, words.format("word0")) == [(0,)]
        assert asked(path, "SELECT value FROM tc_state WHERE name = 'orphans'") == [(0,)]
        last = asked(path, "SELECT max(id) FROM tc_observations")[0][0]
        assert last - asked(path, indexed)[0][0] < 50
        found = await backend.traces.find(PROJECT, TraceQuery(search="word1", limit=1000))
        assert [one.trace_id for one in found.items] == EVERY[21::2][::-1]
        assert (await backend.traces.find(PROJECT, TraceQuery(search="word0"))).items == []
