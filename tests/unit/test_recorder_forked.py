"""A forked child begins with its first span; where that fails or is interrupted, with a later one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tracecore.station
from tests.fakes import FakeBackend, names
from tracecore.config import Config
from tracecore.open_span import open_root
from tracecore.recorder import Recorder

WITHIN = 20.0


class Interruption(Exception):
    """What a signal's handler raises."""


class Child:
    """A recorder as it is in a child that has just been forked, whose pump threads begin as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, shares_backend: bool) -> None:
        self.backends: list[FakeBackend] = []
        self.attempts = 0
        self.on_thread: Callable[[Callable[[], Any]], Any] = lambda begin: begin()
        """Given what begins the thread, instead of that."""
        real = tracecore.station.PumpThread

        def thread(*args: Any, **options: Any) -> Any:
            self.attempts += 1
            return self.on_thread(lambda: real(*args, **options))

        monkeypatch.setattr(tracecore.station, "PumpThread", thread)
        self.recorder = Recorder(Config(flush_interval_ms=60_000), backend=self._backend())
        if not shares_backend:
            self.recorder._channels[0].station._shares_backend = False
            self.recorder._channels[0].station._make_backend = self._backend
        self.recorder.begin()
        self.recorder.after_fork()

    def _backend(self) -> FakeBackend:
        self.backends.append(FakeBackend())
        return self.backends[-1]

    def work(self, name: str) -> None:
        """Record a span."""
        open_root(self.recorder.route, name).end()

    def delivered(self) -> list[str]:
        """Return the names of what is stored, once all is."""
        assert self.recorder.flush(WITHIN).delivered
        return sorted(name for backend in self.backends for name in names(backend.records))


@pytest.fixture(params=[True, False], ids=["one-backend", "own-backends"])
def child(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """Yield a forked child."""
    made = Child(monkeypatch, shares_backend=request.param)
    yield made
    made.recorder.shutdown(WITHIN)


@pytest.mark.parametrize("begun", [False, True])
def test_a_first_span_that_is_interrupted(child: Child, begun: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """What the handler of a signal raises is the program's, before the thread began or after; the next root records."""

    def interrupt(begin: Callable[[], Any]) -> None:
        if begun:
            stray.append(begin())
        raise Interruption

    stray: list[Any] = []
    child.on_thread = interrupt
    with pytest.raises(Interruption):
        child.work("first")
    child.on_thread = lambda begin: begin()
    child.work("second")
    assert child.delivered() == ["second"]
    assert child.attempts == 2
    assert all(thread.join(WITHIN) for thread in stray), "one pump is at work, not two"
    child.work("third")
    assert child.delivered() == ["second", "third"]
    assert child.recorder.shutdown(WITHIN).delivered


def test_a_child_without_a_thread(child: Child, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is none to be had the program goes on, and what it records waits for a root of a second later."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    child.on_thread = refuse
    for name in ("a", "b", "c"):
        child.work(name)
    assert child.attempts == 1, "not with each span"
    assert [record.getMessage() for record in caplog.records] == [
        "tracecore records nothing in this forked process for now"
    ]
    child.recorder._channels[0].station.watch.overdue_ns = 0  # the second has passed
    child.work("d")
    assert child.attempts == 2
    child.on_thread = lambda begin: begin()
    child.recorder._channels[0].station.watch.overdue_ns = 0
    child.work("e")
    assert child.delivered() == ["a", "b", "c", "d", "e"]
    assert len(caplog.records) == 1
    assert child.recorder.shutdown(WITHIN).delivered
