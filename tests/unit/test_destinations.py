"""Homes are adopted by who delivers to the backend they are meant for; what is passed over, or denied, is named."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeBackend, names
from tests.journals import ORIGIN, adopted, begun, delivered_from, ended, finish, left_by
from tracecore import Config, Recorder
from tracecore.backend import Capabilities
from tracecore.context import INHERITED
from tracecore.destinations import UNKNOWN, Passing, destination_of, origin_of
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.health import Recovered
from tracecore.journal import Journal
from tracecore.owners import OWNER
from tracecore.records import Span
from tracecore.segments import is_home
from tracecore.tracing import span

HERE, THERE = Origin("project", destination="/store/a.db"), Origin("project", destination="/store/b.db")


class At(FakeBackend):
    """A backend somewhere, which keeps what it is handed unless it says otherwise."""

    def __init__(self, location: str, level: Any = "handed_over") -> None:
        super().__init__()
        self.location = location
        self.capabilities = Capabilities(level=level)


def reader_for(directory: Path, backend: At, name: str = "reader", **settings: Any) -> Journal:
    """Return the journal of a process that delivers to a backend, and has looked around."""
    reader = begun(directory, name, **settings)
    reader.aim(backend)
    reader.housekeep(1)
    return reader


def elsewhere(reader: Journal) -> dict[str, int]:
    """Return what a journal's process has passed over."""
    return reader._adoption.elsewhere()


def test_what_is_meant_for_another_backend_is_left_to_its_own(tmp_path: Path) -> None:
    """It is named and not touched, not even locked; whoever delivers there adopts it all the same."""
    home = left_by(tmp_path, "dead", ["a"], origin=THERE)
    left_by(tmp_path, "mine", ["b"], origin=HERE)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    reader = reader_for(tmp_path, At("/store/a.db"))
    (mine,) = adopted(reader)
    assert delivered_from(mine) == ["b"]
    assert elsewhere(reader) == {"/store/b.db": 1}
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    other = reader_for(tmp_path, At("/store/b.db"), "other")
    assert elsewhere(reader) == {}, "somebody delivers it now"
    (theirs,) = adopted(other)
    assert delivered_from(theirs) == ["a"]
    finish(reader)
    finish(other)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_was_passed_over_is_not_looked_into_again(tmp_path: Path) -> None:
    """Where thousands wait for another backend, a look every ten seconds opens none of them twice, and locks none."""
    opened: Counter[str] = Counter()
    locked: list[int] = []

    class Counting(Files):
        def open(self, path: Path) -> int:
            opened[path.parent.name] += 1
            return super().open(path)

        def lock(self, descriptor: int) -> bool:
            locked.append(descriptor)
            return super().lock(descriptor)

    home = left_by(tmp_path, "dead", ["a"], origin=THERE)
    reader = begun(tmp_path, "reader", files=Counting())
    locked.clear()
    reader.aim(At("/store/a.db"))
    for second in range(1, 100, 11):
        reader.housekeep(second * 10**9)
    assert (opened[home.name], locked) == (1, [])
    ended(reader)


def test_what_names_no_destination_is_anybodys(tmp_path: Path) -> None:
    """Homes of older versions are delivered by whoever comes first."""
    left_by(tmp_path, "dead", ["a"], origin=ORIGIN)
    reader = reader_for(tmp_path, At("/store/a.db"))
    assert [name for lane in adopted(reader) for name in delivered_from(lane)] == ["a"]
    finish(reader)


def test_a_backend_that_keeps_nothing_is_given_nothing_of_others(tmp_path: Path) -> None:
    """Delivered into the memory of a process, it would be gone with it; what was meant for just that is removed so."""
    left_by(tmp_path, "kept", ["a"], origin=THERE)
    left_by(tmp_path, "older", ["b"], origin=ORIGIN)
    left_by(tmp_path, "mine", ["c"], origin=Origin("project", destination="memory:"))
    reader = reader_for(tmp_path, At("memory:", level="accepted"))
    assert [name for lane in adopted(reader) for name in delivered_from(lane)] == ["c"]
    assert elsewhere(reader) == {"/store/b.db": 1, UNKNOWN: 1}
    with reader._adoption.searching(everything=True):
        reader.housekeep(2)
    assert elsewhere(reader) == {"/store/b.db": 1, UNKNOWN: 1}, "asked for everything, too"
    finish(reader)


def test_everything_is_taken_while_it_is_asked_for(tmp_path: Path) -> None:
    """What was passed over before is adopted then, and what dies afterwards is not."""
    left_by(tmp_path, "dead", ["a"], origin=THERE)
    reader = reader_for(tmp_path, At("/store/a.db"))
    assert adopted(reader) == []
    with reader._adoption.searching(everything=True):
        reader.housekeep(2)
        assert [name for lane in adopted(reader) for name in delivered_from(lane)] == ["a"]
    left_by(tmp_path, "later", ["b"], origin=THERE)
    reader.housekeep(10**11)
    assert elsewhere(reader) == {"/store/b.db": 1}
    finish(reader)


