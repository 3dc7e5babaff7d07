"""Measuring in PostgreSQL reads no payloads, holds up no list, ends when its time is up, and says what is too much."""

from __future__ import annotations

import asyncio

import pytest

from tests.postgres_server import Database
from tracecore.backend import ObservationQuery
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.measures import DIMENSIONS, MEASURES, Measured, MeasureQuery, View
from tracecore.testing.opening import opened_with
from tracecore.testing.samples import PROJECT, generation, score, span_id_of, trace_id_of
from tracecore_postgres import open_backend, reading
from tracecore_postgres.measuring import MEASURING
from tracecore_postgres.reading import numbered
from tracecore_sql.measuring import measuring_sql

COUNT = MeasureQuery(measures=(Measured("count", "count"), Measured("latency", "p95")), since_ns=0, until_ns=2**62)


@pytest.mark.parametrize("view", ["observations", "scores"])
async def test_no_payload_is_read(postgres: Database, view: View) -> None:
    """Whatever is asked of a view at once: its plan names no table of payloads."""
    every = MeasureQuery(
        view=view, measures=tuple(Measured(measure, "p50") for measure in MEASURES[view]),
        dimensions=DIMENSIONS[view], step="week", since_ns=0, until_ns=2**62,
    )  # fmt: skip
    judged = score("s", value=1.0, trace_id=trace_id_of(1), observation_id=span_id_of(1))
    async with opened_with(open_backend(postgres.url()), [generation(1), judged]) as backend:
        sql, values = measuring_sql(PROJECT, every, MEASURING)
        async with backend.reading() as connection:
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {numbered(sql)}", *values))
        [row] = await backend.measures.measure(PROJECT, every)
    assert "tc_bodies" not in plan
    assert f"tc_{view}" in plan
    assert row.values[0] == 1.0


async def test_lists_do_not_wait(postgres: Database) -> None:
    """MeasureStore: queries "hold up none" of the other reads: they have connections of their own."""
    async with opened_with(open_backend(postgres.url()), [generation(1)]) as backend:
        async with backend.measures.reading(), backend.measures.reading(), asyncio.timeout(20):
            page = await backend.observations.find(PROJECT, ObservationQuery())
        assert len(page.items) == 1


async def test_measuring_ends_when_its_time_is_up(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and what to do; the next question is answered."""
    async with opened_with(open_backend(postgres.url()), [generation(1)]) as backend:
        monkeypatch.setattr(reading, "_PATIENCE_S", 0)
        with pytest.raises(BackendUnavailable, match=r"nothing was measured.*shorter time"):
            await backend.measures.measure(PROJECT, COUNT)
        monkeypatch.setattr(reading, "_PATIENCE_S", 30)
        [row] = await backend.measures.measure(PROJECT, COUNT)
        assert row.values == (1, 1000.0)


async def test_a_sum_beyond_the_greatest_float(postgres: Database) -> None:
    """MeasureStore.measure: "BackendRejected for a sum beyond the greatest float"; other measures are answered."""
    huge = [score(name, value=1.7e308) for name in "ab"]
    async with opened_with(open_backend(postgres.url()), huge) as backend:
        asked = MeasureQuery(view="scores", measures=(Measured("value", "max"),), since_ns=0, until_ns=2**62)
        [row] = await backend.measures.measure(PROJECT, asked)
        assert row.values == (1.7e308,)
        with pytest.raises(BackendRejected, match="out of range"):
            await backend.measures.measure(PROJECT, MeasureQuery(
                view="scores", measures=(Measured("value", "sum"),), since_ns=0, until_ns=2**62
            ))  # fmt: skip
