"""All ways of writing give the same rows: at once or one by one, as they are or with care, in this order or another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from tests.postgres_server import Database, admin
from tracecore.backend import Batch
from tracecore.records import Generation, LedgerEntry, Record, Span, TraceAttributes
from tracecore.rollup import roll_up
from tracecore.testing import strategies
from tracecore.testing.comparing import same
from tracecore.testing.opening import observations_in, opened, opened_with, traces_in
from tracecore.testing.samples import PROJECT, generation, json_of, span, trace_id_of
from tracecore_postgres import PostgresBackend, open_backend, writer
from tracecore_postgres.writer import Writer
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS

LISTED = ", ".join(f"o.{column}" for column in (*LIST_COLUMNS, "process"))
BODY = ", ".join(f"b.{column}" for column in BODY_COLUMNS)
TABLES = {
    "observations": f"select {LISTED}, {BODY} from tc_observations o left join tc_bodies b using (week, id)",  # noqa: S608 - names of this file
    "traces": "select to_jsonb(t) - 'week' from tc_traces t",  # a trace stays in the week that it was first seen in
    "sessions": "select * from tc_sessions",
    "scores": "select * from tc_scores",
    "ledger": "select * from tc_ledger",
    "bodies of nobody": "select from tc_bodies b left join tc_observations o using (week, id) where o.id is null",
}
EMPTY = "truncate tc_observations, tc_bodies, tc_traces, tc_sessions, tc_scores, tc_ledger, tc_unindexed, tc_search"


async def rows_of(database: Database) -> dict[str, list[str]]:
    """Return what is stored, but for ids."""
    return {name: sorted(map(repr, await database.fetch(sql))) for name, sql in TABLES.items()}


async def written(database: Database, batches: Sequence[Batch]) -> dict[str, list[str]]:
    """Return the rows that batches leave in an empty schema."""
    backend = open_backend(database.url())
    async with opened(backend):
        await database.execute(EMPTY)
        for batch in batches:
            await backend.write(batch)
    return await rows_of(database)


def force(monkeypatch: pytest.MonkeyPatch, *, careful: bool) -> None:
    """Have everything written with care, at once, instead of only what needs it."""
    transact = Writer._transact

    async def always(self: Writer, kinds: Any, weeks: Any, **_: bool) -> None:
        await transact(self, kinds, weeks, careful=careful)

    monkeypatch.setattr(Writer, "_transact", always)


def test_all_ways_give_the_same_rows() -> None:
    """Random batches: written together, record by record, twice, with care throughout, and in small statements."""
    with ExitStack() as schemas:
        database = schemas.enter_context(admin())
        runner = schemas.enter_context(asyncio.Runner())

        @settings(max_examples=10)
        @given(st.lists(st.one_of(strategies.records, strategies.entries), min_size=1, max_size=12))
        def compare(records: list[Record]) -> None:
            together = runner.run(written(database, [records]))
            assert runner.run(written(database, [[one] for one in records])) == together
            assert runner.run(written(database, [records, records[len(records) // 2 :]])) == runner.run(
                written(database, [[*records, *records[len(records) // 2 :]]])
            )
            with pytest.MonkeyPatch.context() as patched:
                force(patched, careful=True)
                assert runner.run(written(database, [records])) == together
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(writer, "ROWS_AT_ONCE", 2)
                assert runner.run(written(database, [records])) == together

        compare()


async def test_a_trace_without_its_row_keeps_its_observations(postgres: Database) -> None:
    """It seems new to what is written to it, as while retention removes it; what is there is merged and rolled up."""
    async with opened(open_backend(postgres.url())) as backend:
        await backend.write([span(1), span(2)])
        await postgres.execute("delete from tc_traces")
        late = [span(1, output=json_of("late")), span(3), span(4, within=2)]
        await backend.write(late)
        tree = await observations_in(backend).tree(PROJECT, trace_id_of(1))
        assert len(tree) == 3
        assert json_of("late") in [one.output for one in tree]
        same(await traces_in(backend).get(PROJECT, trace_id_of(1)), roll_up(PROJECT, trace_id_of(1), tree))
        assert len(await observations_in(backend).tree(PROJECT, trace_id_of(2))) == 1


SAID = TraceAttributes(name="named", user_id="u", session_id="s", tags=("a", "b"), metadata=json_of({"a": 1}))
LATER = TraceAttributes(user_id="v", session_id="t", tags=("c",), metadata=json_of({"b": 2}))


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_trace_says_what_its_observations_say(postgres: Database, *, at_once: bool) -> None:
    """Roll-ups follow the law of tracecore.rollup for new traces and for known ones, also where attributes differ."""
    records = [
        span(1, status="running", trace=SAID), span(2, after_s=1, parent_id="0" * 15 + "1", trace=LATER),
        generation(3, after_s=2, parent_id="0" * 15 + "1", usage_details={"input": 3}, total_cost=0.5, trace=SAID),
        generation(4, after_s=-1, parent_id="0" * 15 + "1", usage_details={"output": 2**70}, app_root=True),
        span(5, parent_id="0" * 15 + "1", level="ERROR", start_ns=-(2**60)), span(1, output=json_of("done")),
    ]  # fmt: skip
    async with opened(open_backend(postgres.url())) as backend:
        for batch in [records] if at_once else [[one] for one in records]:
            await backend.write(batch)
        tree = await observations_in(backend).tree(PROJECT, trace_id_of(1))
        assert len(tree) == 5
        same(await traces_in(backend).get(PROJECT, trace_id_of(1)), roll_up(PROJECT, trace_id_of(1), tree))
        assert [row[0] for row in await postgres.fetch("select session_id from tc_sessions")] == ["s"]


async def test_a_session_follows_its_traces(postgres: Database) -> None:
    """A trace that moves to another session, or begins at another time, takes the key of the list with it."""
    keys = "select session_id, last_start_ns, own from tc_sessions order by 1"
    first, second = TraceAttributes(session_id="first"), TraceAttributes(session_id="second")
    begun = span(1, trace=first)
    async with opened_with(open_backend(postgres.url()), [begun]) as backend:
        assert [tuple(row) for row in await postgres.fetch(keys)] == [("first", begun.start_ns, 0)]
        await backend.write([span(1, start_ns=begun.start_ns - 5, trace=first)])
        assert [tuple(row) for row in await postgres.fetch(keys)] == [("first", begun.start_ns - 5, 0)]
        await backend.write([span(1, start_ns=begun.start_ns - 5, trace=second)])
        assert [tuple(row) for row in await postgres.fetch(keys)] == [("second", begun.start_ns - 5, 0)]


async def test_a_text_with_everything_in_it_is_found_again(postgres: Database) -> None:
    """What has to be escaped is stored beside what has not; lists find both by their values."""
    odd = "\0\x01\x02\x03\ud7ff\udfff"
    records = [
        span(1, name="plain"), span(2, name=odd, input=Raw(b'"\x80\xff"')), span(3, within=2, version=odd),
        LedgerEntry(PROJECT, odd, 0, ended=True),
    ]  # fmt: skip
    async with opened_with(open_backend(postgres.url()), records) as backend:
        first, second = await observations_in(backend).tree(PROJECT, trace_id_of(1))
        assert (first.name, second.name, bytes(second.input)) == ("plain", odd, b'"\x80\xff"')
        await backend.write([replace(second, output=json_of("merged"))])
        _, merged = await observations_in(backend).tree(PROJECT, trace_id_of(1))
        assert (merged.name, bytes(merged.output)) == (odd, b'"merged"')


async def test_an_ordinary_batch_takes_few_round_trips(postgres: Database) -> None:
    """A transaction around one statement for what is new: what is not needed is not asked."""
    asked: list[str] = []
    backend = open_backend(postgres.url())
    async with opened_with(backend, [span(9, within=9)]):
        await backend.write([span(8, within=9)])  # the driver asks for a type once
        connection: Any = backend._writing
        connection.add_query_logger(lambda query: asked.append(query.query))
        await backend.write([span(1), span(2), generation(3, within=2)])
        await asyncio.sleep(0)  # it is told of the last one later
        assert len(asked) == 3
        await backend.write([span(3)])
        await asyncio.sleep(0)
        assert len(asked) == 3 + 6  # the known trace is locked, added to and rolled up again


async def test_writing_again_changes_nothing(postgres: Database) -> None:
    """A batch that is written again after a lost answer leaves every row as it is, untouched."""
    batch: list[Record] = [span(1, trace=SAID), generation(2), span(3, within=2, status="running")]
    row = "select xmin::text, ctid::text from"
    versions = f"{row} tc_observations union all {row} tc_traces"
    async with opened_with(open_backend(postgres.url()), batch) as backend:
        before = await postgres.fetch(versions)
        await backend.write(batch)
        assert await postgres.fetch(versions) == before


def test_the_types_fit() -> None:
    """A backend of ours is what the tests take it for."""
    assert isinstance(open_backend("postgresql://h/d"), PostgresBackend)
    assert issubclass(Generation, Span)
