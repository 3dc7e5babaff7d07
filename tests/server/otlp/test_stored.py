"""Spans with times that cannot be, or with odd texts, in stores: kept once, and every sum is finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.postgres_server import Database
from tests.server.otlp.otlp_requests import INTO, SPAN_ID, START, TRACE_ID, both, request, span
from tracecore.backend import Backend
from tracecore.memory import open_backend as open_memory
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import open_backend as open_sqlite

Make = Callable[[], Backend]
TIMES = {
    "end before start": (START, START - 10**15), "1970": (5, 10), "1970 and now": (5, START),
    "2262": (2**63, 2**63 + 1), "the last ns": (2**64 - 1, 2**64 - 1), "no start": (0, START), "no time at all": (0, 0),
}  # fmt: skip


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return a maker of empty backends."""
    if request.param == "memory":
        return lambda: open_memory("memory:")
    if request.param == "sqlite":
        return lambda: open_sqlite(f"sqlite:///{tmp_path / 'traces.db'}")
    database: Database = request.getfixturevalue("postgres")
    return lambda: open_postgres(database.url())


async def _written(backend: Backend, message: Any) -> Any:
    await backend.open()
    try:
        records = both(message).records
        for _ in range(2):
            await backend.write(records)
        assert backend.traces is not None
        assert backend.observations is not None
        trace = await backend.traces.get(INTO.project, TRACE_ID)
        found = await backend.observations.tree(INTO.project, TRACE_ID)
        return trace, found
    finally:
        await backend.close()


@pytest.mark.parametrize("name", TIMES)
async def test_odd_times_are_stored_once(make: Make, name: str) -> None:
    """Beside a span that is fine; the trace's duration is not negative, and nothing overflows."""
    start, end = TIMES[name]
    message = request(
        span({}, parent_id="", start=START, end=START + 7), span({}, span_id="0c" * 8, start=start, end=end)
    )
    trace, found = await _written(make(), message)
    assert {one.span_id for one in found} == {SPAN_ID, "0c" * 8}
    assert trace.observation_count == 2
    assert 0 <= trace.duration_ns < 2**63


async def test_odd_texts_are_stored(make: Make) -> None:
    """NUL, the last characters of Unicode, numbers that are none."""
    odd = {"nul": "a\x00b", "last": "\U0010ffff\ufffe", "nan": math.nan, "json": '["\\u0000", "\\ud800"]'}
    _, (record,) = await _written(make(), request(span({"langfuse.observation.input": odd["json"], **odd})))
    assert record == both(request(span({"langfuse.observation.input": odd["json"], **odd}))).records[0]
