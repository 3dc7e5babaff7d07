"""Weeks are partitions: made before they are needed, and dropped as a whole; the rest goes slice by slice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import ManualClock
from tests.postgres_server import Database
from tracecore.records import Record, TraceAttributes
from tracecore.testing.opening import observations_in, opened, sessions_in, traces_in
from tracecore.testing.samples import PROJECT, START, json_of, score, session, span, trace_id_of
from tracecore_postgres import PostgresBackend
from tracecore_postgres.address import parse
from tracecore_postgres.partitions import WEEK_NS

WEEK = START // WEEK_NS
DAY_S = 24 * 3600
PARTITIONS = """
select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relispartition and c.relkind = 'r' order by 1
"""


async def weeks_of(postgres: Database, table: str = "tc_observations") -> set[int]:
    """Return the weeks that have a partition of a table."""
    names = [row[0] for row in await postgres.fetch(PARTITIONS, postgres.schema)]
    return {int(found[1]) for name in names if (found := re.fullmatch(rf"{table}_w(\d+)", name))}


def backend_at(postgres: Database, wall: ManualClock, **parameters: Any) -> PostgresBackend:
    """Return a backend that goes by a clock of ours."""
    return PostgresBackend(parse(postgres.url(**parameters)), access="write", wall=wall, clock=wall)


@pytest.fixture
def wall() -> ManualClock:
    """Return a clock that stands at the start of everything."""
    clock = ManualClock()
    clock.advance((START - clock()) / 1e9)
    return clock


async def maintained(backend: PostgresBackend) -> int:
    """Do all that is put off, and return in how many slices."""
    slices = 0
    while await backend.maintain():
        slices += 1
    return slices


async def test_a_week_gets_a_partition_when_it_is_written_to(postgres: Database, wall: ManualClock) -> None:
    """Each week that a batch needs is made in every partitioned table; what no week may have shares one."""
    weeks = (0, 1, 5)
    backend = backend_at(postgres, wall)
    async with opened(backend):
        ages = [span(1, within=1 + n, after_s=-7 * DAY_S * n) for n in weeks]
        await backend.write([*ages, span(1, within=50, start_ns=5), span(1, within=51, start_ns=2**62)])
        expected = {WEEK - n for n in weeks}
        for table in ("tc_observations", "tc_bodies", "tc_search"):
            assert await weeks_of(postgres, table) == expected
        stored = await postgres.fetch("select week, tableoid::regclass::text from tc_observations order by 1")
        assert [row[0] for row in stored] == [0, 0, *sorted(expected)]
        assert {name for week, name in stored if not week} == {"tc_observations_rest"}
        for number in (1, 2, 6, 50, 51):
            assert len(await observations_in(backend).tree(PROJECT, trace_id_of(number))) == 1


async def test_a_trace_stays_in_its_week(postgres: Database, wall: ManualClock) -> None:
    """Its week is that in which it was first known to begin, whatever comes later."""
    backend = backend_at(postgres, wall)
    async with opened(backend):
        await backend.write([span(1)])
        await backend.write([span(1, after_s=-8 * DAY_S), span(2, after_s=8 * DAY_S), span(3, start_ns=1)])
        assert {row[0] for row in await postgres.fetch("select week from tc_observations")} == {WEEK}
        assert len(await observations_in(backend).tree(PROJECT, trace_id_of(1))) == 3


async def test_partitions_are_made_ahead(postgres: Database, wall: ManualClock) -> None:
    """Housekeeping makes this week's and the next, looking once an hour; everybody reads and writes meanwhile."""
    backend = backend_at(postgres, wall)
    async with opened(backend):
        await maintained(backend)
        assert await weeks_of(postgres) == {WEEK, WEEK + 1}
        wall.advance(7 * DAY_S)
        other = await postgres.connect()
        try:
            await other.execute("BEGIN; SELECT * FROM tc_observations; INSERT INTO tc_unindexed VALUES (1, 1)")
            await asyncio.wait_for(maintained(backend), 20)
            await other.execute("ROLLBACK")
        finally:
            await other.close()
        assert await weeks_of(postgres) == {WEEK, WEEK + 1, WEEK + 2}


async def test_several_make_one_partition(postgres: Database, wall: ManualClock) -> None:
    """Many first writes into a new week at once make one partition and keep every record."""
    backends = [backend_at(postgres, wall) for _ in range(4)]
    await asyncio.gather(*(backend.open() for backend in backends))
    await asyncio.gather(*(backend.write([span(n, within=n)]) for n, backend in enumerate(backends, 1)))
    assert await weeks_of(postgres) == {WEEK}
    assert len(await postgres.fetch("select from tc_observations")) == 4
    await asyncio.gather(*(backend.close() for backend in backends))


