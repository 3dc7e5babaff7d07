"""A look at a journal's directory sees everything in it for what it is, and changes nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from tests.cli.left_behind import damage, dead, living
from tracecore.cli import journal_survey
from tracecore.cli.journal_survey import CannotLook, KeptAside, survey
from tracecore.owners import OWNER


def states(directory: Path) -> dict[str, str]:
    """Return the state of every home, by its name."""
    return {home.name: home.state for home in survey(directory).homes}


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_whose_the_homes_are(tmp_path: Path) -> None:
    """A home is in use while its process lives, and left afterwards; what is half made is nobody's to touch."""
    journal = living(tmp_path, "one")
    left = dead(tmp_path, "two", "three")
    (tmp_path / "4711-abc.new").mkdir()
    seen = survey(tmp_path)
    assert sorted(home.state for home in seen.homes) == ["half_made", "in_use", "left"]
    assert [home.name for home in seen.of("left")] == [left.name]
    journal.end()
    assert sorted(home.state for home in survey(tmp_path).homes) == ["half_made", "left", "left"]


def test_what_a_home_holds(tmp_path: Path) -> None:
    """Its size, when it was last written, and how many records were not delivered, are those of its files."""
    home = dead(tmp_path, "one", "two", "three")
    (seen,) = survey(tmp_path).homes
    assert seen.records == survey(tmp_path).waiting == 3
    files = [path.stat() for path in home.iterdir()]
    assert seen.bytes == sum(min(file.st_size, file.st_blocks * 512) for file in files)
    assert abs(seen.written_ns - time.time_ns()) < 60 * 10**9


def test_what_cannot_be_read_is_not_counted(tmp_path: Path) -> None:
    """A damaged record is none; the others are counted, as their adopter would find them."""
    damage(dead(tmp_path, "one", "two", "three"))
    assert survey(tmp_path).waiting == 2
    (tmp_path / survey(tmp_path).homes[0].name / "0").write_bytes(b"short")
    assert survey(tmp_path).waiting == 0


def test_a_look_leaves_no_trace(tmp_path: Path) -> None:
    """No byte changes, nothing is made, and what was left can be locked by an adopter afterwards."""
    home = dead(tmp_path, "one")
    (tmp_path / "damaged").mkdir()
    before = contents(tmp_path)
    survey(tmp_path)
    assert contents(tmp_path) == before
    with (home / OWNER).open("r+b") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert states(tmp_path) == {home.name: "in_use"}
    assert survey(tmp_path / "nowhere") == journal_survey.Survey(str(tmp_path / "nowhere"), exists=False)
    assert not (tmp_path / "nowhere").exists()


def test_one_that_is_being_made_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at an owner's file between its making and its lock would keep a service from its journal."""
    (tmp_path / "4711-abc.new").mkdir()
    (tmp_path / "4711-abc.new" / OWNER).write_bytes(b"")
    locked: list[object] = []
    monkeypatch.setattr("fcntl.flock", lambda *arguments: locked.append(arguments))
    assert states(tmp_path) == {"4711-abc.new": "half_made"}
    assert locked == []


def test_what_is_somebody_else_s_is_not_looked_into(tmp_path: Path) -> None:
    """Files, links and folders of other names are counted, also those that have the name of a home and are none."""
    dead(tmp_path, "one")
    elsewhere = dead(tmp_path / "elsewhere", "two")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "1-file").write_bytes(b"")
    (tmp_path / "2-link").symlink_to(elsewhere)
    (tmp_path / "3-new\nline").mkdir()
    seen = survey(tmp_path)
    assert (len(seen.homes), seen.waiting, seen.foreign) == (1, 1, 5)


def test_segments_kept_aside(tmp_path: Path) -> None:
    """Each file in ``damaged`` is named with its size, whatever bytes are in its name; it is no foreign entry."""
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "1-a-0").write_bytes(b"123")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/damaged/\xff"))).write_bytes(b"")
    assert survey(tmp_path).damaged == (KeptAside("1-a-0", 3), KeptAside("\\xff", 0))
    assert survey(tmp_path).foreign == 0


