"""What reaches the disk, and when: nothing unmasked; all of it, where that is asked for; and what is said of it."""

from __future__ import annotations

import errno
import os
import threading
from contextvars import copy_context
from pathlib import Path

import pytest

from tests.fakes import FakeBackend, ManualClock
from tests.journals import (
    MEGABYTE,
    all_of,
    begun,
    emitter,
    ended,
    lane_of,
    left_by,
    recovered_from,
    said,
    span_for,
)
from tracecore.blocks import BLOCK
from tracecore.config import Config
from tracecore.context import INHERITED, POSITION
from tracecore.files import Files
from tracecore.observe import observe
from tracecore.recorder import Recorder
from tracecore.records import encode_record
from tracecore.segments import SEGMENT
from tracecore.strict_journal import StrictJournal
from tracecore.tracing import span


def test_nothing_reaches_the_files_unmasked(tmp_path: Path) -> None:
    """With a mask, names and payloads are masked before they are written, in blocks, in long bodies and in memory."""
    journal = begun(
        tmp_path, kind=StrictJournal, mask=lambda text: text.replace("secret", "*"), most_bytes=SEGMENT, items=3
    )
    assert isinstance(journal, StrictJournal)
    assert journal.masks
    for size in (10, 5_500, 100_000, *[400_000] * 40):
        span = span_for(journal, "secret", size)
        span.note(status_message="secret")
        span.end()
    lane = lane_of(journal)
    assert lane.framed >= 10
    assert lane.depth == 3
    assert lane.full >= 1
    home = journal._home
    assert home is not None
    assert not [path for path in home.path.iterdir() if b"secret" in path.read_bytes()]
    records = [item.seal() for item in lane.take(100, 10**9)]
    assert {(record.name, record.status_message) for record in records} == {("*", "*")}
    assert b"secret" not in b"".join(bytes(record.output) for record in records)
    lane.settle(len(records))
    ended(journal)


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_a_mask_that_raises_costs_its_record_only(tmp_path: Path, error: type[BaseException]) -> None:
    """Whatever a mask raises: the program goes on, nothing unmasked is kept, and the pump counts the record."""

    def mask(text: str) -> str:
        if text == "fatal":
            raise error
        return text

    journal = begun(tmp_path, kind=StrictJournal, mask=mask)
    emit = emitter(journal)
    for name in ("before", "fatal", "after"):
        emit(name)
    items = lane_of(journal).take(10, 10**9)
    sealed = []
    for item in items:
        try:
            sealed.append(item.seal().name)
        except ValueError as unsealable:
            sealed.append(str(unsealable.__cause__))
    assert "fatal" not in sealed
    assert sorted(sealed)[-2:] == ["after", "before"]
    lane_of(journal).settle(3)
    ended(journal)


class Disk(Files):
    """A disk that notes what was brought to it, and fails when it is told to."""

    def __init__(self) -> None:
        self.synced: list[str] = []
        self.fails = False
        self.told = threading.Event()

    def sync(self, descriptor: int) -> None:
        """Note which file it is."""
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self.told.set()


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which file a descriptor is")


@needs_proc
def test_always_means_before_the_emit_returns(tmp_path: Path) -> None:
    """Every segment that an emit has written into is on the disk when it returns, and no other is asked for."""
    disk = Disk()
    journal = begun(tmp_path, kind=StrictJournal, sync="always", files=disk)
    emit = emitter(journal)
    disk.synced.clear()
    emit("short")
    assert disk.synced == ["0"]
    assert journal.level == "durable"
    emit("long", 3 * MEGABYTE)
    disk.synced.clear()
    emit("in two segments", 3 * MEGABYTE)
    assert sorted(disk.synced) == ["0", "1"]
    disk.synced.clear()
    emit("short again")
    assert disk.synced == ["1"]
    assert all_of(journal) == ["short", "long", "in two segments", "short again"]
    ended(journal)


@needs_proc
def test_what_the_disk_refused_is_never_called_durable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After the disk has failed once, what is emitted is kept but only handed over: a retried sync proves nothing."""
    disk = Disk()
    clock = ManualClock()
    journal = begun(tmp_path, kind=StrictJournal, sync="always", files=disk, clock=clock)
    emit = emitter(journal)
    emit("a")
    disk.fails = True
    emit("b")
    assert journal.trouble is not None
    assert journal.level == "handed_over"
    disk.fails = False
    clock.advance(2)
    journal.housekeep(clock())
    emit("c")
    assert os.strerror(errno.EIO) in str(journal.trouble), "that stays so"
    assert journal.level == "handed_over"
    assert lane_of(journal).depth == 0, "there is room in the files as before"
    assert len(said(caplog)) == 1
    assert "survives the end of this process, and not that of the machine" in said(caplog)[0]
    assert all_of(journal) == ["a", "b", "c"]
    ended(journal)


@needs_proc
def test_an_interval_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """With an interval everything is brought to the disk again and again, until the journal ends."""
    disk = Disk()
    journal = begun(tmp_path, sync="interval", sync_interval=0.001, files=disk)
    emitter(journal)("a")
    for _ in range(3):
        disk.told.clear()
        assert disk.told.wait(30)
    assert set(disk.synced) <= {"0", "owner"}
    assert journal.level == "handed_over"
    all_of(journal)
    ended(journal)


def test_without_a_thread_to_be_had_the_program_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system gives no thread for the interval, that is said, and records are kept as without one."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    journal = begun(tmp_path, sync="interval")
    emitter(journal)("a")
    assert "can't start new thread" in said(caplog)[0]
    assert all_of(journal) == ["a"]
    ended(journal)


@pytest.mark.parametrize("broken", [False, True])
def test_what_a_mask_traces_is_not_recorded(tmp_path: Path, broken: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """A mask may call what is traced, as roots or below what is open: the host does not hang, and nothing is emitted.

    The context of whoever emits is afterwards what it was, also where the mask raises.
    """
    calls: list[str] = []

    @observe
    def hidden(text: str) -> str:
        calls.append(text)
        if broken:
            raise ValueError(text)
        return text.replace("secret", "*")

    config = Config(buffer="journal", journal_dir=str(tmp_path), mask=hidden)
    backend = FakeBackend()
    recorder = Recorder(config, backend=backend).start()

    def program() -> None:
        INHERITED.set(INHERITED.get().replace(recorder=recorder))
        with span("outer", input="secret") as outer:
            span("inner", input="secret").end()
            assert POSITION.get() is outer
        assert POSITION.get() is None

    copy_context().run(program)
    assert recorder.shutdown(60).delivered
    assert len(backend.records) == recorder.health().emitted == 2
    assert "secret" in "".join(calls)
    assert b"secret" not in b"".join(map(encode_record, backend.records))


def test_what_is_left_takes_the_space_of_what_is_in_it(tmp_path: Path) -> None:
    """Who ends while the backend is away leaves the blocks in use; the rest of the segment is the disk's again."""
    home = left_by(tmp_path, "short", ["one", "two", "three"])
    segment = (home / "0").stat()
    assert segment.st_size == SEGMENT
    assert 0 < segment.st_blocks * 512 <= 2 * BLOCK
    assert recovered_from(tmp_path) == ["one", "two", "three"]
    assert not (tmp_path / "damaged").exists()
