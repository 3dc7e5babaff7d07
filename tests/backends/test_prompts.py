"""Prompts in the catalog of each backend keep their contract."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.postgres_server import Database
from tracecore import memory
from tracecore.testing.opening import MakeBackend
from tracecore.testing.prompt_suite import PromptSuite
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import open_backend as open_sqlite

_names = count()


class TestInMemory(PromptSuite):
    """The reference backend."""

    @pytest.fixture
    def make(self) -> MakeBackend:
        """Return a maker of backends for the data of this test."""
        url = f"memory:prompts{next(_names)}"
        return lambda: memory.open_backend(url)


class TestInSqlite(PromptSuite):
    """A file."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of backends for the file of this test."""
        return lambda: open_sqlite(f"sqlite:///{tmp_path}/a.db")

    @pytest.fixture
    def make_reader(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of readers of the same file."""
        return lambda: open_sqlite(f"sqlite:///{tmp_path}/a.db", access="read")


class TestInPostgres(PromptSuite):
    """A schema."""

    @pytest.fixture
    def make(self, postgres: Database) -> MakeBackend:
        """Return a maker of backends for the schema of this test."""
        return lambda: open_postgres(postgres.url())

    @pytest.fixture
    def make_reader(self, postgres: Database) -> MakeBackend:
        """Return a maker of readers of the same schema."""
        return lambda: open_postgres(postgres.url(), access="read")
