"""The reference backend keeps the contract that it defines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from tracecore.backend import Capabilities
from tracecore.memory import open_backend
from tracecore.testing.backend_suite import BackendSuite, CatalogSuite, ErasureSuite, LedgerSuite, MeasureSuite
from tracecore.testing.catalog_machine import run_catalog_machine
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend

_names = count()


def fresh() -> MakeBackend:
    """Return a maker of backends for a new name."""
    url = f"memory:conformance{next(_names)}"
    return lambda: open_backend(url)


class TestMemory(BackendSuite, LedgerSuite, CatalogSuite, ErasureSuite, MeasureSuite):
    """Everything but durability and SQL."""

    expected = Capabilities(
        traces=True, observations=True, sessions=True, scores=True, search=True, ledger=True, catalog=True,
        measures=True,
    )  # fmt: skip

    @pytest.fixture
    def make(self) -> MakeBackend:
        """Return a maker of backends for the data of this test."""
        return fresh()

    @pytest.fixture
    def make_reader(self, make: MakeBackend) -> Callable[[], object]:
        """Return a maker of readers of the same data."""
        url = make().location
        return lambda: open_backend(url, access="read")


def test_random_programs() -> None:
    """Closed and opened again, a named store is what it was."""
    run_machine(fresh, durable=True, examples=15)
    run_catalog_machine(fresh, durable=True, examples=5)
