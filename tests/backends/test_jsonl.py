"""Lines of JSON keep the contract of a sink."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tracecore.backend import Capabilities
from tracecore.records import Observation, Span
from tracecore.testing.backend_suite import CapabilitySuite, DurableSuite
from tracecore.testing.opening import MakeBackend
from tracecore.testing.sink_suite import SinkSuite
from tracecore_jsonl import merged_records, open_backend


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("jsonl:a", "handed_over"),
        ("jsonl:a?synchronous=normal", "handed_over"),
        ("jsonl:a?synchronous=full", "durable"),
        ("stdout:", "accepted"),
    ],
)
def test_the_level_of_a_write_follows_the_address(url: str, level: str) -> None:
    """A file survives the death of the process, and with synchronous=full a loss of power; of stdout nobody knows."""
    assert open_backend(url).capabilities.level == level
    assert open_backend(url).capabilities.durable == (level != "accepted")


class TestJsonl(CapabilitySuite, SinkSuite, DurableSuite):
    """A durable sink."""

    expected = Capabilities(durable=True, level="handed_over")

    @pytest.fixture
    def make(self, tmp_path: Path) -> MakeBackend:
        """Return a maker of backends for the file of this test."""
        self.path = tmp_path / "traces.jsonl"
        return lambda: open_backend(f"jsonl:{self.path}")

    async def stored(self, make_reader: MakeBackend, project: str = "default") -> Sequence[Observation]:
        """Return what the lines of the file say together."""
        kept = merged_records(self.path) if self.path.exists() else []
        mine = [record for record in kept if isinstance(record, Span) and record.project == project]
        return sorted(mine, key=lambda record: (record.trace_id, record.span_id))
