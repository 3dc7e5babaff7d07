"""What migrations leave behind: one schema, whichever way a file came to it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.sqlite.files import ROOT, asked, is_whole, keep, span, stored_names, tables_of
from tracecore_sql.statements import Migration
from tracecore_sqlite.schema import APPLICATION_ID, migrate, migrations, split

FOLDER = ROOT / "backends" / "tracecore_sqlite" / "migrations"
NEXT = (
    Migration(len(migrations()) + 1, "next", "ALTER TABLE tc_scores ADD COLUMN told TEXT; -- a; b\n", "c1"),
    Migration(
        len(migrations()) + 2, "after_next", "CREATE INDEX tc_told ON tc_scores (told);\nDROP VIEW scores;\n", "c2"
    ),
)
"""What a later version may bring."""
INSERT_OLD = """
INSERT INTO tc_observations (project, trace_id, span_id, type, name, start_ns, duration_ns, status)
VALUES ('default', printf('%032x', 7), printf('%016x', 7), 'span', 's7', 7000, 500, 'ok')
"""


def apply(path: Path, known: Sequence[Migration]) -> None:
    """Bring a file to the newest of some migrations."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        migrate(raw, str(path), known)


def test_two_fresh_files_are_the_same(tmp_path: Path) -> None:
    """The schema does not depend on the moment or the place."""
    for name in ("a.db", "b.db"):
        apply(tmp_path / name, migrations())
    assert tables_of(tmp_path / "a.db") == tables_of(tmp_path / "b.db")
    assert {"table tc_observations", "view spans", "table tc_migrations"} <= tables_of(tmp_path / "a.db").keys()


@pytest.mark.parametrize("first", range(1, len(migrations()) + 2))
def test_step_by_step_equals_at_once(tmp_path: Path, first: int) -> None:
    """A file of any older version, with data in it, is brought to the schema that a fresh file has."""
    every = [*migrations(), *NEXT]
    apply(tmp_path / "fresh.db", every)
    old = tmp_path / "old.db"
    apply(old, every[:first])
    with closing(sqlite3.connect(old)) as raw, raw:
        raw.execute(INSERT_OLD)
    for last in range(first + 1, len(every) + 1):
        apply(old, every[:last])
    assert tables_of(old) == tables_of(tmp_path / "fresh.db")
    assert asked(old, "SELECT name FROM spans") == [("s7",)]
    assert is_whole(old)
    history = "SELECT version, name, checksum FROM tc_migrations ORDER BY version"
    assert asked(old, history) == asked(tmp_path / "fresh.db", history)
    assert asked(old, history) == [(step.version, step.name, step.checksum) for step in every]


async def test_an_older_file_is_opened_with_what_is_in_it(tmp_path: Path) -> None:
    """A program opens a file of the first version: the old rows are read, and new ones are written beside them."""
    path = tmp_path / "old.db"
    apply(path, migrations()[:1])
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(INSERT_OLD)
    await keep(path, span(8))
    assert await stored_names(path) == ["s7", "s8"]
    apply(tmp_path / "fresh.db", migrations())
    assert tables_of(path) == tables_of(tmp_path / "fresh.db")


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """A file that is up to date is opened without a write."""
    path = await keep(tmp_path / "a.db", span(1))
    before = path.read_bytes()
    for _ in range(2):
        apply(path, migrations())
    assert path.read_bytes() == before


async def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    """A file has our application id, large pages and a write-ahead log, whoever made it empty before."""
    (tmp_path / "empty.db").touch()
    for name in ("empty.db", "new.db"):
        path = await keep(tmp_path / name, span(1))
        pragmas = [asked(path, f"PRAGMA {name}")[0][0] for name in ("application_id", "page_size", "journal_mode")]
        assert pragmas == [APPLICATION_ID, 16384, "wal"]
        assert is_whole(path)


def test_migrations_are_numbered_without_a_gap() -> None:
    """Every file of the folder is a migration: 1, 2, 3 …, with the checksum of its very bytes."""
    files = sorted(FOLDER.iterdir())
    assert [path.name for path in files] == [f"{step.version:04d}_{step.name}.sql" for step in migrations()]
    assert [step.version for step in migrations()] == list(range(1, len(files) + 1))
    for step, path in zip(migrations(), files, strict=True):
        assert step.checksum == hashlib.sha256(path.read_bytes()).hexdigest()


def test_scripts_are_cut_where_statements_end() -> None:
    """A semicolon in a text, a comment or a trigger ends no statement, and nothing of a script is left out."""
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n    SELECT 1;\n    SELECT ';';\nEND;\n"
    script = f"-- first; of all\nSELECT 'a;\nb';\n{trigger}SELECT 2\n-- the end;\n"
    found = list(split(script))
    assert "".join(found) == script
    assert len(found) == 3
    assert found[1] == trigger
    assert list(split("-- nothing;\n\n")) == []
    for step in migrations():
        assert all(sqlite3.complete_statement(statement) for statement in split(step.sql))
