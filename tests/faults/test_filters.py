"""Filters mean the same on every backend: whatever is asked of random records, every page is that of the reference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.postgres_server import Database
from tests.torture.declaring import by_mode, torture
from tracecore.backend import Backend
from tracecore.memory import open_backend as open_memory
from tracecore.records import Record
from tracecore.testing import strategies
from tracecore.testing.comparing import same
from tracecore.testing.opening import ledger_in, observations_in, pages_of, scores_in, sessions_in, traces_in
from tracecore_postgres import indexing
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import open_backend as open_sqlite
from tracecore_sqlite import search, settling

WORLDS = by_mode(240, full=10_000)
QUERIES: Final = 10
"""Questions to each world."""

Question: TypeAlias = tuple[Callable[[Backend], Any], Any]
"""The store that is asked, and the query."""
questions: Final = st.one_of(
    st.tuples(st.just(traces_in), strategies.trace_queries),
    st.tuples(st.just(observations_in), strategies.observation_queries),
    st.tuples(st.just(sessions_in), strategies.session_queries),
    st.tuples(st.just(scores_in), strategies.score_queries),
    st.tuples(st.just(ledger_in), strategies.ledger_queries),
)
worlds: Final = st.lists(st.one_of(strategies.records, strategies.entries), min_size=1, max_size=10)
MAINTAINED: Final = st.sampled_from((0, 1, 1_000))
"""Slices of what is put off, done before anything is asked."""


class Stores:
    """Hold what is compared with the reference, with one world after the other in projects of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._tested: list[Backend] = [open_sqlite(f"sqlite:///{folder}/filters.db"), open_postgres(url)]
        self._numbers = count()

    async def open(self) -> None:
        """Open everything."""
        for backend in self._tested:
            await backend.open()

    async def close(self) -> None:
        """Close everything."""
        for backend in self._tested:
            await backend.close()

    async def compare(self, world: list[Record], slices: int, asked: list[Question]) -> None:
        """Write a world to every backend, and ask each of them the same."""
        number = next(self._numbers)
        batch = [replace(record, project=_project(record.project, number)) for record in world]
        reference: Backend = open_memory("memory:")
        await reference.open()
        for backend in (reference, *self._tested):
            await backend.write(batch)
            for _ in range(slices):
                if not await backend.maintain():
                    break
        for store_of, query in asked:
            for project in ("p", "q"):
                await self._ask(reference, store_of, _project(project, number), query)

    async def _ask(self, reference: Backend, store_of: Callable[[Backend], Any], project: str, query: Any) -> None:
        expected = await pages_of(store_of(reference).find, project, query)
        for backend in self._tested:
            found = await pages_of(store_of(backend).find, project, query)
            same(found, expected, f"{backend.location}, {project!r}: {query}")


def _project(name: str, number: int) -> str:
    return f"{name}{number}"


@torture("T41", "random filters on both dialects, beside plain Python", rounds=WORLDS * QUERIES)
def test_filters(tmp_path: Path, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces, observations, sessions, scores and ledger entries: the same pages in the same order, cursor by cursor."""
    for module, name in ((settling, "_KEPT"), (settling, "_SLICE"), (search, "_SLICE_ROWS"), (indexing, "_SLICE_ROWS")):
        monkeypatch.setattr(module, name, 2)
    stores = Stores(tmp_path, postgres.url())
    with asyncio.Runner() as runner:

        @settings(suppress_health_check=list(HealthCheck), max_examples=WORLDS)
        @given(worlds, MAINTAINED, st.lists(questions, min_size=QUERIES, max_size=QUERIES))
        def compare(world: list[Record], slices: int, asked: list[Question]) -> None:
            runner.run(stores.compare(world, slices, asked))

        try:
            runner.run(stores.open())
            compare()
        finally:
            runner.run(stores.close())