def test_nothing_is_made_of_what_is_not_a_folder_of_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the place of ``damaged`` holds no segments; a folder that may not be read is said, not passed over."""
    (tmp_path / "damaged").write_bytes(b"")
    assert survey(tmp_path).damaged == ()
    monkeypatch.setattr("os.scandir", raising(PermissionError(13, "Permission denied")))
    with pytest.raises(CannotLook, match="damaged cannot be read: Permission denied"):
        survey(tmp_path)
    (tmp_path / "damaged").unlink()
    (tmp_path / "4711-abc").mkdir()
    assert [home.why for home in survey(tmp_path).of("denied")] == ["Permission denied"]


def test_a_home_that_cannot_be_taken_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to write, or with something else in the owner's place, a home is denied, not waited for."""
    fifo, locked = dead(tmp_path, "one"), dead(tmp_path, "two")
    (fifo / OWNER).unlink()
    os.mkfifo(fifo / OWNER)
    can = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).parent != locked and can(path, mode))
    assert {home.name: home.why for home in survey(tmp_path).of("denied")} == {
        fifo.name: "not a regular file",
        locked.name: "its file 'owner' cannot be written to",
    }


def test_a_home_without_its_owner_s_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adopter takes it all the same, so it is neither denied nor in use."""
    home = dead(tmp_path, "one")
    (home / OWNER).unlink()
    assert states(tmp_path) == {home.name: "left"}
    assert survey(tmp_path).waiting == 1
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert states(tmp_path) == {home.name: "denied"}


def test_a_home_may_go_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process removes meanwhile was not there, at whatever moment it does so."""
    home, going = dead(tmp_path, "one"), dead(tmp_path, "two")
    monkeypatch.setattr("os.listdir", lambda _: [home.name, going.name, "4711-gone"])
    lock = fcntl.flock

    def remove_first(descriptor: int, operation: int) -> None:
        if going.exists() and os.fstat(descriptor).st_ino == (going / OWNER).stat().st_ino:
            shutil.rmtree(going)
            raise FileNotFoundError
        lock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", remove_first)
    assert states(tmp_path) == {home.name: "left"}


def test_counting_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many blocks not all are read: the survey says that it did not count to the end."""
    for number in range(3):
        dead(tmp_path, f"s{number}")
    assert (survey(tmp_path).waiting, survey(tmp_path).counted) == (3, True)
    monkeypatch.setattr(journal_survey, "_MOST_BLOCKS", 2)
    assert (survey(tmp_path).waiting, survey(tmp_path).counted) == (2, False)


def test_what_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, one process's home, a link to nothing and what may not be read are refused in a sentence that says so."""
    home = dead(tmp_path, "one")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, words in (
        (tmp_path / "file", "is no directory"),
        (tmp_path / "file" / "below", "is no directory"),
        (home, f"name {tmp_path}"),
        (tmp_path / "link", "is a link to nothing"),
        (Path("with\0null"), "embedded null byte"),
    ):
        with pytest.raises(CannotLook, match=words):
            survey(path)
    monkeypatch.setattr("os.listdir", raising(PermissionError(13, "Permission denied")))
    with pytest.raises(CannotLook, match="cannot be read: Permission denied; run this as the user"):
        survey(tmp_path)


def raising(error: Exception) -> object:
    """Return a function that raises."""

    def fail(*_: object) -> object:
        raise error

    return fail


def test_a_journal_behind_a_link_is_one(tmp_path: Path) -> None:
    """The directory itself may be a link, as the service may use it."""
    home = dead(tmp_path / "real", "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert states(tmp_path / "link") == {home.name: "left"}
    assert stat.S_ISLNK((tmp_path / "link").lstat().st_mode)
