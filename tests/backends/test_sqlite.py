"""SQLite keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.backend import Capabilities
from tracecore.testing.backend_suite import (
    BackendSuite,
    CatalogSuite,
    DurableSuite,
    ErasureSuite,
    LedgerSuite,
    MeasureSuite,
)
from tracecore.testing.opening import MakeBackend
from tracecore.testing.sql_suite import SqlSuite
from tracecore_sqlite import open_backend


@pytest.mark.parametrize(
    ("parameters", "level"),
    [("", "handed_over"), ("?synchronous=normal", "handed_over"), ("?synchronous=full", "durable")],
)
def test_the_level_of_a_write_follows_the_address(parameters: str, level: str) -> None:
    """A commit survives the death of the process, and with synchronous=full a loss of power."""
    assert open_backend(f"sqlite:///a.db{parameters}").capabilities.level == level


class TestSqlite(BackendSuite, DurableSuite, SqlSuite, LedgerSuite, CatalogSuite, ErasureSuite, MeasureSuite):
    """Everything."""

    expected = Capabilities(
        durable=True, traces=True, observations=True, sessions=True, scores=True, search=True, sql=True, ledger=True,
        catalog=True, measures=True, level="handed_over",
    )  # fmt: skip

    @pytest.fixture
    def make(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of backends for the file of this test."""
        return lambda: open_backend(f"sqlite:///{tmp_path}/traces.db")

    @pytest.fixture
    def make_reader(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of readers of the same file."""
        return lambda: open_backend(f"sqlite:///{tmp_path}/traces.db", access="read")
