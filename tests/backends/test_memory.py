"""The reference backend keeps the contract that it defines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from tests.fakes import ManualClock
from tracecore.backend import Capabilities
from tracecore.memory import MemoryBackend, MemoryData, open_backend
from tracecore.records import Provenance
from tracecore.testing.backend_suite import BackendSuite, LedgerSuite
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend, opened_with
from tracecore.testing.samples import entry, span

_names = count()


def fresh() -> MakeBackend:
    """Return a maker of backends for a new name."""
    url = f"memory:conformance{next(_names)}"
    return lambda: open_backend(url)


class TestMemory(BackendSuite, LedgerSuite):
    """Everything but durability and SQL."""

    expected = Capabilities(traces=True, observations=True, sessions=True, scores=True, search=True, ledger=True)

    @pytest.fixture
    def make(self) -> MakeBackend:
        """Return a maker of backends for the data of this test."""
        return fresh()

    @pytest.fixture
    def make_reader(self, make: MakeBackend) -> Callable[[], object]:
        """Return a maker of readers of the same data."""
        url = make().location
        return lambda: open_backend(url, access="read")


async def test_looking_for_what_was_abandoned_is_a_matter_of_time() -> None:
    """It looks at once after opening and then every ten seconds; a process counts as alive for two minutes."""
    wall, clock = ManualClock(), ManualClock()
    backend = MemoryBackend(MemoryData(), location="memory:", access="write", wall=wall, clock=clock)
    running = span(1, status="running", start_ns=wall(), provenance=Provenance(service_instance_id="p"))
    statuses: list[str] = []
    async with opened_with(backend, [running, entry("p", seen_ns=wall() + 5)]):  # type: ignore[arg-type]  # it is one
        for seconds, on_the_wall in ((0, 100), (10, 20), (9.9, 1), (0.1, 0)):
            clock.advance(seconds)
            wall.advance(on_the_wall)
            while await backend.maintain():
                pass
            (one,) = await backend.observations.tree(running.project, running.trace_id)
            statuses.append(one.status)
    assert statuses == ["running", "running", "running", "abandoned"]
    assert one.duration_ns == 5


def test_random_programs() -> None:
    """Closed and opened again, a named store is what it was."""
    run_machine(fresh, durable=True, examples=15)
