"""A recorder with a thread of its own: its life, its results and its accounts."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from tests.fakes import FakeBackend, accounts_balance, names, refusing, span_record
from tracecore.config import Config
from tracecore.context import SWITCH
from tracecore.errors import Closed, ConfigError
from tracecore.health import FlushResult
from tracecore.open_span import OpenSpan, open_root
from tracecore.recorder import Recorder
from tracecore.records import Record, Score, Session

SLOW_TO_WAKE = {"flush_interval_ms": 60_000}


def recording(backend: FakeBackend, **settings: Any) -> Recorder:
    """Return a started recorder whose pump moves only when it is called."""
    return Recorder(Config(**{**SLOW_TO_WAKE, **settings}), backend=backend).start()


def open_trace(recorder: Recorder, name: str = "work") -> OpenSpan:
    """Open a trace of a recorder."""
    span = open_root(recorder.route, name)
    assert isinstance(span, OpenSpan)
    return span


def none_to_be_had(_: threading.Thread) -> None:
    """Fail as a system does that has no thread left."""
    message = "can't start new thread"
    raise RuntimeError(message)


def blocked() -> tuple[FakeBackend, threading.Event, threading.Event]:
    """Return a backend that keeps its first write until it is released: it, the sign that it began, the release."""
    began, release = threading.Event(), threading.Event()

    async def wait(_: list[Record]) -> None:
        began.set()
        release.wait(30)

    return FakeBackend(on_write=wait), began, release


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**30])
def test_waiting_for_ever_is_a_timeout_too(timeout: float) -> None:
    """An infinite timeout, or one beyond every clock, waits for the delivery and not longer."""
    backend = FakeBackend()
    recorder = recording(backend)
    open_trace(recorder, "first").end()
    assert recorder.flush(timeout).delivered
    open_trace(recorder, "second").end()
    assert recorder.shutdown(timeout).delivered
    assert names(backend.records) == ["first", "second"]


async def test_waiting_for_ever_in_a_loop_is_a_timeout_too() -> None:
    """The awaited forms take an infinite timeout as well."""
    backend = FakeBackend()
    recorder = recording(backend)
    open_trace(recorder, "first").end()
    assert (await recorder.aflush(math.inf)).delivered
    open_trace(recorder, "second").end()
    assert (await recorder.ashutdown(math.inf)).delivered
    assert names(backend.records) == ["first", "second"]


def test_without_a_thread_nobody_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started the start says so, the end takes no time, and what came meanwhile is counted."""
    recorder = Recorder(Config(), backend=FakeBackend())
    monkeypatch.setattr(threading.Thread, "start", none_to_be_had)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        recorder.start()
    monkeypatch.undo()
    open_trace(recorder).end()
    began = time.monotonic()
    assert recorder.shutdown(30) == FlushResult(delivered=False, pending=0, lost={"closing": 1}, level=None)
    assert time.monotonic() - began < 10
    accounts_balance(recorder, emitted=1)


