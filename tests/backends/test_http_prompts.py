"""Prompts behind a server keep their contract over HTTP: a real one, on a socket, over each backend that keeps any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_server import Rooms, room_names, served
from tests.postgres_server import Database
from tracecore import memory
from tracecore.backend import Backend
from tracecore.kinds import catalog_of
from tracecore.prompts import PromptQuery
from tracecore.server.app import Server
from tracecore.services.keys import Keys, NewKey
from tracecore.testing.opening import MakeBackend, opened, prompts_in
from tracecore.testing.prompt_label_suite import publish
from tracecore.testing.prompt_suite import PromptSuite
from tracecore.testing.samples import PROJECT
from tracecore_http import open_backend
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import open_backend as open_sqlite


class _OverHttp(PromptSuite):
    """The suite through a client, against an endpoint that lets everybody do everything."""

    def behind(self, name: str) -> Backend:
        """Return the backend of a room."""
        raise NotImplementedError

    @pytest.fixture
    def room(self) -> Iterator[str]:
        """Return the URL of the room of this test."""
        with served(Rooms(self.behind)) as url:
            yield f"{url}/{next(room_names)}"

    @pytest.fixture
    def make(self, room: str) -> MakeBackend:
        """Return a maker of clients."""
        return lambda: open_backend(room)

    @pytest.fixture
    def make_reader(self, room: str) -> MakeBackend:
        """Return a maker of clients that only read."""
        return lambda: open_backend(room, access="read")


class TestBeforeMemory(_OverHttp):
    """A server over memory."""

    def behind(self, name: str) -> Backend:
        """Return a memory."""
        return memory.open_backend(f"memory:{name}")


class TestBeforeSqlite(_OverHttp):
    """A server over a file."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self._folder = tmp_path

    def behind(self, name: str) -> Backend:
        """Return a file."""
        return open_sqlite(f"sqlite:///{self._folder}/{name}.db")


class TestBeforePostgres(_OverHttp):
    """A server over a schema."""

    @pytest.fixture(autouse=True)
    def _schema(self, postgres: Database) -> None:
        self._postgres = postgres

    def behind(self, name: str) -> Backend:
        """Return the schema of this test."""
        return open_postgres(self._postgres.url(application_name=name))


async def _key(name: str) -> NewKey:
    async with opened(memory.open_backend(name)) as backend:
        return await Keys(catalog_of(backend)).create(PROJECT, now_ns=1)


class TestBehindTheGate(PromptSuite):
    """The whole server, which knows who asks by a key."""

    public_key = ""

    def said_by(self, name: str) -> str:
        """Return the key: whoever says to be somebody else is not believed."""
        del name
        return self.public_key

    @pytest.fixture
    def make(self) -> Iterator[MakeBackend]:
        """Return a maker of clients with a key of the project."""
        location = f"memory:{next(room_names)}"
        made = asyncio.run(_key(location))
        self.public_key = made.key.public_key
        with served(Server(memory.open_backend(location))) as url:
            keyed = url.replace("://", f"://{made.key.public_key}:{made.secret}@")
            yield lambda: open_backend(keyed)

    async def test_projects_stay_apart(self, make: MakeBackend) -> None:
        """A key reaches its own project, whichever is asked for."""
        async with opened(make()) as backend:
            store = prompts_in(backend)
            await publish(store, "n", "ours", labels=("production",))
            assert (await store.get("another", "n")).version == 1
            await publish(store, "n", "ours, too", project="another")
            [found] = (await store.find(PROJECT, PromptQuery())).items
            assert found.versions == (1, 2)
