"""Backends with names for recorders that have several, in every kind of trouble, and what tests of those share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from tests.fakes import FakeBackend, refusing, span_record, unavailable
from tracecore.backend import Capabilities, Level
from tracecore.config import Config
from tracecore.health import FlushResult, Health
from tracecore.open_span import OpenSpan, open_root
from tracecore.recorder import Recorder

__all__ = ["DELIVERED", "WITHIN", "At", "Trouble", "balanced", "recording", "work"]

WITHIN = 20.0
"""Seconds after which what should have happened is called a hang."""
DELIVERED = FlushResult(delivered=True, pending=0, lost={})


class At(FakeBackend):
    """A backend of some name, at some level."""

    def __init__(self, location: str, level: Level = "accepted", **hooks: Any) -> None:
        super().__init__(**hooks)
        self.location = location
        self.capabilities = Capabilities(level=level)


class Trouble:
    """A backend that does not do what it should until it is let go, however it is wrong."""

    KINDS = ("away", "opens never", "hangs", "blocks", "dies", "refuses")

    def __init__(self, kind: str) -> None:
        self.over = threading.Event()
        self.kind = kind
        hook = {"on_open": self._trouble} if kind == "opens never" else {"on_write": self._trouble}
        self.backend = At("troubled:", **hook)

    async def _trouble(self, *_: object) -> None:
        if self.over.is_set():
            return
        match self.kind:
            case "away":
                raise unavailable()
            case "dies":
                raise SystemExit
            case "refuses":
                await refusing(lambda _: True)([span_record()])
            case "blocks":
                self.over.wait(WITHIN)
            case _:
                while not self.over.is_set():  # noqa: ASYNC110 - a thread ends it
                    await anyio.sleep(0.002)


@pytest.fixture
def recording() -> Iterator[Callable[..., Recorder]]:
    """Yield a maker of started recorders; they are ended with the test."""
    made: list[Recorder] = []

    def make(*backends: FakeBackend, **settings: Any) -> Recorder:
        config = Config(**{"flush_interval_ms": 10, "pending_after_ms": 0, **settings})
        made.append(Recorder(config, backend=backends).start())
        return made[-1]

    yield make
    for recorder in made:
        recorder.shutdown(1)


def work(recorder: Recorder, name: str) -> OpenSpan:
    """Return the ended root of a new trace."""
    root = open_root(recorder.route, name)
    assert isinstance(root, OpenSpan)
    root.end()
    return root


def balanced(health: Health, *, emitted: int) -> None:
    """Assert that every backend knows what became of everything, and that a record counts once above them."""
    assert health.emitted == emitted
    for one in health.backends.values():
        assert one.emitted == emitted == one.delivered + one.pending + sum(one.lost.values()), one