def test_everything_is_taken_as_long_as_anybody_asks_for_it(tmp_path: Path) -> None:
    """Of two who ask at once the first to leave does not end it for the other."""
    left_by(tmp_path, "dead", ["a"], origin=THERE)
    reader = reader_for(tmp_path, At("/store/a.db"))
    first, second = (reader._adoption.searching(everything=True) for _ in range(2))
    with second:
        with first:
            pass
        with reader._adoption.searching(everything=False):
            pass
        reader.housekeep(2)
        assert [name for lane in adopted(reader) for name in delivered_from(lane)] == ["a"]
    finish(reader)


def test_a_forked_child_takes_its_own_only(tmp_path: Path) -> None:
    """Whoever asked for everything in the parent, and what troubled it there, is nothing to the child."""
    left_by(tmp_path, "dead", ["a"], origin=THERE)
    reader = reader_for(tmp_path, At("/store/a.db"))
    with reader._adoption.searching(everything=True):
        reader._adoption.trouble = "the parent's"
        reader.forget_everything()
        reader.housekeep(2)
        assert [name for lane in adopted(reader) for name in delivered_from(lane)] == []
        assert (elsewhere(reader), reader._adoption.trouble) == ({"/store/b.db": 1}, None)
    finish(reader)


@contextmanager
def asked_after(home: Path) -> Iterator[None]:
    """Hold the lock of a home as somebody does who asks whether anybody has it."""
    with (home / OWNER).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def test_who_asks_whether_somebody_has_a_home_keeps_nobody_from_it(tmp_path: Path) -> None:
    """Two may ask at once, and an adopter who comes at that moment tries once more."""
    home = left_by(tmp_path, "dead", ["a"], origin=THERE)
    reader = reader_for(tmp_path, At("/store/a.db"))
    with asked_after(home):
        assert elsewhere(reader) == {"/store/b.db": 1}

    class Hindered(Files):
        def lock(self, descriptor: int) -> bool:
            if os.fstat(descriptor).st_ino == (home / OWNER).stat().st_ino and not tried:
                tried.append(descriptor)
                with asked_after(home):
                    return super().lock(descriptor)
            return super().lock(descriptor)

    tried: list[int] = []
    other = reader_for(tmp_path, At("/store/b.db"), "other", files=Hindered())
    assert len(tried) == 1
    assert [name for lane in adopted(other) for name in delivered_from(lane)] == ["a"]
    assert elsewhere(reader) == {}
    finish(reader)
    finish(other)


def test_what_somebody_asks_after_all_the_time_is_not_taken_for_delivered(tmp_path: Path) -> None:
    """Its adopter says that it could not be had, and has it with the next look."""
    home = left_by(tmp_path, "dead", ["a"], origin=HERE)
    with asked_after(home):
        reader = reader_for(tmp_path, At("/store/a.db"))
        assert adopted(reader) == []
        assert f"{home.name} cannot be adopted" in str(reader._adoption.trouble)
    reader.housekeep(10**11)
    assert reader._adoption.trouble is None
    assert [name for lane in adopted(reader) for name in delivered_from(lane)] == ["a"]
    finish(reader)


def test_a_location_becomes_a_short_name() -> None:
    """Whatever is in a path can be written down, long ones differ in what they are short of, and no secret is kept."""
    assert destination_of("/a@b/traces.db") == "/a@b/traces.db"
    assert destination_of("/\udcff.db") == "/\\udcff.db"
    assert destination_of("http://user:secret@host/x") == "http://***@host/x"
    long = ["/" + "ä" * 2_000 + end for end in "ab"]
    assert len({destination_of(location) for location in long}) == 2
    assert max(len(destination_of(location).encode()) for location in long) <= 512


def recorder_at(backend: At, directory: Path, **settings: Any) -> Recorder:
    """Return a recorder that has been started, with a journal."""
    config = Config(buffer="journal", journal_dir=str(directory), flush_interval_ms=10, **settings)
    return Recorder(config, backend=backend).start()


def test_two_recorders_of_one_directory_keep_apart(tmp_path: Path) -> None:
    """Each recorder's home says which backend it is for, and whether it was masked."""
    masks: dict[str, Callable[[str], str] | None] = {"/store/a.db": None, "/store/b.db": str.upper}
    with ExitStack() as stack:
        for location, mask in masks.items():
            stack.callback(recorder_at(At(location), tmp_path, mask=mask).shutdown)
        homes = [origin_of(path, Files()) for path in tmp_path.iterdir() if is_home(path.name)]
    assert {(home.destination, home.masked) for home in homes if home} == {
        ("/store/a.db", False),
        ("/store/b.db", True),
    }


