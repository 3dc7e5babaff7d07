"""Signing in, and sessions: what is kept of a connection, and what happens when there are too many or other loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.postgres_server import WITH_PASSWORD, Database
from tracecore.backend import TraceQuery
from tracecore.errors import BackendUnavailable, Closed
from tracecore.testing.opening import observations_in, opened, opened_with, traces_in
from tracecore.testing.samples import PROJECT, span, trace_id_of
from tracecore_postgres import open_backend

SESSIONS = "select state from pg_stat_activity where application_name = 'tracecore' and usename = 'postgres'"


def put(file: Path, password: str) -> None:
    """Write a password into a file."""
    file.write_text(password)


@pytest.fixture
async def secret(postgres: Database, tmp_path: Path) -> AsyncIterator[Path]:
    """Return the file with the password of a role that owns the schema."""
    file = tmp_path / "secret"
    put(file, "right\n")
    await postgres.execute(f"create role {WITH_PASSWORD} login password 'right'")
    await postgres.execute(f"create schema {postgres.schema} authorization {WITH_PASSWORD}")
    yield file
    await postgres.execute(f"drop owned by {WITH_PASSWORD} cascade; drop role {WITH_PASSWORD}")


async def test_a_password_may_come_out_of_a_file_and_change(postgres: Database, secret: Path) -> None:
    """A wrong one may be mended while the program runs, so it is no reason to give up; no error tells it."""
    url = postgres.url(secret_file=secret).replace("postgres@", f"{WITH_PASSWORD}@")
    put(secret, "hush")
    backend = open_backend(url)
    with pytest.raises(BackendUnavailable, match="password") as caught:
        await backend.open()
    assert "hush" not in str(caught.value)
    assert "check the URL, TRACECORE_SECRET or the secret file" in str(caught.value)
    put(secret, "right\n")
    async with opened(backend):
        await backend.write([span(1)])
        await postgres.execute(f"alter role {WITH_PASSWORD} password 'next'")
        put(secret, " next ")
        backend._cut()
        await backend.write([span(2)])
        assert len(await observations_in(backend).tree(PROJECT, trace_id_of(1))) == 2


async def test_a_password_may_stand_in_the_url(postgres: Database, secret: Path) -> None:
    """It is percent-encoded there, and in no answer of ours."""
    backend = open_backend(postgres.url().replace("postgres@", f"{WITH_PASSWORD}:r%69ght@"))
    async with opened_with(backend, [span(1)]):
        assert "ght" not in backend.location
        assert "ght" not in repr(backend._address)


async def test_reading_takes_a_handful_of_sessions(postgres: Database) -> None:
    """Many readers at once wait for their turn, and closing takes every session along."""
    backend = open_backend(postgres.url())
    async with opened_with(backend, [span(1)]):
        before = len(await postgres.fetch(SESSIONS))
        pages = await asyncio.gather(*(traces_in(backend).find(PROJECT, TraceQuery()) for _ in range(40)))
        assert {len(page.items) for page in pages} == {1}
        assert len(await postgres.fetch(SESSIONS)) - before <= 4
    with pytest.raises(Closed):
        await traces_in(backend).find(PROJECT, TraceQuery())


async def test_a_reader_that_is_cancelled_harms_nobody(postgres: Database) -> None:
    """Its session is left, and the others go on."""
    backend = open_backend(postgres.url())
    async with opened_with(backend, [span(1)]):
        for turns in range(12):
            task = asyncio.create_task(traces_in(backend).find(PROJECT, TraceQuery()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert len((await traces_in(backend).find(PROJECT, TraceQuery())).items) == 1


async def test_a_server_that_is_full_is_a_matter_of_time(postgres: Database) -> None:
    """Too many connections for a role are no reason to give up."""
    role = f"{postgres.schema}_few"
    await postgres.execute(f"create role {role} login connection limit 0")
    await postgres.execute(f"create schema {postgres.schema} authorization {role}")
    try:
        backend = open_backend(postgres.url().replace("postgres@", f"{role}@"))
        with pytest.raises(BackendUnavailable, match="too many connections"):
            await backend.open()
        await postgres.execute(f"alter role {role} connection limit 5")
        async with opened_with(backend, [span(1)]):
            pass
    finally:
        await postgres.execute(f"drop owned by {role} cascade; drop role {role}")


def test_a_backend_may_be_used_in_one_loop_after_the_other(postgres: Database) -> None:
    """Closed in one loop and opened in the next, it is what it was."""
    backend = open_backend(postgres.url())

    async def use(number: int) -> None:
        async with opened_with(backend, [span(number)]):
            found = await asyncio.gather(*(observations_in(backend).tree(PROJECT, trace_id_of(1)) for _ in range(9)))
            assert {len(tree) for tree in found} == {number}

    for number in (1, 2, 3):
        asyncio.run(use(number))
