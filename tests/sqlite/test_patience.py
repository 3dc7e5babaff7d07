"""A list that looks for too long ends, and whoever waits for the same connection gets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sqlite.files import opened, span
from tracecore.backend import ObservationQuery
from tracecore.conditions import Condition
from tracecore.errors import BackendUnavailable
from tracecore_sqlite import meeting

NOWHERE = Condition("metadata", "=", "nowhere", "k")


async def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do; the next list is answered, and so is the same one where there is time for it."""
    monkeypatch.setattr(meeting, "_STEPS", 1)
    async with opened(tmp_path / "a.db") as backend:
        await backend.write([span(number) for number in range(50)])
        monkeypatch.setattr(meeting, "_PATIENCE_S", -1)
        with pytest.raises(BackendUnavailable, match="narrow them"):
            await backend.observations.find("default", ObservationQuery(where=(NOWHERE,)))
        assert len((await backend.observations.find("default", ObservationQuery())).items) == 50
        monkeypatch.setattr(meeting, "_PATIENCE_S", 30)
        assert (await backend.observations.find("default", ObservationQuery(where=(NOWHERE,)))).items == []
