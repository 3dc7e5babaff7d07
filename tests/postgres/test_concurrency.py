"""Several writers of the same traces and sessions take turns: nothing is lost, and nobody waits in a circle."""

from __future__ import annotations

import asyncio
import random

from msgspec.structs import replace

from tests.postgres_server import Database
from tracecore.backend import SessionQuery, TraceQuery
from tracecore.records import Record, Score, TraceAttributes, merge
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.opening import observations_in, opened, sessions_in, traces_in
from tracecore.testing.samples import PROJECT, entry, generation, score, session, span, span_id_of, trace_id_of
from tracecore_postgres import PostgresBackend, open_backend

ROUNDS = 40
TRACES = 5


def drawn(chance: random.Random, writer: int, number: int) -> list[Record]:
    """Return a batch of some traces that all writers share, in any order."""
    batch: list[Record] = []
    for place in chance.sample(range(1, TRACES + 1), 4):
        attributes = TraceAttributes(session_id=f"s{chance.randint(1, 3)}", user_id=f"u{writer}")
        own = 1000 * writer + number
        batch += [
            span(chance.randint(1, 3), within=place, status=chance.choice(["running", "ok"]), trace=attributes),
            generation(
                own, within=place, after_s=number, usage_details={"input": 1}, total_cost=0.25, trace=attributes
            ),
        ]
    batch += [session(f"s{chance.randint(1, 3)}", public=True), score(f"c{chance.randint(1, 3)}", value=float(number))]
    batch.append(entry(f"p{writer}", emitted=number, delivered=number))
    chance.shuffle(batch)
    return batch


async def write_rounds(backend: PostgresBackend, writer: int) -> None:
    """Write many batches, one after the other."""
    chance = random.Random(writer)  # noqa: S311 - a workload
    for number in range(ROUNDS):
        await backend.write(drawn(chance, writer, number))


async def test_writers_of_the_same_traces_take_turns(postgres: Database) -> None:
    """Three writers, the same traces, sessions and scores: no deadlock, every record, roll-ups by the law."""
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    (before,) = await postgres.fetch(deadlocks)
    writers = [open_backend(postgres.url()) for _ in range(3)]
    await asyncio.gather(*(backend.open() for backend in writers))
    try:
        await asyncio.gather(*(write_rounds(backend, number) for number, backend in enumerate(writers, 1)))
        reader = writers[0]
        for number in range(1, TRACES + 1):
            tree = await observations_in(reader).tree(PROJECT, trace_id_of(number))
            assert len({one.span_id for one in tree}) == len(tree)
            same(await traces_in(reader).get(PROJECT, trace_id_of(number)), roll_up(PROJECT, trace_id_of(number), tree))
        own = await postgres.fetch("select count(*) from tc_observations where kind = 2")
        assert own[0][0] == 3 * ROUNDS * 4
        sessions = (await sessions_in(reader).find(PROJECT, SessionQuery())).items
        traces = (await traces_in(reader).find(PROJECT, TraceQuery())).items
        starts = {one.attributes.session_id: one.start_ns for one in reversed(traces)}
        keys = await postgres.fetch("select session_id, last_start_ns from tc_sessions where last_start_ns > 0")
        assert {row[0]: row[1] for row in keys} == starts
        assert {one.session_id for one in sessions} >= starts.keys()
    finally:
        await asyncio.gather(*(backend.close() for backend in writers))
    (after,) = await postgres.fetch(deadlocks)
    assert after == before


async def test_a_running_observation_never_wins(postgres: Database) -> None:
    """Whoever comes first: the end of one writer and the beginning of another are merged as records are."""
    async with opened(open_backend(postgres.url())) as first, opened(open_backend(postgres.url())) as second:
        for number in range(1, 21):
            begun, ended = span(number, status="running", version="v"), span(number, status_message="done")
            await asyncio.gather(first.write([begun]), second.write([ended]))
            found = await observations_in(first).get(PROJECT, trace_id_of(1), span_id_of(number))
            same(found, merge(begun, ended))


async def test_indexing_beside_writing_misses_no_text(postgres: Database) -> None:
    """What is rewritten while somebody sorts its text into the index is in the queue again, or was read anew."""
    backend, other = open_backend(postgres.url()), open_backend(postgres.url())
    async with opened(backend), opened(other):
        for number in range(8):
            texts = [span(n, within=n, status_message=f"word{number}") for n in range(1, 221)]
            await asyncio.gather(backend.write(texts), other.maintain(), other.traces.find(PROJECT, TraceQuery()))
            found = await backend.traces.find(PROJECT, TraceQuery(search=f"word{number}", limit=300))
            assert len(found.items) == 220
            stale = await backend.traces.find(PROJECT, TraceQuery(search=f"word{number - 1}", limit=300))
            assert stale.items == []


def test_the_scores_of_a_batch_are_merged() -> None:
    """The rule of scores is that of all records."""
    first = Score(PROJECT, "c", "n", 1, comment="kept")
    assert merge(first, replace(first, comment=None, value=1.0)) == replace(first, value=1.0)
