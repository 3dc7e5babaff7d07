"""Files that are not ours to touch: refused with one sentence, and not a byte of them changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.sqlite.files import asked, files_beside, keep, opened, python, span, url_of
from tracecore.backend import Access
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore_sqlite.schema import migrations

KNOWN = len(migrations())

Make = Callable[[Path], object]


def _with_sql(*statements: str) -> Make:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as raw, raw:
            for statement in statements:
                raw.execute(statement)

    return make


FOREIGN: dict[str, tuple[Make, str]] = {
    "another program's tables": (_with_sql("CREATE TABLE notes (text)"), "is the database of another program"),
    "another program's view": (_with_sql("CREATE VIEW one AS SELECT 1"), "is the database of another program"),
    "another program's id": (
        _with_sql("PRAGMA application_id = 252006674", "VACUUM"),
        "is the database of another program",
    ),
    "random bytes": (lambda path: path.write_bytes(bytes(range(1, 256)) * 40), "is not an SQLite database"),
    "a text": (lambda path: path.write_text("to do: nothing\n"), "is not an SQLite database"),
    "half a header": (lambda path: path.write_bytes(b"SQLite format 3\0\x10\0"), "is not an SQLite database"),
}
OTHER_VERSIONS: dict[str, tuple[str, str]] = {
    "newer": (
        "INSERT INTO tc_migrations SELECT max(version) + 1, 'next', 'c', 0 FROM tc_migrations",
        f"has schema {KNOWN + 1} and this",
    ),
    "much newer": ("INSERT INTO tc_migrations VALUES (99, 'far', 'c', 0)", "has schema 99 and this tracecore knows"),
    "another build": ("UPDATE tc_migrations SET checksum = 'other' WHERE version = 1", "was made by another build"),
}


async def refused(path: Path, access: Access, sentence: str) -> None:
    """Assert that opening a file is refused with this sentence, twice, and that nothing beside it has changed."""
    before = files_beside(path)
    for _ in range(2):
        with pytest.raises(BackendRejected, match="; ") as caught:
            async with opened(path, access):
                pass
        assert sentence in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    # Reading a file in write-ahead mode puts an empty log and an index of it beside it: that is SQLite's way.
    after = {name: held for name, held in files_beside(path).items() if held and not name.endswith("-shm")}
    assert after == before


@pytest.mark.parametrize("access", ["write", "read"])
@pytest.mark.parametrize("kind", FOREIGN)
async def test_files_of_others(tmp_path: Path, kind: str, access: Access) -> None:
    """Another program's database, and what is no database, is refused for good and left as it was."""
    make, sentence = FOREIGN[kind]
    path = tmp_path / "a.db"
    make(path)
    await refused(path, access, sentence)


@pytest.mark.parametrize("access", ["write", "read"])
@pytest.mark.parametrize("kind", OTHER_VERSIONS)
async def test_files_of_other_versions(tmp_path: Path, kind: str, access: Access) -> None:
    """A schema that is newer, or of another build, is refused before anything is changed."""
    statement, sentence = OTHER_VERSIONS[kind]
    path = await keep(tmp_path / "a.db", span(1))
    _with_sql(statement)(path)
    await refused(path, access, sentence)
    assert asked(path, "SELECT name FROM spans") == [("s1",)]


async def test_an_older_schema_is_read_after_it_was_opened_for_writing(tmp_path: Path) -> None:
    """A reader changes nothing: an older or empty file has to wait for a writer, and says so."""
    path = tmp_path / "a.db"
    path.touch()
    for _ in range(2):
        with pytest.raises(
            BackendUnavailable,
            match="no schema of this version yet; bring it up to date with `tracecore migrate`",
        ):
            async with opened(path, "read"):
                pass
        assert path.stat().st_size == 0
    await keep(path, span(1))
    async with opened(path, "read") as backend:
        assert await backend.traces.get("default", f"{1:032x}") is not None


@pytest.mark.parametrize(
    "command",
    [["traces"], ["sessions"], ["stats"], ["tail", "--once"], ["show", "01"], ["export"], ["sql", "select 1"]],
    ids=lambda command: command[0],
)
def test_commands_refuse_in_one_line(tmp_path: Path, command: list[str]) -> None:
    """Every command says in one line which file it cannot use and what to do, and ends with exit code 1."""
    path = tmp_path / "a.db"
    FOREIGN["another program's tables"][0](path)
    before = files_beside(path)
    ended = python("-m", "tracecore", *command, "--backend", url_of(path), folder=tmp_path)
    assert ended.stderr == f"tracecore: {path} is the database of another program; name a file of its own\n"
    assert (ended.returncode, ended.stdout) == (1, "")
    assert files_beside(path) == before


@pytest.mark.parametrize("kind", ["a text", "random bytes", *OTHER_VERSIONS])
async def test_a_command_tells_the_kinds_apart(tmp_path: Path, kind: str) -> None:
    """What is wrong with the file is said in one line, with its name and a remedy, without a traceback."""
    path = tmp_path / "a.db"
    if kind in FOREIGN:
        make, sentence = FOREIGN[kind]
        make(path)
    else:
        statement, sentence = OTHER_VERSIONS[kind]
        await keep(path, span(1))
        _with_sql(statement)(path)
    ended = python("-m", "tracecore", "traces", "--backend", url_of(path), folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"tracecore: {path} {sentence}")
    assert ended.stderr.count("\n") == 1
    assert "; " in ended.stderr


def test_a_program_runs_on_beside_a_foreign_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose file is another program's works as without tracecore, is told once, and changes no byte of it."""
    path = tmp_path / "a.db"
    FOREIGN["another program's tables"][0](path)
    before = path.read_bytes()
    program = """
        import tracecore
        with tracecore.span("work"):
            print("worked")
    """
    monkeypatch.setenv("TRACECORE_BACKEND", url_of(path))
    ended = python(folder=tmp_path, program=program)
    assert (ended.returncode, ended.stdout) == (0, "worked\n")
    assert "is the database of another program" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert path.read_bytes() == before
