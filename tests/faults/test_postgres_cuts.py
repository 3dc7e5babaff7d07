"""The connection to PostgreSQL breaks at every step of its protocol, or falls silent, or its write is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.cutting import Way
from tests.postgres_server import Database
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial
from tracecore.backend import Batch
from tracecore.errors import BackendUnavailable
from tracecore.records import TraceAttributes
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.opening import observations_in, opened, traces_in
from tracecore.testing.samples import PROJECT, entry, generation, json_of, score, session, span, trace_id_of
from tracecore_postgres import PostgresBackend, open_backend

SAID = TraceAttributes(session_id="s", tags=("a",))
STEPS = 1000
"""More than a run has."""


@pytest.fixture
async def way(postgres: Database, tmp_path: Path) -> AsyncIterator[Way]:
    """Return a way to the schema of this test, which exists."""
    async with opened(open_backend(postgres.url())), Way(postgres, tmp_path).open() as way:
        yield way


def batches_of(number: int) -> list[Batch]:
    """Return batches that take every statement of the writer: new traces, known ones, merging, uniting, all kinds."""
    trace = 10 * number + 1
    return [
        [span(1, within=trace, status="running", trace=SAID), generation(2, within=trace, total_cost=0.5)],
        [
            span(1, within=trace, output=json_of("done"), trace=TraceAttributes(session_id=f"s{number}", tags=("b",))),
            span(3, within=trace, level="ERROR"), span(1, within=trace + 1), session("s", public=True),
            score(f"c{number}", value=1.0), entry(f"p{number}", emitted=4, delivered=4, ended=True),
        ],
    ]  # fmt: skip


async def kept(backend: PostgresBackend, batch: Batch) -> None:
    """Write a batch until it is kept, as a pump does; nothing but BackendUnavailable may come out."""
    said: list[str] = []
    for _ in range(10):
        try:
            await backend.write(batch)
        except BackendUnavailable as error:
            said.append(str(error))
        else:
            return
    pytest.fail(f"the batch was never kept: {said}")


async def check(postgres: Database, reader: PostgresBackend, number: int) -> None:
    """Find every record of a round once, and its traces by the law."""
    for trace, count in ((10 * number + 1, 3), (10 * number + 2, 1)):
        tree = await observations_in(reader).tree(PROJECT, trace_id_of(trace))
        assert [one.status for one in tree] == ["ok"] * count
        same(await traces_in(reader).get(PROJECT, trace_id_of(trace)), roll_up(PROJECT, trace_id_of(trace), tree))
    for table, name in (("tc_scores", f"c{number}"), ("tc_ledger", f"p{number}")):
        key = "score_id" if table == "tc_scores" else "process"
        (row,) = await postgres.fetch(f"select count(*) from {table} where {key} = $1", name)  # noqa: S608 - names of this file
        assert row[0] == 1


@pytest.mark.timeout(600)
@torture("T19", "PostgreSQL connection cut at every step of its protocol")
async def test_each_step_may_be_the_last(way: Way, postgres: Database, trial: Trial) -> None:
    """Cut at message 1, 2, … of connecting and writing: afterwards each record is stored, once.

    With few rounds only at every sixth.
    """
    reader = open_backend(postgres.url(), access="read")
    async with opened(reader):
        number, rounds = 0, 0
        for number in range(1, STEPS, by_mode(6, full=1)):
            rounds += 1
            backend = open_backend(way.url)
            way.begin(cut_at=number)
            for _ in range(3):
                with contextlib.suppress(BackendUnavailable):
                    await backend.open()
                    break
            for batch in batches_of(number):
                await kept(backend, batch)
            await backend.close()
            await check(postgres, reader, number)
            if not way.cuts:
                break
        assert 40 < number < STEPS - 1
        observations = await postgres.fetch("select project, trace_id, span_id from tc_observations")
        assert len(observations) == len(set(observations)) == 4 * rounds
        bodies = "select from tc_bodies b left join tc_observations o using (week, id) where o.id is null"
        assert await postgres.fetch(bodies) == []
    trial.ran = rounds
    trial.figures.append(f"{number} steps")


async def test_a_cancelled_write_does_nothing_beside_the_next(postgres: Database) -> None:
    """A write that waits for a lock is cancelled: the server works on it no more when the next one is written."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.write([span(1)])
        other = await postgres.connect()
        try:
            await other.execute("BEGIN; LOCK TABLE tc_observations IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await backend.write([span(2)])
            working = "select pid from pg_stat_activity where application_name = 'tracecore' and state = 'active'"
            (left,) = await postgres.fetch(working)
            next_write = asyncio.create_task(backend.write([span(3)]))
            async with asyncio.timeout(20):
                while left in await postgres.fetch(working):  # noqa: ASYNC110 - another process ends
                    await asyncio.sleep(0.01)
            await other.execute("ROLLBACK")
            await next_write
        finally:
            await other.close()
        assert {one.span_id[-1] for one in await observations_in(backend).tree(PROJECT, trace_id_of(1))} == {"1", "3"}


@pytest.mark.parametrize("silent_at", range(1, 30, 4))
async def test_a_server_that_falls_silent_is_left(way: Way, silent_at: int) -> None:
    """At whatever message nothing comes any more: a write that is cancelled can be made again at once."""
    backend = open_backend(way.url)
    async with opened(backend):
        await backend.write([span(9, within=9)])
        way.begin(silent_at=silent_at)
        for batch in batches_of(1):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await backend.write(batch)
        way.begin()
        for batch in batches_of(1):
            await kept(backend, batch)
        tree = await observations_in(backend).tree(PROJECT, trace_id_of(11))
        assert [one.status for one in tree] == ["ok"] * 3


async def test_cancelling_at_any_moment_leaves_a_batch_whole_or_absent(postgres: Database) -> None:
    """Cancelled after 1, 2, … turns of the loop, a batch is kept whole or not at all, and the next write goes on."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.write([span(9, within=9)])
        for turns in range(0, 40, 2):
            trace = 100 + turns
            task = asyncio.create_task(backend.write([span(1, within=trace), span(2, within=trace)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await backend.write([span(1, within=9, after_s=turns)])
            assert len(await observations_in(backend).tree(PROJECT, trace_id_of(trace))) in {0, 2}


async def test_a_server_that_ends_our_sessions_is_connected_to_again(postgres: Database) -> None:
    """After an administrator has ended every session, writing and reading go on by themselves."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        await backend.write([span(1)])
        assert await traces_in(backend).get(PROJECT, trace_id_of(1)) is not None
        end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'tracecore'"
        await postgres.fetch(end)
        await asyncio.sleep(0)
        await kept(backend, [span(2)])
        for _ in range(5):
            with contextlib.suppress(BackendUnavailable):
                assert len(await observations_in(backend).tree(PROJECT, trace_id_of(1))) == 2
                break
        else:
            pytest.fail("nothing could be read any more")
