"""The folder keeps the contract: the published suite is joined, and nothing else is needed."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from tracecore_folder import open_backend

from tracecore.backend import Capabilities
from tracecore.testing.backend_suite import BackendSuite, DurableSuite
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend


class TestFolder(BackendSuite, DurableSuite):
    """Everything but a ledger and SQL."""

    expected = Capabilities(
        durable=True, traces=True, observations=True, sessions=True, scores=True, search=True, level="handed_over"
    )

    @pytest.fixture
    def make(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of backends for the folder of this test."""
        return lambda: open_backend(f"folder:{tmp_path}/traces")

    @pytest.fixture
    def make_reader(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of readers of the same folder."""
        return lambda: open_backend(f"folder:{tmp_path}/traces", access="read")


def test_random_programs(tmp_path: Path) -> None:
    """Whatever is written in whatever order, every list says what the reference backend says."""
    numbers = count()

    def fresh() -> MakeBackend:
        url = f"folder:{tmp_path}/{next(numbers)}"
        return lambda: open_backend(url)

    run_machine(fresh, durable=True, examples=5)
