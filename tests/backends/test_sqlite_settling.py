"""SQLite at its thresholds: traces settle two by two, texts are indexed two by two, every search is of many or of few.

With the real sizes no test of a few records ever sees a settled trace or an indexed text.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.backends.test_sqlite import TestSqlite as Conformance
from tests.torture.declaring import only_in_full, torture
from tracecore.backend import Batch
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend
from tracecore_sqlite import SqliteBackend, candidates, open_backend, search, settling
from tracecore_sqlite.address import parse


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], MakeBackend]:
    """Return a function that returns a maker of backends for a new file."""
    numbers = count()

    def new_file() -> MakeBackend:
        url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        return lambda: open_backend(url)

    return new_file


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Put off nothing for long: keep two traces recent, settle and index two at a time, forget what leads nowhere."""
    monkeypatch.setattr(settling, "_KEPT", 2)
    monkeypatch.setattr(settling, "_SLICE", 2)
    monkeypatch.setattr(search, "_SLICE_ROWS", 2)
    monkeypatch.setattr(search, "_FEW_ORPHANS", 1)
    return monkeypatch


class Tidy(SqliteBackend):
    """Do a slice of housekeeping after every write, so that half of what a test sees has been put away."""

    async def write(self, batch: Batch) -> None:
        """Write, and settle or index two."""
        await super().write(batch)
        await self.maintain()


class TestTidied(Conformance):
    """The whole contract holds while traces are settled and texts are indexed between any two writes."""

    @pytest.fixture
    def make(self, tmp_path: Path, tiny: pytest.MonkeyPatch) -> MakeBackend:
        """Return a maker of tidy backends for the file of this test."""
        return lambda: Tidy(parse(f"sqlite:///{tmp_path}/traces.db"), access="write")


def test_random_programs(fresh: Callable[[], MakeBackend], tiny: pytest.MonkeyPatch) -> None:
    """Whatever mixture of recent and settled traces, indexed and new texts: every list is that of the reference."""
    run_machine(fresh, durable=True)


def test_random_programs_with_many_candidates(fresh: Callable[[], MakeBackend], tiny: pytest.MonkeyPatch) -> None:
    """A search that walks through the rows finds what a search over the candidates of the index finds."""
    tiny.setattr(candidates, "_FEW", 0)
    run_machine(fresh, durable=True, examples=15)


@torture("R-23", "long random programs against the reference", rounds=300)
@only_in_full
@pytest.mark.parametrize("few", [0, 10_000])
def test_many_random_programs(fresh: Callable[[], MakeBackend], tiny: pytest.MonkeyPatch, few: int) -> None:
    """The same, for hundreds of longer programs."""
    tiny.setattr(candidates, "_FEW", few)
    run_machine(fresh, durable=True, examples=300, steps=50)
