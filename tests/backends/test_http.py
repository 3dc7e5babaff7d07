"""A tracecore server keeps the contract over HTTP: a real one, over a socket, with the reference backend behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_server import Rooms, room_names, served
from tracecore import plugins
from tracecore.backend import Capabilities
from tracecore.testing.backend_suite import BackendSuite, DurableSuite, LedgerSuite, MeasureSuite
from tracecore.testing.machine import run_machine
from tracecore.testing.opening import MakeBackend
from tracecore_http import open_backend


@pytest.fixture
def room() -> Iterator[str]:
    """Return the URL of an empty room of a server."""
    with served() as url:
        yield f"{url}/{next(room_names)}"


class TestHttp(BackendSuite, DurableSuite, LedgerSuite, MeasureSuite):
    """Everything but SQL."""

    expected = Capabilities(
        durable=True, traces=True, observations=True, sessions=True, scores=True, search=True, ledger=True,
        measures=True, level="received",
    )  # fmt: skip

    @pytest.fixture
    def make(self, room: str) -> MakeBackend:
        """Return a maker of backends for the room of this test."""
        return lambda: open_backend(room)

    @pytest.fixture
    def make_reader(self, room: str) -> MakeBackend:
        """Return a maker of readers of the same room."""
        return lambda: open_backend(room, access="read")


@pytest.mark.parametrize("kept_in", ["memory:{}", "sqlite:///{}.db"])
def test_random_programs(kept_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written in whatever order, every list says over HTTP what it says beside it."""
    monkeypatch.chdir(tmp_path)
    with served(Rooms(lambda name: plugins.open_backend(kept_in.format(name)))) as url:

        def fresh() -> MakeBackend:
            room = f"{url}/{next(room_names)}"
            return lambda: open_backend(room)

        run_machine(fresh, durable=True, examples=10)
