"""Spans that do not end, forks and pumps that die, where a recorder has several backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import (
    ManualClock,
    names,
    run_to_the_end,
)
from tests.several import WITHIN, At, recording, work
from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.context import Route, Watch
from tracecore.fan_out import FanOut, Watches
from tracecore.open_span import OpenSpan, open_root
from tracecore.pump import Pump, PumpSettings
from tracecore.recorder import Recorder
from tracecore.records import Record, Span
from tracecore.ring import Ring

__all__ = ["recording"]


def test_a_running_span_is_written_once_to_each() -> None:
    """That one pump has written a span as running does not keep the other from it, nor has either do it again."""
    rings: list[Ring[Any]] = [Ring(10, 10**6), Ring(10, 10**6)]
    spans: set[OpenSpan] = set()
    fan, sinks = FanOut(rings), [At("a:"), At("b:")]
    root = open_root(Route("default", fan, fan.push, spans), "slow")
    clock = ManualClock()

    def pump(which: int) -> None:
        clock.now = monotonic_ns() + int(10e9)
        settings = PumpSettings(pending_after=2.0, abandon=False, mark=1 << which)
        run_to_the_end(Pump(rings[which], sinks[which], spans, settings, clock=clock), "asyncio")

    for which in (0, 0, 1, 0, 1):
        pump(which)
    root.end()
    pump(0)
    pump(1)
    for sink in sinks:
        written = [record.status for record in sink.records if isinstance(record, Span)]
        assert written == ["running", "ok"]


def test_what_nobody_has_ended_is_abandoned_in_each(recording: Callable[..., Recorder]) -> None:
    """A span that is open at the end is written as abandoned to every backend, by the same process."""
    backends = [At("a:"), At("b:")]
    recorder = recording(*backends)
    work(recorder, "ended")
    open_root(recorder.route, "open")
    assert recorder.shutdown(WITHIN).delivered
    found = [{record.name: record.status for record in one.records if isinstance(record, Span)} for one in backends]
    assert found == [{"ended": "ok", "open": "abandoned"}] * 2
    assert backends[0].records[-1].provenance == backends[1].records[-1].provenance  # type: ignore[union-attr]  # a list holds spans


def test_a_forked_child_delivers_to_each(recording: Callable[..., Recorder]) -> None:
    """It begins with nothing of the parent's, and with its first span every backend has a pump again."""
    backends = [At("a:"), At("b:")]
    recorder = recording(*backends)
    work(recorder, "parent's")
    assert recorder.flush(WITHIN).delivered
    parent = recorder.health()
    old = [channel.station.thread for channel in recorder._channels]
    recorder.stop(WITHIN)
    for thread in old:
        assert thread is not None
        assert thread.join(WITHIN)
    child = Recorder(recorder.config, backend=[At("c:"), At("d:")])
    child.begin()
    work(child, "parent's, in the buffer")
    child.after_fork()
    assert [one.emitted for one in child.health().backends.values()] == [0, 0]
    assert len({one.process for one in child.health().backends.values()} | {parent.process}) == 2
    work(child, "child's")
    assert child.flush(WITHIN).delivered
    assert [names(backend.records) for backend in child.backends if isinstance(backend, At)] == [["child's"]] * 2
    assert child.shutdown(WITHIN).delivered


def test_in_a_child_one_backend_that_cannot_be_made_keeps_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the pump of one backend finds no thread in a forked child, the other delivers; later both do."""
    backends = [At("a:"), At("b:")]
    recorder = Recorder(Config(flush_interval_ms=10), backend=backends)
    recorder.begin()
    recorder.after_fork()
    station = recorder._channels[0].station

    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(station, "host_in_thread", refuse)
    work(recorder, "first")
    assert recorder.flush(0.05).backends["b:"].delivered
    assert [names(backend.records) for backend in backends] == [[], ["first"]]
    monkeypatch.undo()
    station.watch.overdue_ns = 0  # the second has passed
    work(recorder, "second")
    assert recorder.shutdown(WITHIN).delivered
    assert [names(backend.records) for backend in backends] == [["first", "second"]] * 2
    assert len(caplog.records) == 1


def test_whoever_opens_a_trace_looks_after_all() -> None:
    """The first pump that is overdue is enough, and only those that are get a second look."""
    seen: list[tuple[str, int]] = []
    late = Watch(10, lambda now: seen.append(("late", now)))
    later = Watch(20, lambda now: seen.append(("later", now)))
    watches = Watches([later, late])
    assert watches.overdue_ns == 10
    watches.suspect(15)
    assert seen == [("late", 15)]
    watches.suspect(25)
    assert seen[1:] == [("later", 25), ("late", 25)]


def test_a_pump_that_dies_is_replaced_beside_one_that_does_not(recording: Callable[..., Recorder]) -> None:
    """The next one delivers what it had in hand, and only the account of its backend says that it was replaced."""
    died: list[Record] = []

    async def die_once(batch: list[Record]) -> None:
        if not died:
            died.extend(batch)
            raise SystemExit

    backends = [At("a:"), At("b:", on_write=die_once)]
    recorder = recording(*backends)
    work(recorder, "one")
    assert recorder.flush(WITHIN).delivered
    health = recorder.health()
    assert {location: one.restarts for location, one in health.backends.items()} == {"a:": 0, "b:": 1}
    assert [names(backend.records) for backend in backends] == [["one"], ["one"]]
