"""PostgreSQL keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.postgres_server import Database, admin
from tracecore.backend import Capabilities
from tracecore.testing.backend_suite import BackendSuite, CatalogSuite, DurableSuite, LedgerSuite, MeasureSuite
from tracecore.testing.erasure_suite import ErasureSuite
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend
from tracecore.testing.sql_suite import SqlSuite
from tracecore_postgres import open_backend


@pytest.mark.parametrize(("parameters", "level"), [("", "durable"), ("?synchronous_commit=off", "handed_over")])
def test_the_level_of_a_write_follows_the_address(parameters: str, level: str) -> None:
    """A commit waits for the disk of the server, unless the URL says otherwise."""
    assert open_backend(f"postgresql://host/db{parameters}").capabilities.level == level


class TestPostgres(BackendSuite, DurableSuite, SqlSuite, LedgerSuite, CatalogSuite, ErasureSuite, MeasureSuite):
    """Everything."""

    expected = Capabilities(
        durable=True, traces=True, observations=True, sessions=True, scores=True, search=True, sql=True, ledger=True,
        catalog=True, measures=True, level="durable",
    )  # fmt: skip

    @pytest.fixture
    def make(self, postgres: Database) -> MakeBackend:
        """Return a maker of backends for the schema of this test."""
        return lambda: open_backend(postgres.url())

    @pytest.fixture
    def make_reader(self, postgres: Database) -> MakeBackend:
        """Return a maker of readers of the same schema."""
        return lambda: open_backend(postgres.url(), access="read")


@pytest.fixture
def fresh() -> Iterator[Callable[[], MakeBackend]]:
    """Return what gives each random program a schema of its own."""
    with ExitStack() as schemas:

        def fresh() -> MakeBackend:
            url = schemas.enter_context(admin()).url()
            return lambda: open_backend(url)

        yield fresh


def test_random_programs(fresh: Callable[[], MakeBackend]) -> None:
    """Closed and opened again, a schema is what it was."""
    run_machine(fresh, durable=True, examples=10)
