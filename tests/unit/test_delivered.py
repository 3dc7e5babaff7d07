"""Waiting for one's own trace: for nobody else's, truthfully, with the level that it has reached."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from tests.fakes import EVENT_LOOPS, FakeBackend, refusing, unavailable
from tracecore.backend import Capabilities, Level
from tracecore.config import Config
from tracecore.errors import BackendRejected
from tracecore.health import FlushResult
from tracecore.open_span import Muted, OpenSpan, open_child, open_root
from tracecore.recorder import Recorder
from tracecore.records import Record, Score
from tracecore.tracing import span

WITHIN = 20.0
NOT_YET = FlushResult(delivered=False, pending=1, lost={}, level="accepted")


class Gate:
    """A backend that keeps batches with a span of some name waiting, until it is opened."""

    def __init__(self, *names: str, level: Level = "durable") -> None:
        self.open = threading.Event()
        self.waiting = threading.Event()
        self.backend = FakeBackend(on_write=self._write)
        self.backend.capabilities = Capabilities(level=level)
        self._names = names

    async def _write(self, batch: list[Record]) -> None:
        if any(getattr(record, "name", "").startswith(self._names) for record in batch):
            self.waiting.set()
            opened = self.open
            while not opened.is_set():  # noqa: ASYNC110 - a thread opens it
                await anyio.sleep(0.002)


@pytest.fixture
def recording() -> Iterator[Callable[..., Recorder]]:
    """Yield a maker of started recorders whose pump moves only when it is called; they are ended with the test."""
    made: list[Recorder] = []

    def make(backend: FakeBackend, **settings: object) -> Recorder:
        config = Config(**{"flush_interval_ms": 60_000, "pending_after_ms": 0, "batch_items": 1, **settings})
        made.append(Recorder(config, backend=backend).start())
        return made[-1]

    yield make
    for recorder in made:
        recorder.shutdown(1)


def trace(recorder: Recorder, name: str) -> OpenSpan:
    """Return the ended root of a new trace."""
    root = open_root(recorder.route, name)
    assert isinstance(root, OpenSpan)
    root.end()
    return root


def test_says_the_level_that_the_backend_has_reached(recording: Callable[..., Recorder]) -> None:
    """A trace that has arrived is as safe as the backend makes it; one that waits, as the buffer does."""
    gate = Gate("work")
    recorder = recording(gate.backend)
    root = trace(recorder, "work")
    assert root.delivered(0.01) == NOT_YET
    gate.open.set()
    assert root.delivered(WITHIN) == FlushResult(delivered=True, pending=0, lost={}, level="durable")
    assert root.delivered(0) == FlushResult(delivered=True, pending=0, lost={}, level="durable")
    assert recorder.flush(0).level == "durable"


def test_does_not_wait_for_what_comes_later(recording: Callable[..., Recorder]) -> None:
    """A backlog that was emitted after a trace is not waited for, in the same thread or another."""
    gate = Gate("first", "later")
    recorder = recording(gate.backend)
    first = trace(recorder, "first")
    recorder._channels[0].station.wake()
    assert gate.waiting.wait(WITHIN)
    for _ in range(20):
        trace(recorder, "later")
    other = threading.Thread(target=lambda: [trace(recorder, "later") for _ in range(20)])
    other.start()
    other.join()
    held, gate.open = gate.open, threading.Event()
    held.set()
    assert first.delivered(WITHIN).delivered
    assert not recorder.flush(0.01).delivered
    gate.open.set()


def test_waits_for_every_part_of_a_trace(recording: Callable[..., Recorder]) -> None:
    """What other threads have emitted of the same trace, children and scores, is waited for too."""
    gate = Gate("child")
    recorder = recording(gate.backend)
    root = open_root(recorder.route, "root")
    assert isinstance(root, OpenSpan)
    other = threading.Thread(target=lambda: open_child(root.trace, root.span_id, "child").end())
    other.start()
    other.join()
    root.end()
    recorder.emit(Score("default", "s", "child score", 1, value=1.0, trace_id=root.trace_id))
    result = root.delivered(0.05)
    assert (result.delivered, result.level) == (False, "accepted")
    assert 1 <= result.pending <= 3
    gate.open.set()
    assert root.delivered(WITHIN).delivered
    assert len(gate.backend.records) == 3


def test_open_spans_are_not_waited_for(recording: Callable[..., Recorder]) -> None:
    """Asked while a span of the trace is open, it says what has become of those that have ended."""
    recorder = recording(FakeBackend())
    root = open_root(recorder.route, "root")
    assert isinstance(root, OpenSpan)
    open_child(root.trace, root.span_id, "child").end()
    assert root.delivered(WITHIN).delivered
    root.end()
    assert root.delivered(WITHIN).delivered


def test_only_its_own_losses_count(recording: Callable[..., Recorder]) -> None:
    """A trace whose record was refused is not delivered, and says why; the next one is."""
    backend = FakeBackend(on_write=refusing(lambda record: getattr(record, "name", "") == "bad"))
    recorder = recording(backend)
    bad, good = trace(recorder, "bad"), trace(recorder, "good")
    assert good.delivered(WITHIN) == FlushResult(delivered=True, pending=0, lost={}, level="accepted")
    assert bad.delivered(WITHIN) == FlushResult(delivered=False, pending=0, lost={"rejected": 1}, level=None)
    assert recorder.health().lost == {"rejected": 1}


def test_a_full_buffer_is_told_to_whom_it_concerns(recording: Callable[..., Recorder]) -> None:
    """A trace that did not fit into the buffer hears so; those that did are delivered."""
    gate = Gate("first", "fits")
    recorder = recording(gate.backend, buffer_items=1)
    first = trace(recorder, "first")
    recorder._channels[0].station.wake()
    assert gate.waiting.wait(WITHIN)
    fits, lost = trace(recorder, "fits"), trace(recorder, "lost")
    assert lost.delivered(WITHIN) == FlushResult(delivered=False, pending=0, lost={"ring_full": 1}, level=None)
    gate.open.set()
    assert first.delivered(WITHIN).delivered
    assert fits.delivered(WITHIN).delivered


def test_what_came_too_late_is_lost() -> None:
    """After the end nothing is waited for: what had arrived is delivered, the rest is not."""
    recorder = Recorder(Config(pending_after_ms=0), backend=FakeBackend()).start()
    early = trace(recorder, "early")
    late = open_root(recorder.route, "late")
    recorder.shutdown(WITHIN)
    late.end()
    assert early.delivered(3_600).delivered
    assert late.delivered(3_600) == FlushResult(delivered=False, pending=0, lost={"closing": 1}, level=None)


def test_what_the_end_left_behind_is_lost() -> None:
    """A trace that was still in the buffer when the recorder ended is not delivered, and nobody waits for it."""

    async def away(_: list[Record]) -> None:
        raise unavailable()

    recorder = Recorder(Config(pending_after_ms=0, batch_items=1), backend=FakeBackend(on_write=away)).start()
    roots = [trace(recorder, "first"), trace(recorder, "second")]
    recorder.shutdown(0.05)
    results = [root.delivered(3_600) for root in roots]
    assert not any(result.delivered or result.pending or result.level for result in results)
    assert [sum(result.lost.values()) for result in results] == [1, 1]


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_awaited(event_loop: str) -> None:
    """The awaited form waits without blocking the loop, also where the pump is a task of that very loop."""
    backend = FakeBackend()

    async def host() -> None:
        async with Recorder(Config(flush_interval_ms=60_000), backend=backend):
            with span("root") as root:
                pass
            assert (await root.adelivered(WITHIN)).delivered
            with anyio.CancelScope() as scope:
                scope.cancel()
                await root.adelivered(WITHIN)
            with span("next") as following:
                pass
            assert not following.delivered(WITHIN).delivered, "it cannot be, while its own loop is kept waiting"
            assert (await following.adelivered(WITHIN)).delivered

    anyio.run(host, backend=event_loop)
    assert len(backend.records) == 2


def test_a_trace_that_nobody_records_is_not_delivered() -> None:
    """Where sampling left a trace out, or tracing is off, nothing of it is stored: that is what is said, at once."""
    nothing = FlushResult(delivered=False, pending=0, lost={}, level=None)
    for muted in (Muted(), Muted("1" * 32)):
        assert muted.delivered(3_600) == nothing
        assert anyio.run(muted.adelivered, 3_600) == nothing


def test_many_wait_at_once(recording: Callable[..., Recorder]) -> None:
    """Threads that record and wait beside each other all get their own answer."""
    backend = FakeBackend()
    recorder = recording(backend, batch_items=50)

    def work(number: int) -> bool:
        return all(trace(recorder, f"{number}:{index}").delivered(WITHIN).delivered for index in range(10))

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(backend.records) == 80
    assert time.monotonic() - began < 2 * WITHIN


def test_of_more_losses_than_are_remembered(recording: Callable[..., Recorder]) -> None:
    """Nobody is told that a trace was delivered which may be among the losses that were forgotten."""
    recorder = recording(FakeBackend())
    root = trace(recorder, "root")
    assert root.delivered(WITHIN).delivered
    traces = recorder._channels[0].station.accounts.lost_traces
    traces._most = 1
    for number in range(3):
        traces.add(f"{number}", "ring_full")
    assert not root.delivered(0).delivered
    late = open_child(root.trace, root.span_id, "late")
    late.end()
    assert not late.delivered(WITHIN).delivered, "its trace began before"
    assert trace(recorder, "since then").delivered(WITHIN).delivered


def test_what_is_lost_while_one_asks_is_not_called_delivered(
    recording: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a record is refused between two looks, after its losses were counted, its trace has not arrived."""
    go = threading.Event()

    async def refuse(_: list[Record]) -> None:
        opened = go
        while not opened.is_set():  # noqa: ASYNC110 - a thread opens it
            await anyio.sleep(0.002)
        raise BackendRejected("no", "nothing can be done")

    recorder = recording(FakeBackend(on_write=refuse))
    root = trace(recorder, "root")
    traces = recorder._channels[0].station.accounts.lost_traces
    real = traces.of

    def of(trace_id: str) -> dict[str, int] | None:
        found = real(trace_id)
        go.set()
        recorder.flush(WITHIN)
        return found

    monkeypatch.setattr(traces, "of", of)
    assert not root.delivered(0).delivered
    assert root.delivered(0) == FlushResult(delivered=False, pending=0, lost={"rejected": 1}, level=None)


def test_where_losses_cannot_be_counted_nobody_vouches(recording: Callable[..., Recorder]) -> None:
    """Whoever asks while somebody counts all the time is not told that nothing was lost; later he is told what was."""
    recorder = recording(FakeBackend())
    root = trace(recorder, "root")
    assert root.delivered(WITHIN).delivered
    traces = recorder._channels[0].station.accounts.lost_traces
    with traces._lock:
        traces.add(root.trace_id, "ring_full")
        assert not root.delivered(0).delivered
    assert root.delivered(0).lost == {"ring_full": 1}
