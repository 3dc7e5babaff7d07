"""Erasing beside writers, indexers and retention: nobody waits in a circle, and no row is left under what is gone."""

from __future__ import annotations

import asyncio
import random

from tests.postgres.test_concurrency import ROUNDS, TRACES, write_rounds
from tests.postgres_server import Database
from tracecore.backend import SessionQuery, TraceQuery
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.opening import observations_in, opened, sessions_in, traces_in
from tracecore.testing.samples import PROJECT, json_of, score, span, trace_id_of
from tracecore_postgres import PostgresBackend, open_backend

BENEATH = ("tc_bodies", "tc_search", "tc_unindexed")
LEFT = "SELECT b.id FROM {} b LEFT JOIN tc_observations o ON o.week = b.week AND o.id = b.id WHERE o.id IS NULL"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


async def erase_rounds(backend: PostgresBackend, eraser: int) -> None:
    """Erase traces and scores that others write to, again and again."""
    chance = random.Random(eraser)  # noqa: S311 - a workload
    for _ in range(ROUNDS):
        traces = [trace_id_of(chance.randint(1, TRACES)) for _ in range(2)]
        await backend.erase(PROJECT, trace_ids=traces, score_ids=[f"c{chance.randint(1, 3)}"])
        await asyncio.sleep(0.002)


async def index_rounds(backend: PostgresBackend) -> None:
    """Index what has been written, however little it is."""
    for _ in range(ROUNDS):
        await backend.maintain()


async def nothing_is_left(postgres: Database) -> None:
    """Assert that nothing lies under an observation that is gone."""
    for table in BENEATH:
        assert await postgres.fetch(LEFT.format(table)) == [], table


async def test_erasing_beside_writers_of_the_same_traces(postgres: Database) -> None:
    """Three writers, two erasers and an indexer: no deadlock, and what there is in the end is right in every table."""
    (before,) = await postgres.fetch(DEADLOCKS)
    backends = [open_backend(postgres.url()) for _ in range(6)]
    await asyncio.gather(*(backend.open() for backend in backends))
    try:
        await asyncio.gather(
            *(write_rounds(backend, number) for number, backend in enumerate(backends[:3], 1)),
            *(erase_rounds(backend, number) for number, backend in enumerate(backends[3:5], 4)),
            index_rounds(backends[5]),
        )
        reader = backends[0]
        there = 0
        for number in range(1, TRACES + 1):
            tree = await observations_in(reader).tree(PROJECT, trace_id_of(number))
            trace = await traces_in(reader).get(PROJECT, trace_id_of(number))
            same(trace, roll_up(PROJECT, trace_id_of(number), tree) if tree else None)
            there += trace is not None
        assert there
        listed = (await sessions_in(reader).find(PROJECT, SessionQuery())).items
        traces = (await traces_in(reader).find(PROJECT, TraceQuery())).items
        expected = {trace.attributes.session_id for trace in traces}
        assert {one.session_id for one in listed if one.trace_count} == expected
        await nothing_is_left(postgres)
        (after,) = await postgres.fetch(DEADLOCKS)
        assert after == before
    finally:
        await asyncio.gather(*(backend.close() for backend in backends))


async def test_what_retention_has_left_behind_goes_with_its_project(postgres: Database) -> None:
    """Observations that wait for the end of their week without a trace go with everything else of a project."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        records = [span(at, within=within, input=json_of("x")) for within in range(1, 9) for at in range(1, 4)]
        await backend.write([*records, score("c"), span(1, project="other", input=json_of("x"))])
        while await backend.maintain():
            pass
        await postgres.fetch("DELETE FROM tc_traces WHERE project = $1", PROJECT)
        calls = 1
        while await backend.erase_project(PROJECT, limit=10):
            calls += 1
        assert calls > 3
        assert [row[0] for row in await postgres.fetch("SELECT project FROM tc_observations")] == ["other"]
        assert len(await postgres.fetch("SELECT FROM tc_bodies")) == 1
        await nothing_is_left(postgres)


async def test_an_index_that_is_just_being_made_holds_nothing_of_what_is_erased(postgres: Database) -> None:
    """Who erases waits for who indexes the same texts, and takes what it has written away."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.write([span(1, input=json_of("word"))])
        other = await postgres.connect()
        try:
            await other.execute("BEGIN")
            ((week, number),) = await other.fetch("DELETE FROM tc_unindexed RETURNING week, id")
            await other.fetch("INSERT INTO tc_search VALUES ($1, $2, $3)", week, number, [1])
            erasing = asyncio.create_task(backend.erase(PROJECT, trace_ids=[trace_id_of(1)]))
            while not await postgres.fetch("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - a server's lock
                await asyncio.sleep(0.01)
            await other.execute("COMMIT")
            await asyncio.wait_for(erasing, 20)
        finally:
            await other.close()
        await nothing_is_left(postgres)
