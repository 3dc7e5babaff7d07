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
from msgspec import structs
from msgspec.structs import replace

from tests.postgres_server import Database
from tests.torture.declaring import by_mode, torture
from tracecore.backend import Backend
from tracecore.memory import open_backend as open_memory
from tracecore.records import Record
from tracecore.testing import filter_strategies, strategies
from tracecore.testing.comparing import same
from tracecore.testing.opening import ledger_in, observations_in, pages_of, scores_in, sessions_in, traces_in
from tracecore_postgres import candidates, indexing
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import candidates as sqlite_candidates
from tracecore_sqlite import open_backend as open_sqlite
from tracecore_sqlite import search, settling

PROJECTS: Final = ("p", "q")
WORLDS = by_mode(120, full=5_000)
CROWDS = by_mode(60, full=5_000)
QUERIES: Final = 10
"""Questions to each project of a world."""

Question: TypeAlias = tuple[Callable[[Backend], Any], Any]
"""The store that is asked, and the query."""
Worlds: TypeAlias = st.SearchStrategy[list[Any]]
"""Draws lists of records."""
ALWAYS: Final = frozenset(("limit", "cursor", "bodies", "last", "where"))


def _with_few(query: Any, kept: set[int]) -> Any:
    """Return a query with some of its conditions: with all of those that are drawn it would find nothing."""
    fields = [field for field in structs.fields(query) if field.name not in ALWAYS]
    dropped = {field.name: field.default for number, field in enumerate(fields) if number not in kept}
    return replace(query, **dropped)


def _asking(store_of: Callable[[Backend], Any], queries: st.SearchStrategy[Any]) -> st.SearchStrategy[Question]:
    kept = st.sets(st.integers(0, 26), max_size=6)
    return st.tuples(st.just(store_of), st.builds(_with_few, queries, kept))


questions: Final = st.one_of(
    _asking(traces_in, strategies.trace_queries),
    _asking(observations_in, strategies.observation_queries),
    _asking(sessions_in, strategies.session_queries),
    _asking(scores_in, strategies.score_queries),
    _asking(ledger_in, strategies.ledger_queries),
)
worlds: Final = st.lists(st.one_of(strategies.records, strategies.records, strategies.entries), min_size=1, max_size=16)
crowds: Final = st.lists(strategies.observations, min_size=8, max_size=16)
conditions: Final = st.lists(
    st.tuples(st.just(observations_in), filter_strategies.filters), min_size=QUERIES, max_size=QUERIES
)
MAINTAINED: Final = st.sampled_from((0, 1, 1_000))
"""Slices of what is put off, done before anything is asked."""


class Stores:
    """Hold what is compared with the reference, with one world after the other in projects of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._tested: list[Backend] = [open_sqlite(f"sqlite:///{folder}/filters.db"), open_postgres(url)]
        self._numbers = count()
        self.asked = 0
        self.found = 0
        """Questions, and those of them that found anything."""

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
            for project in PROJECTS:
                await self._ask(reference, store_of, _project(project, number), query)

    async def _ask(self, reference: Backend, store_of: Callable[[Backend], Any], project: str, query: Any) -> None:
        expected = await pages_of(store_of(reference).find, project, query)
        self.asked += 1
        self.found += bool(expected[0])
        for backend in self._tested:
            found = await pages_of(store_of(backend).find, project, query)
            same(found, expected, f"{backend.location}, {project!r}: {query}")


def _project(name: str, number: int) -> str:
    return f"{name}{number}"


def ask(folder: Path, url: str, drawn: st.SearchStrategy[list[Any]], *, of: Worlds, times: int, rate: int) -> None:
    """Ask every backend the same of so many worlds; one question in ``rate`` has to find something."""
    stores = Stores(folder, url)
    with asyncio.Runner() as runner:

        @settings(suppress_health_check=list(HealthCheck), max_examples=times)
        @given(of, MAINTAINED, drawn)
        def compare(world: list[Record], slices: int, asked: list[Question]) -> None:
            runner.run(stores.compare(world, slices, asked))

        try:
            runner.run(stores.open())
            compare()
            assert stores.found > stores.asked / rate, "nearly every question found nothing"
        finally:
            runner.run(stores.close())


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is done in slices take several, of few records."""
    for module, name in ((settling, "_KEPT"), (settling, "_SLICE"), (search, "_SLICE_ROWS"), (indexing, "_SLICE_ROWS")):
        monkeypatch.setattr(module, name, 2)
    monkeypatch.setattr(candidates, "_SMALLEST", 3)


@torture("T41", "random filters on both dialects, beside plain Python", rounds=WORLDS * len(PROJECTS) * QUERIES)
@pytest.mark.usefixtures("small_slices")
def test_filters(tmp_path: Path, postgres: Database) -> None:
    """Traces, observations, sessions, scores and ledger entries: the same pages in the same order, cursor by cursor."""
    ask(
        tmp_path,
        postgres.url(),
        st.lists(questions, min_size=QUERIES, max_size=QUERIES),
        of=worlds,
        times=WORLDS,
        rate=4,
    )


@torture("T41", "random conditions on both dialects, beside plain Python", rounds=CROWDS * len(PROJECTS) * QUERIES)
@pytest.mark.usefixtures("small_slices")
def test_conditions(tmp_path: Path, postgres: Database) -> None:
    """Observations by conditions on all that they hold, with or without a phrase that leads there."""
    ask(tmp_path, postgres.url(), conditions, of=crowds, times=CROWDS, rate=8)


@torture(
    "T41", "random conditions on both dialects, where every word is common", rounds=CROWDS * len(PROJECTS) * QUERIES
)
@pytest.mark.usefixtures("small_slices")
def test_conditions_on_common_words(tmp_path: Path, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no index leads to is found by walking through the list."""
    for module in (candidates, sqlite_candidates):
        monkeypatch.setattr(module, "_FEW", -1)
    ask(tmp_path, postgres.url(), conditions, of=crowds, times=CROWDS, rate=8)
