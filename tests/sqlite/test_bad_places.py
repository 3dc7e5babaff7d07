"""Files that cannot be used: what is said about each, what stays as it was, and what a program does meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import Struct

from tests.sqlite.files import (
    asked,
    bound_by_permissions,
    files_beside,
    keep,
    opened,
    python,
    span,
    stored_names,
    url_of,
)
from tests.torture.declaring import torture
from tracecore.backend import Access
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable
from tracecore_sqlite import connection

pytestmark = torture("T09", "places that cannot be written or opened")

TRIED = """
import asyncio, sys
from pathlib import Path
from tests.sqlite.files import opened, span, stored_names

async def use(path, access):
    async with opened(path, access) as backend:
        await backend.write([span(2)])

path, access = Path(sys.argv[1]), sys.argv[2]
try:
    if access == "write":
        asyncio.run(use(path, access))
    else:
        print(asyncio.run(stored_names(path)))
except Exception as error:
    print(type(error).__name__, error)
"""
RECORDING = """
import sys, tracecore
tracecore.configure(backend=sys.argv[1], shutdown_timeout_ms=300)
with tracecore.span("work"):
    print("worked")
tracecore.shutdown()
health = tracecore.health()
print(health.emitted, health.delivered, sum(health.lost.values()), health.pending)
"""


class Wall(Struct, frozen=True):
    """Say what is forbidden, and what each kind of access then says; None where it works."""

    file: int
    folder: int
    write: str | None
    read: str | None


CANNOT_WRITE = "BackendUnavailable {} cannot be written; allow writing to the file and its directory"
CANNOT_OPEN = "BackendUnavailable {} cannot be opened; check that its directory exists and may be used"
WALLS = {
    "a read-only file": Wall(0o444, 0o755, CANNOT_WRITE, None),
    "a read-only directory": Wall(0o644, 0o555, CANNOT_WRITE, None),
    "a read-only file in a read-only directory": Wall(0o444, 0o555, CANNOT_WRITE, None),
    "an unreadable file": Wall(0o000, 0o755, CANNOT_OPEN, CANNOT_OPEN),
    "a closed directory": Wall(0o644, 0o000, CANNOT_OPEN, CANNOT_OPEN),
}


@pytest.fixture
async def behind(tmp_path: Path) -> Callable[[Wall], Path]:
    """Return a function that puts a file with one span behind a wall; the folder is open again after the test."""
    folder = tmp_path / "walled"
    folder.mkdir()
    path = await keep(folder / "a.db", span(1))

    def build(wall: Wall) -> Path:
        path.chmod(wall.file)
        folder.chmod(wall.folder)
        return path

    return build


@pytest.fixture(autouse=True)
def _open_again(tmp_path: Path) -> object:
    """Let pytest remove the folder."""
    yield
    if (tmp_path / "walled").exists():
        (tmp_path / "walled").chmod(0o755)


def bound(tmp_path: Path, *arguments: str, program: str = "") -> str:
    """Return what a program prints that may do only what permissions allow."""
    ended = python(*arguments, folder=tmp_path, program=program, before=bound_by_permissions)
    assert ended.stderr == ""
    return ended.stdout.rstrip("\n")


@pytest.mark.parametrize("kind", WALLS)
def test_permissions(tmp_path: Path, behind: Callable[[Wall], Path], kind: str) -> None:
    """What permissions forbid is said with the file and a remedy; what they allow is done: reading needs no writing."""
    wall = WALLS[kind]
    path = behind(wall)
    for access, expected in (("write", wall.write), ("read", wall.read)):
        said = bound(tmp_path, str(path), access, program=TRIED)
        assert said.startswith((expected or "['s1']").format(path)), access
    path.parent.chmod(0o755)
    path.chmod(0o644)
    assert asked(path, "SELECT name FROM spans") == [("s1",)]


def test_the_walls_stand(tmp_path: Path, behind: Callable[[Wall], Path]) -> None:
    """The same program, which writes where it may, proves that it is the permissions that stop it."""
    path = behind(Wall(0o444, 0o555, None, None))
    probe = "import os, sys; print([os.access(path, os.W_OK) for path in sys.argv[1:]])"
    assert bound(tmp_path, "-c", probe, str(path), str(path.parent), str(tmp_path)) == "[False, False, True]"
    path.parent.chmod(0o755)
    path.chmod(0o644)
    assert bound(tmp_path, str(path), "write", program=TRIED) == ""
    assert bound(tmp_path, str(path), "read", program=TRIED) == "['s1', 's2']"


@pytest.mark.parametrize("kind", ["a read-only directory", "a read-only file in a read-only directory"])
def test_commands_read_where_nothing_can_be_written(tmp_path: Path, behind: Callable[[Wall], Path], kind: str) -> None:
    """A file on a read-only mount is read by every kind of command, and nothing appears beside it."""
    path = behind(WALLS[kind])
    before = files_beside(path)
    for command in (["traces", "--json"], ["sql", "select name from spans", "--json"], ["show", "0" * 31 + "1"]):
        assert "s1" in bound(tmp_path, "-m", "tracecore", *command, "--backend", url_of(path))
    assert files_beside(path) == before


def test_commands_say_what_is_forbidden(tmp_path: Path, behind: Callable[[Wall], Path]) -> None:
    """A file that may not be read is one line with its name and a remedy, without a traceback, and exit code 1."""
    path = behind(WALLS["an unreadable file"])
    ended = python("-m", "tracecore", "traces", "--backend", url_of(path), folder=tmp_path, before=bound_by_permissions)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"tracecore: {path} cannot be opened; check that")
    assert ended.stderr.count("\n") == 1


def test_recording_into_a_read_only_directory(tmp_path: Path, behind: Callable[[Wall], Path]) -> None:
    """A program whose file cannot be made works as without tracecore, is warned once, and its loss is counted."""
    folder = behind(WALLS["a read-only directory"]).parent
    url = url_of(folder / "new.db")
    ended = python(url, folder=tmp_path, program=RECORDING, before=bound_by_permissions)
    assert (ended.returncode, ended.stdout) == (0, "worked\n1 0 1 0\n")
    assert ended.stderr.count("tracecore cannot deliver") == 1
    assert str(folder / "new.db") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (folder / "new.db").exists()


def test_a_directory_that_becomes_read_only(tmp_path: Path, behind: Callable[[Wall], Path]) -> None:
    """A file that is taken away, where no other can be made, is missed without a traceback; then delivery goes on."""
    path = behind(Wall(0o644, 0o755, None, None))
    program = """
        import os, sys, tracecore
        path, url = sys.argv[1:]
        folder = os.path.dirname(path)
        tracecore.configure(backend=url)
        tracecore.span("before").end()
        assert tracecore.flush(20).delivered
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.chmod(folder, 0o555)
        for _ in range(3):
            tracecore.span("meanwhile").end()
            assert not tracecore.flush(0.2).delivered
        health = tracecore.health()
        print(health.pending, health.lost)
        os.chmod(folder, 0o755)
        assert tracecore.flush(20).delivered
        print(tracecore.health().delivered, tracecore.health().lost)
    """
    ended = python(str(path), url_of(path), folder=tmp_path, program=program, before=bound_by_permissions)
    assert (ended.returncode, ended.stdout) == (0, "3 {}\n4 {}\n"), ended.stderr
    assert ended.stderr.count("tracecore cannot deliver") == 1
    assert "Traceback" not in ended.stderr
    assert asked(path, "SELECT name, count(*) FROM spans GROUP BY name") == [("meanwhile", 3)]


@pytest.mark.parametrize("access", ["write", "read"])
async def test_a_directory(tmp_path: Path, access: Access) -> None:
    """A directory is no database, now and later."""
    for _ in range(2):
        with pytest.raises(BackendRejected, match=f"{tmp_path} is a directory; name a file"):
            async with opened(tmp_path, access):
                pass
    assert files_beside(tmp_path / "none") == {}


@pytest.mark.parametrize("access", ["write", "read"])
async def test_a_missing_folder(tmp_path: Path, access: Access) -> None:
    """A folder is not made, and which one is missing is said; once it is there the same backend opens."""
    path = tmp_path / "no" / "such" / "a.db"
    with pytest.raises(
        BackendUnavailable, match=f"{path} cannot be opened; make its directory: mkdir -p {path.parent}"
    ):
        async with opened(path, access):
            pass
    assert files_beside(tmp_path / "none") == {}
    assert not path.parent.parent.exists()
    path.parent.mkdir(parents=True)
    await keep(path, span(1))
    assert await stored_names(path) == ["s1"]


@pytest.mark.parametrize("arguments", [["traces"], ["sql", "select 1"], ["stats"]], ids=lambda given: given[0])
def test_commands_on_a_directory_and_a_missing_folder(tmp_path: Path, arguments: list[str]) -> None:
    """Both are one line with the path and a remedy, and exit code 1."""
    for path, sentence in ((tmp_path, "is a directory; name a file"), (tmp_path / "no" / "a.db", "does not exist; ")):
        ended = python("-m", "tracecore", *arguments, "--backend", url_of(path), folder=tmp_path)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        assert ended.stderr.startswith("tracecore: ")
        assert f"{path} {sentence}" in ended.stderr


async def test_locked_by_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another connection holds the write lock, a batch is refused for now, whole; then the same one is kept."""
    monkeypatch.setattr(connection, "_BUSY_TIMEOUT_S", 0.05)
    path = await keep(tmp_path / "a.db", span(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        async with opened(path) as backend:
            other.execute("BEGIN IMMEDIATE")
            batch = [span(2), span(3)]
            for _ in range(2):
                with pytest.raises(BackendUnavailable, match="is locked by another process; stop the other writer"):
                    await backend.write(batch)
            assert await stored_names(path) == ["s1"]
            other.execute("ROLLBACK")
            await backend.write(batch)
    assert await stored_names(path) == ["s1", "s2", "s3"]


async def test_a_new_file_that_somebody_else_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is locked when it is first opened is refused for now, and then opened."""
    monkeypatch.setattr(connection, "_BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BackendUnavailable, match="is locked by another process"):
            await keep(path, span(1))
        other.execute("ROLLBACK")
    await keep(path, span(1))
    assert await stored_names(path) == ["s1"]


async def test_damaged_pages(tmp_path: Path) -> None:
    """A damaged file is refused with a remedy, by writing and by reading, and never answers with wrong rows."""
    path = await keep(tmp_path / "a.db", *(span(number) for number in range(300)))
    held = bytearray(path.read_bytes())
    for page in range(2, len(held) // 16384):
        held[page * 16384 : page * 16384 + 64] = b"\xff" * 64
    path.write_bytes(held)
    sentence = "is damaged; move it away, or recover it with: sqlite3 FILE .recover"
    async with opened(path, "read") as backend:
        with pytest.raises(BackendError, match=sentence):
            await backend.observations.tree("default", f"{100:032x}")
    async with opened(path) as backend:
        with pytest.raises(BackendError, match=sentence):
            await backend.write([span(number) for number in range(200, 400)])