def old_and_new() -> list[Record]:
    """Return traces of some weeks: ended long ago, lately, begun long ago and ended lately; sessions and scores."""
    old, new = TraceAttributes(session_id="old"), TraceAttributes(session_id="both")
    return [
        *(span(1, within=n, after_s=-40 * DAY_S + n, trace=old, input=json_of("x")) for n in range(1, 31)),
        span(1, within=100, after_s=-22 * DAY_S, trace=new, input=json_of("x")),
        span(1, within=101, after_s=-22 * DAY_S, duration_ns=21 * DAY_S * 10**9, trace=new, input=json_of("y")),
        span(1, within=102, trace=new), span(1, within=103, start_ns=7, input=json_of("rest")),
        session("own", public=True), score("c1", trace_id=trace_id_of(1)), score("c2", trace_id=trace_id_of(102)),
    ]  # fmt: skip


async def test_what_is_too_old_goes(postgres: Database, wall: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces that ended before the bound, with everything of theirs; a week without a trace is dropped as it is."""
    monkeypatch.setattr("tracecore_postgres.retention._SLICE", 7)
    backend = backend_at(postgres, wall, retention_days=14)
    async with opened(backend):
        await backend.write(old_and_new())
        assert await maintained(backend) > 5
        kept = {101, 102}
        traces = {row[0] for row in await postgres.fetch("select trace_id from tc_traces")}
        assert traces == set(map(trace_id_of, kept))
        assert {row[0] for row in await postgres.fetch("select trace_id from tc_observations")} == traces
        assert len(await postgres.fetch("select from tc_bodies")) == 1
        assert await postgres.fetch("select from tc_unindexed q left join tc_observations o using (week, id) "
                                    "where o.id is null") == []  # fmt: skip
        assert [row[0] for row in await postgres.fetch("select score_id from tc_scores")] == ["c2"]
        assert [row[0] for row in await postgres.fetch("select session_id from tc_sessions order by 1")] == [
            "both",
            "own",
        ]
        assert await weeks_of(postgres) == {(START - 22 * DAY_S * 10**9) // WEEK_NS, WEEK, WEEK + 1}
        assert await traces_in(backend).get(PROJECT, trace_id_of(1)) is None
        assert await sessions_in(backend).get(PROJECT, "old") is None


async def test_without_retention_nothing_goes(postgres: Database, wall: ManualClock) -> None:
    """What is not asked for does not happen."""
    backend = backend_at(postgres, wall)
    async with opened(backend):
        await backend.write(old_and_new())
        await maintained(backend)
        assert len(await postgres.fetch("select from tc_traces")) == 34


async def test_a_late_record_of_a_removed_week_is_kept(postgres: Database, wall: ManualClock) -> None:
    """Whoever still thinks that a dropped partition is there makes it again."""
    backend, late = backend_at(postgres, wall, retention_days=14), backend_at(postgres, wall)
    async with opened(backend), opened(late):
        await late.write([span(1, after_s=-40 * DAY_S)])
        await maintained(backend)
        assert await postgres.fetch("select from tc_observations") == []
        await late.write([span(2, within=2, after_s=-40 * DAY_S)])
        assert len(await observations_in(late).tree(PROJECT, trace_id_of(2))) == 1


async def test_removing_beside_writing_loses_nothing_new(postgres: Database, wall: ManualClock) -> None:
    """Two processes remove while others write to the same traces: what is new is there, whole, afterwards."""
    backends = [backend_at(postgres, wall, retention_days=14) for _ in range(3)]
    await asyncio.gather(*(backend.open() for backend in backends))

    async def write(numbers: Sequence[int]) -> None:
        for number in numbers:
            await backends[0].write([replace(span(1, within=number), status_message="new")])

    try:
        await backends[0].write(old_and_new())
        await asyncio.gather(write(range(1, 31)), *(maintained(backend) for backend in backends[1:]))
        for number in range(1, 31):
            (one,) = await observations_in(backends[0]).tree(PROJECT, trace_id_of(number))
            trace = await traces_in(backends[0]).get(PROJECT, trace_id_of(number))
            assert one.status_message == "new"
            assert trace is not None
            assert trace.observation_count == 1
    finally:
        await asyncio.gather(*(backend.close() for backend in backends))