def test_a_start_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that found no thread delivers everything once it is started again and finds one."""
    backend = FakeBackend()
    recorder = Recorder(Config(), backend=backend)
    monkeypatch.setattr(threading.Thread, "start", none_to_be_had)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        recorder.start()
    monkeypatch.undo()
    open_trace(recorder, "before").end()
    recorder.start()
    assert recorder.shutdown() == FlushResult(delivered=True, pending=0, lost={})
    assert names(backend.records) == ["before"]


def test_nothing_happens_before_start() -> None:
    """Making a recorder opens nothing, starts no thread and records nothing."""
    backend = FakeBackend()
    before = threading.active_count()
    recorder = Recorder(Config(), backend=backend)
    assert not recorder.emit(span_record())
    assert recorder.health().state == "new"
    assert recorder.flush(0) == FlushResult(delivered=True, pending=0, lost={})
    assert recorder.shutdown() == FlushResult(delivered=True, pending=0, lost={})
    assert threading.active_count() == before
    assert backend.calls == []


def test_an_unknown_backend_is_refused_at_once() -> None:
    """A configuration that names no known backend is refused when the recorder is made."""
    with pytest.raises(ConfigError, match="nowhere:"):
        Recorder(Config(backend="nowhere:"))


def test_records_from_start_to_shutdown() -> None:
    """What is emitted between start and shutdown is stored; health tells each stage."""
    backend = FakeBackend()
    recorder = recording(backend)
    assert recorder.health().state == "recording"
    with open_trace(recorder, "root"):
        assert recorder.health().open_spans == 1
    assert recorder.emit(Score("default", "s", "score", 1, value=1.0, trace_id="1" * 32))
    assert recorder.emit(Session("default", "session"))
    assert recorder.flush() == FlushResult(delivered=True, pending=0, lost={})
    assert names(backend.records) == ["root", "score"]
    health = recorder.health()
    assert (health.location, health.emitted, health.delivered, health.open_spans) == ("fake:", 3, 3, 0)
    assert health.last_delivery_age_s is not None
    assert recorder.shutdown() == FlushResult(delivered=True, pending=0, lost={})
    assert recorder.health().state == "closed"
    assert backend.calls[-1] == "close"


def test_starting_twice_is_starting_once() -> None:
    """A second start changes nothing; a start after the end says that a new recorder is needed."""
    backend = FakeBackend()
    recorder = recording(backend).start()
    recorder.shutdown()
    recorder.shutdown()
    assert backend.calls.count("open") == backend.calls.count("close") == 1
    with pytest.raises(Closed, match="make a new one"):
        recorder.start()


def test_disabled_records_nothing() -> None:
    """A disabled recorder has no route, opens nothing and says so."""
    backend = FakeBackend()
    recorder = recording(backend, enabled=False)
    assert recorder.route is None
    assert not recorder.emit(span_record())
    assert recorder.flush() == recorder.shutdown() == FlushResult(delivered=True, pending=0, lost={})
    assert recorder.health().state == "disabled"
    assert backend.calls == []


def test_a_disabled_recorder_switches_off_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a disabled recorder leaves everybody else's tracing on: only the default one may turn it off."""
    monkeypatch.setattr(SWITCH, "off", False)
    recording(FakeBackend(), enabled=False)
    assert not SWITCH.off


def test_what_comes_too_late_is_counted() -> None:
    """A span that ends after shutdown is lost as ``closing``, and the accounts say so."""
    recorder = recording(FakeBackend())
    late = open_trace(recorder)
    recorder.shutdown()
    late.end()
    assert not recorder.emit(span_record())
    assert recorder.health().lost == {"closing": 2}
    accounts_balance(recorder, emitted=2)