def test_recovering_looks_for_who_has_died_since_the_last_look(tmp_path: Path) -> None:
    """Only then is it complete; what is meant for another backend is named."""
    backend = At("/store/a.db")
    recorder = recorder_at(backend, tmp_path)
    try:
        assert recorder.recover(30) == Recovered(0, {}, complete=True)
        left_by(tmp_path, "dead", ["a"], origin=HERE)
        left_by(tmp_path, "other", ["b"], origin=THERE)
        assert recorder.recover(30) == Recovered(1, {}, complete=True, elsewhere={"/store/b.db": 1})
        assert names(backend.records) == ["a"]
        assert recorder.recover(30, everything=True) == Recovered(2, {}, complete=True)
        assert names(backend.records) == ["a", "b"]
    finally:
        recorder.shutdown()


def test_after_the_end_nothing_is_called_complete(tmp_path: Path) -> None:
    """A recorder that was shut down does not say of what has died since that all of it was looked for."""
    recorder = recorder_at(At("/store/a.db"), tmp_path)
    assert recorder.recover(30).complete
    recorder.shutdown()
    left_by(tmp_path, "dead", ["a"], origin=HERE)
    recovered = recorder.recover(30)
    assert (recovered.complete, recovered.delivered) == (False, 0)
    assert "was shut down" in str(recovered.why)


def _denied(denied: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Have one method of files refuse a path."""
    real: Callable[..., Any] = getattr(Files, method)

    def refuse(files: Files, path: Path) -> Any:
        if path == denied:
            raise PermissionError(13, "Permission denied", str(path))
        return real(files, path)

    monkeypatch.setattr(Files, method, refuse)


def test_what_may_not_be_looked_into_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home, or the directory itself, that this user may not read is said, and no longer once it may be."""
    home = left_by(tmp_path, "dead", ["a"], origin=HERE)
    with monkeypatch.context() as patch:
        _denied(home / "owner", patch, "open")
        recorder = recorder_at(At("/store/a.db"), tmp_path)
        try:
            denied = recorder.recover(30)
            patch.undo()
            _denied(tmp_path, patch, "names")
            unreadable = recorder.recover(30)
            patch.undo()
            assert recorder.recover(30) == Recovered(1, {}, complete=True)
        finally:
            recorder.shutdown()
    why = f"{home.name} cannot be adopted: [Errno 13] Permission denied: '{home / 'owner'}'"
    assert denied == Recovered(0, {}, complete=False, why=why)
    why = f"{tmp_path} cannot be looked into: [Errno 13] Permission denied: '{tmp_path}'"
    assert unreadable == Recovered(0, {}, complete=False, why=why)


def test_a_home_that_is_denied_is_named(tmp_path: Path) -> None:
    """Of several the first is, and how many there are; with the next look nothing is remembered of it."""
    passing = Passing(Files(), HERE)
    for name in ("1-a", "2-b", "3-c"):
        passing.note_denied(name, PermissionError(13, "Permission denied"))
    assert passing.trouble == "1-a cannot be adopted: [Errno 13] Permission denied; 2 more are like it"
    passing.begin([])
    assert passing.trouble is None
    home = left_by(tmp_path, "dead", ["a"], origin=HERE)

    class Denied(Files):
        def open(self, path: Path) -> int:
            if path.parent == home:
                raise PermissionError(13, "Permission denied")
            return super().open(path)

    reader = reader_for(tmp_path, At("/store/a.db"), files=Denied())
    assert reader._adoption.trouble == f"{home.name} cannot be adopted: [Errno 13] Permission denied"
    ended(reader)


@pytest.mark.parametrize(("masked", "stored"), [(False, "secret!"), (True, "secret")])
def test_what_was_not_masked_is_masked_by_who_recovers_it(tmp_path: Path, masked: bool, stored: str) -> None:  # noqa: FBT001 - a parameter of the test
    """A mask that is configured now is for the records of a process that had none, and not for a second time."""
    left_by(tmp_path, "dead", ["secret"], size=0, origin=Origin("project", destination="/store/a.db", masked=masked))
    backend = At("/store/a.db")
    recorder = recorder_at(backend, tmp_path, mask=lambda text: text + "!")
    outside = INHERITED.set(INHERITED.get().replace(recorder=recorder))
    try:
        with span("own"):
            pass
        recorder.recover(30)
    finally:
        INHERITED.reset(outside)
        recorder.shutdown()
    found = {record.name for record in backend.records if isinstance(record, Span)}
    assert found == {stored, "own!"}


def test_a_recorder_that_delivers_nothing_says_so_at_once(tmp_path: Path) -> None:
    """Waiting for it would be in vain: it was not started, or it is disabled."""
    for enabled in (True, False):
        config = Config(backend="memory:", enabled=enabled, buffer="journal", journal_dir=str(tmp_path))
        recorder = Recorder(config)
        if not enabled:
            recorder.start()
        recovered = recorder.recover(3_600)
        assert (recovered.complete, recovered.delivered) == (False, 0)
        assert "delivers nothing" in str(recovered.why)
        recorder.shutdown()
