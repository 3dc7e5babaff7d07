"""Measures mean the same on every backend: whatever is asked of random records, the rows are those of the reference."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.http_server import room_names, served
from tests.postgres_server import Database
from tracecore.backend import Backend
from tracecore.measures import MeasureQuery, MeasureRow
from tracecore.memory import open_backend as open_memory
from tracecore.records import Record, Span
from tracecore.testing.measure_strategies import measure_queries
from tracecore.testing.measure_suite import measure_in
from tracecore.testing.strategies import records
from tracecore_http import open_backend as open_http
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import open_backend as open_sqlite

WORLDS: Final = 60
QUERIES: Final = 8
"""Questions to each world."""


def within(project: str, record: Record) -> Record:
    """Return a record in another project; tags are named once, as rows of traces may have them twice."""
    moved = replace(record, project=project)
    if not isinstance(moved, Span):
        return moved
    return replace(moved, trace=replace(moved.trace, tags=tuple(dict.fromkeys(moved.trace.tags))))


def is_close(one: Any, other: Any) -> bool:
    """Return whether values are the same, floats but for their last digits: sums depend on their order."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(is_close, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)
    return type(one) is type(other) and bool(one == other)


def are_close(rows: Sequence[MeasureRow], expected: Sequence[MeasureRow]) -> bool:
    """Return whether rows are the same in the same order."""
    return len(rows) == len(expected) and all(
        (one.time_ns, one.dimensions) == (other.time_ns, other.dimensions) and is_close(one.values, other.values)
        for one, other in zip(rows, expected, strict=True)
    )


@contextmanager
def running(*backends: Backend) -> Iterator[asyncio.Runner]:
    """Open backends in a loop, and close them."""
    with asyncio.Runner() as runner:
        for backend in backends:
            runner.run(backend.open())
        try:
            yield runner
        finally:
            for backend in backends:
                runner.run(backend.close())


def test_measures(tmp_path: Path, postgres: Database) -> None:
    """Every measure, aggregation, dimension, step, condition and order, of records of every kind."""
    reference: Any = open_memory("memory:")
    tested: list[Any] = [open_sqlite(f"sqlite:///{tmp_path}/a.db"), open_postgres(postgres.url())]
    numbers, asked = count(), [0, 0]
    worlds = st.lists(records, min_size=4, max_size=16)

    with served() as url, running(reference, *tested, remote := open_http(f"{url}/{next(room_names)}")) as runner:
        tested.append(remote)

        async def ask(project: str, world: list[Record], queries: list[MeasureQuery]) -> None:
            batch = [within(project, record) for record in world]
            for backend in (reference, *tested):
                await backend.write(batch)
            for query in queries:
                expected = await measure_in(reference)(project, query)
                asked[0] += 1
                asked[1] += any(value not in {None, 0, ()} for row in expected for value in row.values)
                for backend in tested:
                    rows = await measure_in(backend)(project, query)
                    assert are_close(rows, expected), f"{backend.location}: {query}\n{rows}\n{expected}"

        @settings(suppress_health_check=list(HealthCheck), max_examples=WORLDS)
        @given(worlds, st.lists(measure_queries, min_size=QUERIES, max_size=QUERIES))
        def compare(world: list[Record], queries: list[MeasureQuery]) -> None:
            runner.run(ask(f"p{next(numbers)}", world, queries))

        compare()
    assert asked[1] > asked[0] / 5, "nearly every question found nothing"
