"""A server that is older than its client says what it does not know, and answers everything else."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.http_server import room_names, served
from tracecore import wire
from tracecore.backend import ObservationQuery
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected
from tracecore.testing.opening import opened_with
from tracecore.testing.samples import PROJECT, span
from tracecore_http import open_backend


class Older(Struct, forbid_unknown_fields=True):
    """What a query for observations is to a server that knows no conditions."""

    limit: int = 50


async def test_conditions_are_refused_by_who_does_not_know_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names what is not known; what is known is answered as ever."""
    key = ("observations", "find")
    asks: Any = wire.Search[Older]
    monkeypatch.setitem(wire.READS, key, replace(wire.READS[key], asks=asks))
    with served() as url:
        async with opened_with(open_backend(f"{url}/{next(room_names)}"), [span(1)]) as backend:
            assert backend.observations is not None
            with pytest.raises(BackendRejected, match="where"):
                await backend.observations.find(PROJECT, ObservationQuery(where=(Condition("name", "=", "x"),)))
