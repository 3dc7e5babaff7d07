"""Measuring in SQLite reads no payloads, holds up no list, and ends when its time is up."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sqlite.files import keep, opened, span
from tracecore.backend import ObservationQuery
from tracecore.errors import BackendUnavailable
from tracecore.measures import Measured, MeasureQuery
from tracecore.testing.measure_strategies import measure_queries
from tracecore.testing.samples import PROJECT
from tracecore_sql.measuring import measuring_sql
from tracecore_sqlite import measuring, meeting
from tracecore_sqlite.measuring import MEASURING, add_measuring
from tracecore_sqlite.search import add_functions

COUNT = MeasureQuery(measures=(Measured("count", "count"), Measured("latency", "p95")), since_ns=0, until_ns=2**62)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of the newest schema."""
    path = tmp_path_factory.mktemp("measuring") / "a.db"
    asyncio.run(keep(path, span(1)))
    return path


def test_an_index_leads_to_what_is_measured(file: Path) -> None:
    """Whatever is asked: a stretch of time is found by its index, what is judged by its key, and no payload is read."""
    with closing(sqlite3.connect(file)) as raw:
        add_functions(raw)
        add_measuring(raw)

        @settings(max_examples=80)
        @given(measure_queries)
        def look(query: MeasureQuery) -> None:
            sql, values = measuring_sql("p", query, MEASURING)
            texts = [text.encode("utf-8", "replace") if isinstance(text, str) else text for text in values]
            plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", texts)]
            steps = [step for step in plan if "tc_" in step or " o " in step or " s " in step or " t " in step]
            assert steps, plan
            for step in steps:
                assert step.startswith("SEARCH "), plan
                assert "tc_bodies" not in step
                assert " b " not in step

        look()


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=40), st.integers(1, 7))
def test_numbers_in_runs_are_in_order(numbers: list[float], length: int) -> None:
    """At each place stands the number that would stand there if all were sorted at once, however they are cut."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measuring, "_RUN", length)
        kept = measuring.Sorted()
        for number in numbers:
            kept.add(number)
        assert len(kept) == len(numbers)
        assert [kept[place] for place in range(len(numbers))] == sorted(numbers)


async def test_lists_do_not_wait(tmp_path: Path) -> None:
    """MeasureStore: queries "hold up none" of the other reads, however long they take."""
    async with opened(await keep(tmp_path / "a.db", span(1))) as backend:
        await backend.measures.measure(PROJECT, COUNT)
        connection = await backend.measures.connection()
        stop = threading.Event()
        stuck = asyncio.create_task(connection.run(stop.wait))
        try:
            async with asyncio.timeout(20):
                page = await backend.observations.find(PROJECT, ObservationQuery())
            assert len(page.items) == 1
            assert not stuck.done()
        finally:
            stop.set()
            await stuck


async def test_measuring_ends_when_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and what to do; the next question is answered."""
    monkeypatch.setattr(meeting, "_STEPS", 1)
    spans = [span(number) for number in range(50)]
    async with opened(await keep(tmp_path / "a.db", *spans)) as backend:
        monkeypatch.setattr(meeting, "_PATIENCE_S", -1)
        with pytest.raises(BackendUnavailable, match=r"nothing was measured.*shorter time"):
            await backend.measures.measure(PROJECT, COUNT)
        monkeypatch.setattr(meeting, "_PATIENCE_S", 30)
        [row] = await backend.measures.measure(PROJECT, COUNT)
        assert row.values[0] == len(spans)
