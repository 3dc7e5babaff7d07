"""A person's SQL on PostgreSQL: read-only by the transaction, kept to the views by a fence; nothing stays behind."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import uuid
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw

from tests.postgres_server import Database
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import Generation, Span
from tracecore.testing.opening import opened, opened_with
from tracecore_postgres import open_backend
from tracecore_postgres.console import value_for_people

ENDLESS = "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000) b"
LOCKS = "select count(*) from pg_locks where locktype = 'advisory' and objid in (7, 8)"
RUNNING = """
select count(*) from pg_stat_activity
where state = 'active' and query like '%generate_series(1, 1000)%' and pid <> pg_backend_pid()
"""


def span(number: int, **fields: Any) -> Span:
    """Return a finished span; ``number`` makes its ids and its time."""
    values: dict[str, Any] = {"duration_ns": 500, **fields}
    return Span("default", f"{number:032x}", f"{number:016x}", f"s{number}", 1_000 * number, **values)


async def value(postgres: Database, sql: str) -> Any:
    """Return what a statement answers, past every backend."""
    return (await postgres.fetch(sql))[0][0]


async def rows(backend: Any, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    return (await backend.sql.query(sql, **options)).rows


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select sum(total_tokens), avg(total_tokens), count(*) from generations", (7, 3.5, 2)),
        ("select sum(total_cost) from generations", (0.75,)),
        ("select 1.5::numeric, 2.0::numeric, 'NaN'::numeric is null, 10::numeric ^ 20", (1.5, 2, False, 10**20)),
        ("select true, null, 'é', '\\x00ff'::bytea", (True, None, "é", b"\x00\xff")),
        ("select '{\"a\": 1}'::json, '[1, 2]'::jsonb", ('{"a": 1}', "[1, 2]")),
        ("select timestamp '2026-01-02 03:04:05', date '2026-01-02'", ("2026-01-02T03:04:05", "2026-01-02")),
        ("select array[1, 2.5, null], array['a']", ([1, 2.5, None], ["a"])),
        ("select (1, 'a'::text)", ([1, "a"],)),
        ("select '10.0.0.0/8'::cidr, interval '1 day'", ("10.0.0.0/8", "1 day, 0:00:00")),
        ("select input -> 'n', input ->> 'n' from spans where span_id = '0000000000000001'", ("1", "1")),
        ("select name from spans where span_id = '0000000000000004'", ("a\0b\N{REPLACEMENT CHARACTER}c",)),
    ],
)
async def test_values_are_those_that_people_expect(postgres: Database, sql: str, expected: tuple[Any, ...]) -> None:
    """Sums are numbers, JSON is text, times are ISO 8601, and what no text may hold is replaced."""
    records = [
        span(1, input=Raw(b'{"n":1}')),
        Generation("default", f"{2:032x}", f"{2:016x}", "g", 1, usage_details={"input": 3}, total_cost=0.25),
        Generation("default", f"{3:032x}", f"{3:016x}", "g", 1, usage_details={"output": 4}, total_cost=0.5),
        Span("default", f"{4:032x}", f"{4:016x}", "a\0b\ud800c", 1),
    ]
    async with opened_with(open_backend(postgres.url()), records) as backend:
        ((found),) = await rows(backend, sql)
    # Half a surrogate pair is three bytes that are no UTF-8.
    assert tuple(_shortened(value) for value in found) == expected


def _shortened(value: Any) -> Any:
    return (
        value.replace("\N{REPLACEMENT CHARACTER}" * 3, "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
    )


def test_every_value_becomes_one_that_json_knows() -> None:
    """What the driver makes of a type is shown as a number, a text, a list or bytes."""
    for value, expected in (
        (Decimal(3), 3), (Decimal("3.00"), 3), (Decimal("0.1"), 0.1), (Decimal("1e30"), 10**30), (b"\0", b"\0"),
        (dt.time(1, 2), "01:02:00"), (dt.timedelta(seconds=1), "0:00:01"), (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (ipaddress.ip_address("::1"), "::1"), ([Decimal(1), [None]], [1, [None]]), (("a", Decimal(1)), ["a", 1]),
    ):  # fmt: skip
        found = value_for_people(value)
        assert (found, type(found)) == (expected, type(expected))
    assert value_for_people(Decimal("Infinity")) == float("inf")


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select * from tc_traces", "tc_traces"),
        ("select * from nothing", "no such view"),
        ("select nothing from spans", "is wrong"),
        ("select 1; select 2", "is wrong"),
        ("select 1/0", "is wrong"),
        ("select", "answers nothing"),
        ("select $1::int", "parameters"),
        ("select 'a' into temp t", "answers nothing"),
        ("explain analyze insert into scores (score_id) values ('x')", "the statement"),
        ("select * from public.anything", "'public'"),
        ("select \0", "'\\x00'"),
        ("", "says nothing"),
    ],
)
async def test_a_refusal_says_why(postgres: Database, sql: str, says: str) -> None:
    """Whatever is wrong with a statement is said, and the next one runs as ever."""
    async with opened_with(open_backend(postgres.url()), [span(1)]) as backend:
        with pytest.raises(BackendRejected, match=says.replace("\\", "\\\\")):
            await rows(backend, sql)
        assert await rows(backend, "select count(*) from spans") == [(1,)]


async def test_the_guard_stands_without_the_fence(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that gets over the fence changes anything: the transaction only reads, and is rolled back."""
    monkeypatch.setattr("tracecore_postgres.console.forbidden_word", lambda *_: None)
    async with opened_with(open_backend(postgres.url()), [span(1)]) as backend:
        for sql in (
            "delete from tc_observations returning 1", "update tc_traces set name = 'x' returning 1",
            "with d as (delete from tc_traces returning 1) select * from d", "select nextval('tc_ids')",
            "insert into tc_sessions (project, session_id) values ('default', 's') returning 1", "commit",
        ):  # fmt: skip
            with pytest.raises(BackendRejected):
                await rows(backend, sql)
        settings = "select set_config('work_mem', '1MB', false), set_config('search_path', 'public', false)"
        assert await rows(backend, settings) == [("1MB", "public")]
        assert await rows(backend, "select current_setting('work_mem') = '1MB', count(*) from spans") == [(False, 1)]
        assert len(await rows(backend, "select pg_advisory_lock(7), pg_advisory_lock(8)")) == 1
        assert await rows(backend, LOCKS) == [(0,)]


