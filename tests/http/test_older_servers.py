"""A server that is older than its client says what it does not know, and answers everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.http_server import Rooms, room_names, served
from tracecore import wire
from tracecore.backend import Backend, ObservationQuery
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected
from tracecore.measures import Measured, MeasureQuery
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import PROJECT, span
from tracecore_http import open_backend
from tracecore_http.native import NativeBackend
from tracecore_jsonl import open_backend as open_lines


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


async def test_a_server_that_measures_nothing(tmp_path: Path) -> None:
    """It says so when it is asked what it can do; who asks it to measure all the same is refused."""
    query = MeasureQuery(measures=(Measured("count", "count"),), since_ns=0, until_ns=1)
    with served(Rooms(lambda name: cast("Backend", open_lines(f"jsonl:{tmp_path}/{name}")))) as url:
        backend = cast("NativeBackend", open_backend(f"{url}/{next(room_names)}"))
        assert backend.capabilities.measures, "until it says otherwise it is taken for one of today"
        async with opened(backend):
            assert not backend.capabilities.measures
            with pytest.raises(BackendRejected, match="keeps no measures"):
                await backend.measures.measure(PROJECT, query)
        assert not backend.capabilities.measures


async def test_a_server_that_has_no_such_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of before there were measures is an error that says what to do."""
    key = ("measures", "measure")
    query = MeasureQuery(measures=(Measured("count", "count"),), since_ns=0, until_ns=1)
    read = wire.READS[key]
    with served() as url:
        backend = cast("NativeBackend", open_backend(f"{url}/{next(room_names)}"))
        monkeypatch.delitem(wire.READS, key)
        async with opened(backend):
            monkeypatch.setitem(wire.READS, key, read)
            with pytest.raises(BackendRejected, match="knows no measures; bring that server up to date"):
                await backend.measures.measure(PROJECT, query)
