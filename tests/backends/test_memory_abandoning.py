"""The reference backend looks for what was abandoned, now and then."""

from __future__ import annotations

from tests.fakes import ManualClock
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import Provenance
from tracecore.testing.opening import opened_with
from tracecore.testing.samples import entry, span


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
