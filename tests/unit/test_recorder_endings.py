"""A recorder lets go of its buffer once its pump has ended: with the shutdown, or after it where time ran out."""

from __future__ import annotations

import asyncio
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeBackend, span_record
from tracecore import recorder as recorders
from tracecore.config import Config
from tracecore.recorder import Recorder, is_recording
from tracecore.segments import is_home


@pytest.fixture(autouse=True)
def _patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end wait for the journal's own thread however busy the machine is: else the home is left to the next."""
    monkeypatch.setattr("tracecore.journal._END_WAITS", 20.0)


class Stubborn(FakeBackend):
    """A sink that hangs in its close until it is let go, and heeds no cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    async def close(self) -> None:
        """Hang."""
        self.let_go.wait(60)


def test_a_shutdown_that_ran_out_of_time_lets_go_when_the_pump_ends(tmp_path: Path) -> None:
    """The home of a recorder whose pump outlives the shutdown is removed when that pump has ended, once."""
    backend = Stubborn()
    recorder = Recorder(Config(buffer="journal", journal_dir=str(tmp_path)), backend=backend).start()
    recorder.emit(span_record("a"))
    assert recorder.flush(60).delivered
    assert recorder.shutdown(0.01).delivered is False
    assert list(filter(is_home, (path.name for path in tmp_path.iterdir())))
    assert not is_recording()
    assert recorder in recorders._UNENDED, "a child that is forked now must forget what is the parent's"
    thread: Any = recorder._channels[0].station.thread
    backend.let_go.set()
    thread.join(60)
    assert list(tmp_path.iterdir()) == []
    assert recorder not in recorders._UNENDED
    assert recorder._channels[0].station._listeners == []


@pytest.mark.parametrize("cancellations", [1, 2, 3])
def test_a_block_that_is_cancelled_again_and_again_lets_go(tmp_path: Path, cancellations: int) -> None:
    """However often the task inside of ``async with`` is cancelled, the home is gone once the loop has ended."""
    backend = FakeBackend()

    async def inside() -> None:
        async with Recorder(Config(buffer="journal", journal_dir=str(tmp_path)), backend=backend) as recorder:
            recorder.emit(span_record("a"))
            await asyncio.sleep(60)

    async def host() -> None:
        task = asyncio.create_task(inside())
        for _ in range(cancellations):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(host())
    assert list(tmp_path.iterdir()) == []
    assert not is_recording()


def test_a_shutdown_that_is_interrupted_lets_go_when_the_pump_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever interrupts the wait of a shutdown has the home removed when the pump has ended, as who waits does."""
    backend = Stubborn()
    recorder = Recorder(Config(buffer="journal", journal_dir=str(tmp_path)), backend=backend).start()
    recorder.emit(span_record("a"))
    assert recorder.flush(60).delivered

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recorders, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        recorder.shutdown(60)
    thread: Any = recorder._channels[0].station.thread
    backend.let_go.set()
    thread.join(60)
    assert list(tmp_path.iterdir()) == []


def test_a_shutdown_that_is_cancelled_lets_go_when_the_pump_ends(tmp_path: Path) -> None:
    """A task that is cancelled while it waits for a shutdown has the home removed when the pump has ended, too."""
    backend = Stubborn()
    recorder = Recorder(Config(buffer="journal", journal_dir=str(tmp_path)), backend=backend).start()
    recorder.emit(span_record("a"))
    assert recorder.flush(60).delivered

    async def host() -> None:
        waiting = asyncio.create_task(recorder.ashutdown(60))
        await asyncio.sleep(0)
        assert not recorder.recording
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(host())
    thread: Any = recorder._channels[0].station.thread
    backend.let_go.set()
    thread.join(60)
    assert list(tmp_path.iterdir()) == []


def test_the_buffer_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a recorder is shut down, its buffer ends once, and nobody listens to the pump any more."""
    recorder = Recorder(Config(), backend=FakeBackend()).start()
    ends: list[int] = []
    monkeypatch.setattr(recorder._channels[0].ring, "end", lambda: ends.append(1))
    for _ in range(3):
        recorder.shutdown(60)
    assert ends == [1]
    assert recorder._channels[0].station._listeners == []
    kept = weakref.ref(recorder)
    assert kept() not in recorders._UNENDED


def test_two_threads_that_let_go_at_once() -> None:
    """Whoever stops listening where another thread has just done so for him goes on."""

    class Raced(list[Any]):
        def remove(self, value: Any) -> None:
            self.clear()
            super().remove(value)

    recorder = Recorder(Config(), backend=FakeBackend()).start()
    recorder._channels[0].station._listeners = Raced([recorder._channels[0].end_buffer])
    recorder._channels[0].station.unlisten(recorder._channels[0].end_buffer)
    assert recorder._channels[0].station._listeners == []
    assert recorder.shutdown(60).delivered
