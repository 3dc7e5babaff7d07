"""The catalog in a schema: its lists follow an index each, and random programs say what the reference says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.postgres.test_query_plans import Explainer, every_one_of
from tests.postgres.test_query_plans import explainer as _explainer
from tests.postgres_server import Database, admin
from tests.torture.declaring import torture
from tracecore.catalog import CatalogQuery, Entry, Put
from tracecore.errors import BackendUnavailable, Conflict
from tracecore.testing.catalog_machine import run_catalog_machine
from tracecore.testing.opening import MakeBackend, opened
from tracecore.testing.samples import json_of
from tracecore_postgres import PostgresBackend, open_backend

explainer = _explainer
KINDS = 12
FILTERS: dict[str, Any] = {
    "parent": "p1", "name": "n7", "prefix": "n99", "refs": ("r1", "s2"), "at_ns": 5, "min_position": 3,
    "max_position": 900, "ascending": True, "offset": 2,
}  # fmt: skip
INDEXES = {
    "tc_catalog_pkey", "tc_catalog_by_name", "tc_catalog_by_position", "tc_catalog_by_parent", "tc_catalog_refs_pkey",
}  # fmt: skip


@pytest.fixture(scope="module")
def filled() -> Iterator[Database]:
    """Return a schema with some thousand entries of some kinds."""

    async def fill(database: Database) -> None:
        backend = open_backend(database.url())
        async with opened(backend):
            for kind in range(KINDS):
                await backend.catalog.commit([Put(_entry(f"kind {kind}", number)) for number in range(1000)])
        await database.fetch("VACUUM ANALYZE")

    with admin() as database:
        asyncio.run(fill(database))
        yield database


def _entry(kind: str, number: int) -> Entry:
    return Entry(
        project="default", kind=kind, id=str(number), body=json_of("x" * 100), name=f"n{number}",
        parent=f"p{number % 7}", refs=(f"r{number % 5}", f"s{number % 11}"), position=number, attachment=b"x",
    )  # fmt: skip


@pytest.fixture
async def reading(filled: Database, explainer: Explainer) -> AsyncIterator[PostgresBackend]:
    """Open the schema for reading; no statement of opening is noted."""
    backend = open_backend(filled.url(), access="read")
    async with opened(backend):
        explainer.plans()
        yield backend


@torture("R-18", "the query plan of every list")
async def test_lists_follow_an_index(reading: PostgresBackend, explainer: Explainer) -> None:
    """Whatever is asked for, an index leads to it, and no table is walked through from end to end."""
    for chosen in every_one_of(FILTERS):
        await reading.catalog.find("default", CatalogQuery(kind="kind 3", **chosen))
        (plan,) = explainer.plans()
        assert plan.scanned == set(), plan
        assert plan.indexes <= INDEXES, plan
        refs: set[str] = {"tc_catalog_refs"} if "refs" in chosen else set()
        assert plan.tables == {"tc_catalog"} | refs, plan
        page = plan.sql.partition(") p CROSS JOIN")[0].rpartition("FROM (")[2]
        assert page, plan
        assert "body" not in page, plan


async def test_single_entries_follow_an_index(reading: PostgresBackend, explainer: Explainer) -> None:
    """One entry and its attachment are found by their keys."""
    assert await reading.catalog.get("default", "kind 3", "7") is not None
    assert await reading.catalog.named("default", "kind 3", "n7") is not None
    by_id, by_name = explainer.plans()
    assert by_id.scanned == by_name.scanned == set()
    assert by_id.indexes == {"tc_catalog_pkey", "tc_catalog_attachments_pkey"}
    assert by_name.indexes == {"tc_catalog_by_name", "tc_catalog_attachments_pkey"}


async def test_a_conflict_costs_no_connection(postgres: Database) -> None:
    """Who is second is told so over the connection that the next commit uses."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.catalog.commit([Put(_entry("k", 1))])
        sessions = await postgres.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'tracecore'")
        with pytest.raises(Conflict):
            await backend.catalog.commit([Put(_entry("k", 1), 0)])
        await backend.catalog.commit([Put(_entry("k", 1), 1)])
        again = await postgres.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'tracecore'")
        assert {row[0] for row in again} == {row[0] for row in sessions}


async def test_commits_outlive_a_connection_that_is_cut(postgres: Database) -> None:
    """A commit whose connection the server ends says so, and the next one has another."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.catalog.commit([Put(_entry("k", 1))])
        await postgres.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tracecore'"
        )
        for _ in range(3):
            try:
                await backend.catalog.commit([Put(_entry("k", 2))])
            except BackendUnavailable:
                continue
            break
        assert await backend.catalog.get("default", "k", "2") is not None


async def test_a_commit_waits_for_another_ones_end(postgres: Database) -> None:
    """While another process is in the middle of a commit nobody else begins one; reads go on."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.catalog.commit([Put(_entry("k", 1))])
        other = await postgres.connect()
        try:
            await other.execute("BEGIN")
            lock = "SELECT pg_advisory_xact_lock($1, hashtext($2 || ' catalog'))"
            await other.fetch(lock, 0x74726163, postgres.schema)
            waiting = asyncio.create_task(backend.catalog.commit([Put(_entry("k", 2))]))
            while not await postgres.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):  # noqa: ASYNC110 - a server's lock
                await asyncio.sleep(0.01)
            assert (await backend.catalog.find("default", CatalogQuery(kind="k"))).total == 1
            assert not waiting.done()
            await other.execute("COMMIT")
            await asyncio.wait_for(waiting, 20)
        finally:
            await other.close()
        assert (await backend.catalog.find("default", CatalogQuery(kind="k"))).total == 2


def test_random_catalogs() -> None:
    """Whatever is committed in whatever order, every list is that of the reference, and so is every refusal."""
    with ExitStack() as schemas:

        def fresh() -> MakeBackend:
            url = schemas.enter_context(admin()).url()
            return lambda: open_backend(url)

        run_catalog_machine(fresh, durable=True, examples=8)
