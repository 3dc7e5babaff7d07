"""A list that looks for too long ends, and its connection is of use to the next one."""

from __future__ import annotations

import pytest

from tests.postgres_server import Database
from tracecore.backend import ObservationQuery
from tracecore.conditions import Condition
from tracecore.errors import BackendUnavailable
from tracecore.testing.opening import opened_with
from tracecore.testing.samples import PROJECT, span
from tracecore_postgres import open_backend, reading

NOWHERE = Condition("metadata", "=", "nowhere", "k")


async def test_patience_ends(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do; the next list is answered, and so is the same one where there is time for it."""
    backend = open_backend(postgres.url())
    async with opened_with(backend, [span(number) for number in range(50)]):
        for _ in range(10):
            monkeypatch.setattr(reading, "_PATIENCE_S", 0)
            with pytest.raises(BackendUnavailable, match="narrow them"):
                await backend.observations.find(PROJECT, ObservationQuery(where=(NOWHERE,)))
            monkeypatch.setattr(reading, "_PATIENCE_S", 30)
            assert (await backend.observations.find(PROJECT, ObservationQuery(where=(NOWHERE,)))).items == []
        assert len((await backend.observations.find(PROJECT, ObservationQuery())).items) == 50
