"""Behind a pooler that hands connections around everything works as ever, without being told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.postgres.pooling import PGBOUNCER, Alternating, pgbouncer
from tests.postgres_server import Database
from tracecore.backend import ObservationQuery, TraceQuery
from tracecore.catalog import CatalogQuery, Entry, Put
from tracecore.errors import BackendUnavailable, Conflict
from tracecore.records import Provenance
from tracecore.testing.opening import observations_in, opened, sql_of, traces_in
from tracecore.testing.samples import PROJECT, entry, generation, json_of, score, session, span, trace_id_of
from tracecore_postgres import PostgresBackend, open_backend

POOLERS = ["alternating", *(["pgbouncer", "pgbouncer, ignoring"] if PGBOUNCER else [])]
"""Without a real one the smallest shows the same errors; one that ignores settings does not even refuse ours."""


def pooler_of(kind: str, postgres: Database, folder: Path) -> AbstractAsyncContextManager[str]:
    """Return a pooler of a kind."""
    if kind == "alternating":
        return Alternating(postgres, folder).open()
    ignoring = "search_path, jit, idle_in_transaction_session_timeout"
    return pgbouncer(postgres, folder, **({"ignore_startup_parameters": ignoring} if "," in kind else {}))


@pytest.fixture(params=POOLERS)
async def folder(request: pytest.FixtureRequest, postgres: Database, tmp_path: Path) -> AsyncIterator[str]:
    """Return the folder of a pooler's socket."""
    async with pooler_of(request.param, postgres, tmp_path) as folder:
        yield folder


@pytest.fixture
def make(folder: str, postgres: Database) -> Callable[..., PostgresBackend]:
    """Return what makes backends behind the pooler."""

    def make(**parameters: object) -> PostgresBackend:
        url = postgres.url(**parameters)
        return open_backend(url.replace(quote(str(postgres.folder), safe=""), quote(folder, safe="")))

    return make


async def do_everything(backend: PostgresBackend) -> None:
    """Write, merge, read, search, ask and tidy up, several times, so that every session is met."""
    for number in range(1, 7):
        batch = [
            span(1, within=number, status="running", provenance=Provenance(service_instance_id="p")), session("s"),
            generation(2, within=number, status_message=f"word{number}"), score(f"c{number}"), entry("p", ended=True),
        ]  # fmt: skip
        await backend.write(batch)
        await backend.write([span(1, within=number, status_message="again")])
        tree = await observations_in(backend).tree(PROJECT, trace_id_of(number))
        assert [one.status_message for one in tree] == ["again", f"word{number}"]
        found = await traces_in(backend).find(PROJECT, TraceQuery(search=f"word{number}"))
        assert [one.trace_id for one in found.items] == [trace_id_of(number)]
        many = await asyncio.gather(*(backend.observations.find(PROJECT, ObservationQuery()) for _ in range(5)))
        assert {len(page.items) for page in many} == {2 * number}
        while await backend.maintain():
            pass
        managed = Entry(project=PROJECT, kind="k", id="1", body=json_of(number), refs=("r",))
        await backend.catalog.commit([Put(managed, number - 1)])
        with pytest.raises(Conflict):
            await backend.catalog.commit([Put(managed, number - 1)])
        assert (await backend.catalog.find(PROJECT, CatalogQuery(kind="k", refs=("r",)))).items[0].revision == number
        await backend.write([span(1, within=99)])
        erased = await backend.erase(PROJECT, trace_ids=[trace_id_of(99), trace_id_of(98)])
        assert (erased.traces, erased.observation_count) == ((trace_id_of(99),), 1)


async def test_everything_works(make: Callable[..., PostgresBackend], postgres: Database) -> None:
    """The backend finds out by itself, and nothing fails on the way."""
    backend = make()
    async with opened(backend):
        await do_everything(backend)
        assert backend._connector.pooled
        rows = (await sql_of(backend).query("select count(*) from spans")).rows
        assert rows == [(12,)]
    assert len(await postgres.fetch("select from tc_observations")) == 12


async def test_everything_works_when_it_is_told(make: Callable[..., PostgresBackend]) -> None:
    """With statement_cache_size=0 nothing has to be found out; commits are as safe as the URL says."""
    backend = make(statement_cache_size=0, synchronous_commit="local")
    assert backend._connector.pooled
    async with opened(backend):
        await do_everything(backend)


async def test_what_is_read_first_finds_out_too(make: Callable[..., PostgresBackend], postgres: Database) -> None:
    """A reader behind a pooler that loses its prepared statement says so once at most, and then reads."""
    async with opened(open_backend(postgres.url())) as writer:
        await writer.write([span(1)])
    backend, failures = make(), 0
    async with opened(backend):
        for _ in range(6):
            try:
                assert len((await traces_in(backend).find(PROJECT, TraceQuery())).items) == 1
            except BackendUnavailable:
                failures += 1
        assert failures <= 1


async def test_a_straight_connection_keeps_its_statements(postgres: Database) -> None:
    """Without a pooler the session keeps its settings and its prepared statements."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await do_everything(backend)
        assert not backend._connector.pooled
