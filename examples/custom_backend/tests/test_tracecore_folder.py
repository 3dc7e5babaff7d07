"""The folder keeps the contract: the published suite is joined, and nothing else is needed."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from tracecore_folder import open_backend
from tracecore_folder.folder import Folder

from tracecore.backend import Capabilities
from tracecore.errors import BackendUnavailable
from tracecore.testing.backend_suite import BackendSuite, DurableSuite
from tracecore.testing.comparing import same
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend
from tracecore.testing.samples import PROJECT, span, trace_id_of


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


def test_a_write_that_was_overtaken_changes_nothing(tmp_path: Path) -> None:
    """A cancelled write that gets the lock after the next one does not put the old over the new."""
    folder = Folder(str(tmp_path))
    first, second = folder.next_number(), folder.next_number()
    folder.keep(second, [span(1, name="later")])
    with pytest.raises(BackendUnavailable):
        folder.keep(first, [span(1, name="earlier")])
    same(folder.trace(PROJECT, trace_id_of(1)), [span(1, name="later")])


def test_random_programs(tmp_path: Path) -> None:
    """Whatever is written in whatever order, every list says what the reference backend says."""
    numbers = count()

    def fresh() -> MakeBackend:
        url = f"folder:{tmp_path}/{next(numbers)}"
        return lambda: open_backend(url)

    run_machine(fresh, durable=True, examples=5)
