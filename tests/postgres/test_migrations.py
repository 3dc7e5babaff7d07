"""The schema comes to be the newest at once or not at all, and what is not ours is not touched."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace

from tests.postgres_server import Database
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.testing.opening import opened, opened_with, traces_in
from tracecore.testing.samples import PROJECT, span, trace_id_of
from tracecore_postgres import PostgresBackend, open_backend
from tracecore_postgres.schema import migrations
from tracecore_sql.statements import Migration

STATEMENT = re.compile(r"^(?:CREATE|ALTER|DO|INSERT)\b", re.MULTILINE)
RELATIONS = """
select c.relname::text, c.relkind::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 order by 1
"""


async def relations(postgres: Database) -> list[Any]:
    """Return what is in the schema."""
    return await postgres.fetch(RELATIONS, postgres.schema)


async def test_the_schema_is_told_and_made(postgres: Database) -> None:
    """Before it is opened for writing nothing is there, and afterwards nothing is pending; asking changes nothing."""
    backend = open_backend(postgres.url())
    names = tuple(step.name for step in migrations())
    before = await backend.schema()
    assert (before.version, before.newest, before.pending) == (0, len(names), names)
    assert await relations(postgres) == []
    async with opened(backend):
        after = await backend.schema()
        assert (after.version, after.newest, after.pending) == (len(names), len(names), ())


async def test_the_files_count_up_from_one() -> None:
    """Migrations are numbered without a gap."""
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


async def test_many_may_start_at_once(postgres: Database) -> None:
    """Of several first starts one makes the schema, and the others find it."""
    backends = [open_backend(postgres.url()) for _ in range(5)]
    await asyncio.gather(*(backend.open() for backend in backends))
    await asyncio.gather(*(backend.write([span(n, within=n)]) for n, backend in enumerate(backends, 1)))
    applied = await postgres.fetch("select version from tc_migrations")
    await asyncio.gather(*(backend.close() for backend in backends))
    assert len(applied) == len(migrations())


async def test_a_start_that_is_stopped_anywhere_leaves_nothing(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before each statement in turn: the schema stays what it was, and the next start makes it."""
    places = [(step, place.start()) for step in migrations() for place in STATEMENT.finditer(step.sql)]
    assert len(places) > 30
    for stopped, place in places:
        with monkeypatch.context() as patched:
            steps = [_ended_at(step, place) if step is stopped else step for step in migrations()]
            patched.setattr("tracecore_postgres.backend.migrations", lambda steps=steps: steps)
            with pytest.raises(BackendUnavailable):
                await open_backend(postgres.url()).open()
        assert await relations(postgres) == []
    async with opened_with(open_backend(postgres.url()), [span(1)]) as backend:
        assert await traces_in(backend).get(PROJECT, trace_id_of(1)) is not None


def _ended_at(step: Migration, place: int) -> Migration:
    """Return a migration in whose middle the server ends the session."""
    return replace(step, sql=f"{step.sql[:place]}SELECT pg_terminate_backend(pg_backend_pid());\n{step.sql[place:]}")


async def test_a_newer_schema_is_refused_and_left_alone(postgres: Database) -> None:
    """An older program says so in one sentence, for writing, for reading and for asking, and changes nothing."""
    async with opened(open_backend(postgres.url())):
        pass
    newest = len(migrations())
    await postgres.fetch("insert into tc_migrations values ($1, 'next', 'x', 0)", newest + 1)
    before = await relations(postgres)
    for attempt in (
        open_backend(postgres.url()).open(),
        open_backend(postgres.url(), access="read").open(),
        open_backend(postgres.url()).schema(),
    ):
        with pytest.raises(BackendRejected, match=f"schema {newest + 1} and this tracecore knows {newest}"):
            await attempt
    assert await relations(postgres) == before


async def test_a_schema_of_another_build_is_refused(postgres: Database) -> None:
    """A migration with another checksum was another file."""
    async with opened(open_backend(postgres.url())):
        pass
    await postgres.execute("update tc_migrations set checksum = 'other' where version = 1")
    with pytest.raises(BackendRejected, match="migration 1 differs"):
        await open_backend(postgres.url()).open()


async def test_a_schema_of_somebody_else_is_refused_and_left_alone(postgres: Database) -> None:
    """A schema that holds other tables is not ours; an empty one that somebody made for us is."""
    await postgres.execute(f"create schema {postgres.schema}; create table {postgres.schema}.theirs (a int)")
    with pytest.raises(BackendRejected, match="holds something else"):
        await open_backend(postgres.url()).open()
    assert [row[0] for row in await relations(postgres)] == ["theirs"]
    await postgres.execute(f"drop table {postgres.schema}.theirs")
    async with opened_with(open_backend(postgres.url()), [span(1)]):
        pass


async def test_a_user_who_may_not_make_schemas_uses_one(postgres: Database) -> None:
    """The owner of an empty schema needs no right on the database; without a schema the error names what is missing."""
    role = f"{postgres.schema}_user"
    await postgres.execute(f"create role {role} login")
    try:
        theirs = postgres.url().replace("postgres@", f"{role}@")
        with pytest.raises(BackendUnavailable, match="grant"):
            await open_backend(theirs).open()
        await postgres.execute(f"create schema {postgres.schema} authorization {role}")
        async with opened_with(open_backend(theirs), [span(1)]) as backend:
            assert isinstance(backend, PostgresBackend)
            assert await traces_in(backend).get(PROJECT, trace_id_of(1)) is not None
    finally:
        await postgres.execute(f"drop owned by {role} cascade; drop role {role}")


async def test_the_schema_of_a_name_that_has_to_be_quoted(postgres: Database) -> None:
    """Any name will do for a schema."""
    url = postgres.url().replace(f"schema={postgres.schema}", "schema=O%27%22Hara%3B%20--")
    try:
        async with opened_with(open_backend(url), [span(1)]) as backend:
            assert await traces_in(backend).get(PROJECT, trace_id_of(1)) is not None
    finally:
        await postgres.execute('drop schema "O\'""Hara; --" cascade')


async def test_reading_what_no_writer_has_made_waits_for_one(postgres: Database) -> None:
    """A reader makes nothing."""
    with pytest.raises(BackendUnavailable, match="tracecore migrate"):
        await open_backend(postgres.url(), access="read").open()
    assert await relations(postgres) == []