def test_ending_twice_is_ending_once() -> None:
    """A span that is ended again, from any thread, is stored once."""
    backend = FakeBackend()
    recorder = recording(backend)
    for number in range(50):
        span = open_trace(recorder, f"s{number}")
        together = threading.Barrier(4)
        threads = [threading.Thread(target=lambda s=span, b=together: (b.wait(), s.end())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    recorder.shutdown()
    assert sorted(names(backend.records)) == sorted(f"s{number}" for number in range(50))
    accounts_balance(recorder, emitted=50)


def test_flush_says_what_is_pending() -> None:
    """A flush whose time is up says how many records are still on their way, and a later one says that they arrived."""
    backend, began, release = blocked()
    recorder = recording(backend)
    recorder.emit(span_record())
    assert recorder.flush(0.01) == FlushResult(delivered=False, pending=1, lost={})
    assert began.wait(10)
    accounts_balance(recorder, emitted=1)
    release.set()
    assert recorder.flush() == FlushResult(delivered=True, pending=0, lost={})
    recorder.shutdown()


def test_flush_waits_for_what_was_emitted_before_only() -> None:
    """A flush ends when what was there at its beginning is settled, however much is emitted meanwhile."""
    recorder: Recorder

    async def more(_: list[Record]) -> None:
        recorder.emit(span_record("more"))

    recorder = recording(FakeBackend(on_write=more))
    recorder.emit(span_record())
    assert recorder.flush(20).delivered
    recorder.shutdown()


def test_lost_is_not_delivered() -> None:
    """A flush of records that the backend refuses for good does not call them delivered, and counts them."""

    def is_bad(record: Record) -> bool:
        return names([record]) == ["bad"]

    recorder = recording(FakeBackend(on_write=refusing(is_bad)))
    recorder.emit(span_record("bad"))
    assert recorder.flush() == FlushResult(delivered=False, pending=0, lost={"rejected": 1}, level=None)
    recorder.emit(span_record("good"))
    assert recorder.flush() == FlushResult(delivered=True, pending=0, lost={"rejected": 1})
    recorder.emit(span_record("bad"))
    assert recorder.shutdown() == FlushResult(delivered=False, pending=0, lost={"rejected": 2}, level=None)


def test_flush_after_the_end_returns_at_once() -> None:
    """Once the recorder has ended nothing is pending: a flush does not wait for what was lost."""
    backend, began, release = blocked()
    recorder = recording(backend, batch_items=1)
    for _ in range(3):
        recorder.emit(span_record())
    recorder._channels[0].station.wake()
    assert began.wait(10)
    recorder.stop(0)
    release.set()
    recorder.shutdown()
    lost = recorder.health().lost
    assert lost.get("closing", 0) + lost.get("unavailable", 0) > 0
    assert recorder.flush(3_600).pending == 0
    accounts_balance(recorder, emitted=3)


def test_full_buffer_drops_the_newest() -> None:
    """A full buffer counts what it cannot take as ``ring_full`` and keeps what it has."""
    backend, began, release = blocked()
    recorder = recording(backend, buffer_items=4, batch_items=1)
    recorder.emit(span_record("first"))
    recorder._channels[0].station.wake()
    assert began.wait(10)
    accepted = [recorder.emit(span_record(f"s{n}")) for n in range(6)]
    assert accepted == [True] * 4 + [False] * 2
    accounts_balance(recorder, emitted=7)
    release.set()
    assert recorder.shutdown() == FlushResult(delivered=True, pending=0, lost={"ring_full": 2})
    assert names(backend.records) == ["first", "s0", "s1", "s2", "s3"]


def test_full_buffer_may_wait() -> None:
    """With ``on_full="wait"`` a burst larger than the buffer is stored whole, as long as the backend keeps up."""
    backend = FakeBackend()
    recorder = recording(backend, buffer_items=4, on_full="wait", full_wait_ms=20_000)
    assert all(recorder.emit(span_record(f"s{n}")) for n in range(200))
    recorder.shutdown()
    assert names(backend.records) == [f"s{n}" for n in range(200)]


def test_waiting_for_room_is_bounded() -> None:
    """With ``on_full="wait"`` and a backend that does not move, emitting gives up and counts."""
    backend, began, release = blocked()
    recorder = recording(backend, buffer_items=1, batch_items=1, on_full="wait", full_wait_ms=1)
    recorder.emit(span_record())
    recorder._channels[0].station.wake()
    assert began.wait(10)
    assert [recorder.emit(span_record()) for _ in range(3)] == [True, False, False]
    release.set()
    recorder.shutdown()
    accounts_balance(recorder, emitted=4)


PAYLOAD = "x" * 10_000


def test_a_record_larger_than_the_buffer_is_counted() -> None:
    """One record that is larger than the whole buffer is dropped and counted; the next one is stored."""
    backend = FakeBackend()
    recorder = recording(backend, buffer_bytes=4_096, on_full="wait", full_wait_ms=60_000)
    open_trace(recorder, "huge").update(input=PAYLOAD).end()
    open_trace(recorder, "small").end()
    assert recorder.shutdown().lost == {"ring_full": 1}
    assert names(backend.records) == ["small"]