async def test_behind_a_pooler(postgres: Database) -> None:
    """Where nothing of a session lasts, each statement finds the views and leaves no setting behind."""
    async with opened_with(open_backend(postgres.url(statement_cache_size=0)), [span(1)]) as backend:
        for _ in range(2):
            assert await rows(backend, "select count(*) from spans") == [(1,)]
            with pytest.raises(BackendRejected):
                await rows(backend, "select * from nothing")
        async with backend.sql._lending() as connection:  # type: ignore[union-attr] # it has one
            assert await connection.fetchval("show statement_timeout") == "0"
            assert await connection.fetchval("select to_regclass('spans')") is None


async def test_the_wall_is_a_role(postgres: Database) -> None:
    """A role that may read the views, and which version the schema has, reads nothing else, whatever it asks."""
    role = f"r_{postgres.schema}"
    views = "spans, generations, traces, sessions, scores, ledger, losses, tc_migrations"
    async with opened_with(open_backend(postgres.url()), [span(1)]):
        pass
    await postgres.fetch(f"create role {role} login")
    try:
        await postgres.fetch(f"grant usage on schema {postgres.schema} to {role}")
        await postgres.fetch(f"grant select on {views} to {role}")
        url = postgres.url().replace("postgres@", f"{role}@")
        async with opened(open_backend(url, access="read")) as backend:
            for view in views.split(", ")[:-1]:
                assert (await backend.sql.query(f"select * from {view}")).columns  # type: ignore[union-attr] # it has one # noqa: S608 - names of here
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("tracecore_postgres.console.forbidden_word", lambda *_: None)
                for sql in (
                    "select * from tc_observations",
                    "select pg_read_file('/etc/passwd')",
                    "select * from pg_authid",
                ):
                    with pytest.raises(BackendRejected, match="more than read"):
                        await rows(backend, sql)
    finally:
        await postgres.fetch(f"drop owned by {role}")
        await postgres.fetch(f"drop role {role}")


async def test_time_is_up(postgres: Database) -> None:
    """The server ends a statement whose time is up; the connection goes on."""
    async with opened_with(open_backend(postgres.url()), [span(1)]) as backend:
        for timeout in (0.05, 0.0, -1.0, 1e-9):
            with pytest.raises(BackendUnavailable, match="took longer"):
                await rows(backend, ENDLESS, timeout=timeout)
        assert await rows(backend, "select count(*) from spans", timeout=10**9) == [(1,)]


async def test_giving_up_leaves_nothing_running(postgres: Database) -> None:
    """Whoever stops waiting for an answer stops the statement, and the next one runs."""
    async with opened_with(open_backend(postgres.url()), [span(1)]) as backend:
        asking = asyncio.create_task(rows(backend, ENDLESS))
        while not await value(postgres, RUNNING):
            assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        while await value(postgres, RUNNING):
            pass
        assert await rows(backend, "select count(*) from spans") == [(1,)]


async def test_rows_are_made_as_far_as_they_are_wanted(postgres: Database) -> None:
    """Of a long answer no more than is asked for is made."""
    async with opened(open_backend(postgres.url())) as backend:
        answer = await backend.sql.query("select generate_series(1, 1000000000) as n", limit=3)  # type: ignore[union-attr] # it has one
    assert (answer.columns, answer.rows, answer.truncated) == (["n"], [(1,), (2,), (3,)], True)
