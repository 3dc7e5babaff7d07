"""A journal that is looked after does what takes files in a thread of its own, and keeps nobody waiting for a disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journals import adopted, all_of, begun, delivered_from, emitter, ended, in_thread
from tracecore.caretaker import Caretaker
from tracecore.files import Files
from tracecore.journal import Journal
from tracecore.segments import SEGMENT

WITHIN = 30.0
"""Seconds that nothing here takes, however busy the machine is."""


class Rung:
    """Wait for what a thread says that it has done."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        """Say it."""
        self._event.set()

    def until(self, condition: Callable[[], bool], journal: Journal | None = None) -> None:
        """Wait until something holds, keeping house like a pump."""
        for _ in range(int(WITHIN / 0.05)):
            if condition():
                return
            if journal is not None:
                journal.housekeep(1)
            self._event.wait(0.05)
            self._event.clear()
        pytest.fail("nobody has done it")


class Threads(Files):
    """Know in which threads files are made, opened and removed; wait there while the disk hangs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.works = threading.Event()
        self.works.set()
        self.waits = threading.Event()

    def _note(self) -> None:
        self.seen.add(threading.current_thread().name)
        if not self.works.is_set():
            self.waits.set()
            assert self.works.wait(WITHIN)

    def create(self, path: Path) -> int:
        """Make a file, when the disk answers."""
        self._note()
        return super().create(path)

    def open(self, path: Path) -> int:
        """Open a file, when the disk answers."""
        self._note()
        return super().open(path)

    def remove(self, path: Path) -> None:
        """Remove a file, when the disk answers."""
        self._note()
        super().remove(path)


def test_the_pump_makes_opens_and_removes_no_file(tmp_path: Path) -> None:
    """Homes of the dead are found and removed, and segments are added and given back, in the journal's own thread."""
    dead = begun(tmp_path, "dead")
    emitter(dead)("left")
    ended(dead)
    files, rung = Threads(), Rung()
    journal = begun(tmp_path, files=files, looked_after=True, on_half_full=rung, most_bytes=6 * SEGMENT)
    files.seen.clear()
    rung.until(lambda: bool(journal.lanes()))
    (leftover,) = adopted(journal)
    found: list[str] = []

    def delivered() -> bool:
        found.extend(delivered_from(leftover))
        return leftover.exhausted

    rung.until(delivered)
    assert found == ["left"]
    assert files.seen == {"tracecore-journal"}
    journal.housekeep(1)
    journal.farewells.clear()
    rung.until(lambda: not journal.recovering, journal)
    home = journal._home
    assert home is not None
    for number in range(35):
        emitter(journal)(f"{number}", 60_000)
    assert home.is_short or len(home.segments) == 2
    rung.until(lambda: len(home.segments) == 2)
    assert files.seen == {"tracecore-journal"}
    assert len(all_of(journal)) == 35
    ended(journal)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_hangs_keeps_neither_the_pump_nor_the_end(tmp_path: Path) -> None:
    """While the thread waits for the disk, records are taken, settled and added up, and the journal can end."""
    files, rung = Threads(), Rung()
    journal = begun(tmp_path, files=files, looked_after=True, on_half_full=rung, most_bytes=6 * SEGMENT)
    rung.until(lambda: not journal.recovering)
    files.works.clear()
    for number in range(40):
        emitter(journal)(f"{number}", 60_000)
    assert files.waits.wait(WITHIN)
    names: list[str] = []

    def work() -> None:
        journal.housekeep(1)
        names.extend(all_of(journal))
        journal.housekeep(2)
        emitter(journal)("left")
        ended(journal)

    in_thread(work)
    assert names == [f"{number}" for number in range(40)]
    assert journal.left == 1
    files.works.set()


def test_a_journal_has_one_thread_and_it_ends(tmp_path: Path) -> None:
    """However it is synced there is one thread, and it is gone soon after the end."""
    before = set(threading.enumerate())
    journal = begun(tmp_path, looked_after=True, sync="interval")
    (thread,) = set(threading.enumerate()) - before
    assert thread.name == "tracecore-journal"
    ended(journal)
    thread.join(WITHIN)
    assert not thread.is_alive()


def test_a_caretaker_works_at_once_when_asked_and_again_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its work raises is said once, and it goes on; it ends when told to, and can be asked ever after."""
    calls: list[int] = []
    called = threading.Semaphore(0)

    def work() -> None:
        calls.append(1)
        called.release()
        raise ValueError("no")

    caretaker = Caretaker(work, pause=3_600, name="caretaker")
    assert caretaker.works
    for _ in range(3):
        assert called.acquire(timeout=WITHIN)
        caretaker.wake()
    assert called.acquire(timeout=WITHIN)
    caretaker.stop()
    caretaker.stop()
    caretaker._thread.join(WITHIN)
    assert not caretaker.works
    caretaker.wake()
    assert len([record for record in caplog.records if record.name == "tracecore"]) == 1
