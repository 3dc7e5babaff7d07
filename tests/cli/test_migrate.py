"""Migrating: how far a schema is behind, bringing it up to date, and what a newer one is answered."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.recorded import Cli, Store
from tests.migrations.test_schema import INSERT_OLD, apply
from tests.sqlite.files import ROOT, asked, files_beside, is_whole, python, tables_of
from tracecore.records import Record
from tracecore_sqlite.schema import migrations

NEWEST = len(migrations())
NAMES = [f"{step.version:04d}_{step.name}" for step in migrations()]

KILLED_AT_EVERY_STATEMENT = """
import os, signal, sqlite3, sys
from pathlib import Path
from tests.cli.test_migrate import old_file
from tests.migrations.test_schema import apply
from tests.sqlite.files import asked, is_whole, tables_of
from tracecore.cli.main import main
from tracecore_sqlite import backend
from tracecore_sqlite.schema import migrate, migrations
from tests.migrations.test_interrupted import Interrupted

folder, first = Path(sys.argv[1]), int(sys.argv[2])
apply(folder / "fresh.db", migrations())
fresh = tables_of(folder / "fresh.db")

def killed(nth):
    def migrate_and_die(raw, path, known):
        migrate(Interrupted(raw, nth, lambda: os.kill(os.getpid(), signal.SIGKILL)), path, known)
    return migrate_and_die

for nth in range(1, 500):
    path = folder / f"{nth}.db"
    if first:
        old_file(path, first)
    original = tables_of(path)
    child = os.fork()
    if child == 0:
        backend.migrate = killed(nth)
        sys.stdout = open(os.devnull, "w")
        os._exit(main(["migrate", "--backend", f"sqlite:///{path}"]))
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    assert tables_of(path) in (original, fresh), nth
    sys.stdout = open(os.devnull, "w")
    behind = main(["migrate", "--status", "--backend", f"sqlite:///{path}"])
    version = asked(path, "SELECT max(version) FROM tc_migrations")[0][0] if tables_of(path) else 0
    assert version in (first, len(migrations())), nth
    assert behind == (version < len(migrations())), nth
    assert main(["migrate", "--backend", f"sqlite:///{path}"]) == 0, nth
    assert main(["migrate", "--status", "--backend", f"sqlite:///{path}"]) == 0, nth
    sys.stdout = sys.__stdout__
    assert tables_of(path) == fresh, nth
    assert is_whole(path), nth
    assert asked(path, "SELECT name FROM spans") == ([("s7",)] if first else []), nth
    if status == 0:
        break
print(nth)
"""


def old_file(path: Path, version: int) -> None:
    """Make a file of an older version with a row in it."""
    apply(path, migrations()[:version])
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(INSERT_OLD)


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_an_older_file_is_brought_up_to_date(cli: Cli, tmp_path: Path, version: int) -> None:
    """Status and dry run say what would be done, in its order, and change nothing; then it is done, and done once."""
    path = tmp_path / "old.db"
    old_file(path, version)
    arguments = ("migrate", "--backend", "sqlite:///old.db")
    before = path.read_bytes()
    status = cli(*arguments, "--status")
    pending = ", ".join(NAMES[version:])
    said = f"{path}: schema {version} of {NEWEST}; {NEWEST - version} migration{'s' * (NEWEST - version > 1)} to run"
    assert (status.code, status.out) == (1, f"{said}: {pending}\n")
    dry = cli(*arguments, "--dry-run")
    assert (dry.code, dry.out.splitlines()) == (0, [f"{path}: {name}" for name in NAMES[version:]])
    assert path.read_bytes() == before
    done = cli(*arguments)
    assert (done.code, done.out) == (0, f"{path}: brought from schema {version} to {NEWEST}: {pending}\n")
    assert asked(path, "SELECT name FROM spans") == [("s7",)]
    assert is_whole(path)
    for again in (cli(*arguments), cli(*arguments, "--status"), cli(*arguments, "--dry-run")):
        assert (again.code, again.out) == (0, f"{path}: schema {NEWEST}, up to date\n")


def test_a_file_that_is_not_there_yet(cli: Cli, tmp_path: Path) -> None:
    """Looking makes no file; migrating makes one with the newest schema."""
    arguments = ("migrate", "--backend", "sqlite:///new.db")
    status = cli(*arguments, "--status")
    assert status.code == 1
    assert "no schema yet" in status.out
    assert cli(*arguments, "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []
    assert cli(*arguments).code == 0
    apply(tmp_path / "fresh.db", migrations())
    assert tables_of(tmp_path / "new.db") == tables_of(tmp_path / "fresh.db")


def test_each_of_several_backends(cli: Cli, tmp_path: Path) -> None:
    """Every backend that is configured is looked at, also one without a schema; a program gets it as JSON."""
    old_file(tmp_path / "old.db", 2)
    arguments = ("migrate", "--json", "--backend", "memory:+sqlite:///old.db")
    nothing = {"location": "memory:", "version": None, "newest": None, "pending": [], "applied": []}
    old = {"location": str(tmp_path / "old.db"), "version": 2, "newest": NEWEST}
    status = cli(*arguments, "--status")
    assert (status.code, status.json) == (1, {"schemas": [nothing, {**old, "pending": NAMES[2:], "applied": []}]})
    done = cli(*arguments)
    assert (done.code, done.json) == (0, {"schemas": [nothing, {**old, "pending": [], "applied": NAMES[2:]}]})
    assert "memory:: has no schema that could be behind" in cli("migrate", "--backend", "memory:").out


NEWER = [
    ["migrate"],
    ["migrate", "--status"],
    ["migrate", "--dry-run"],
    ["copy", "URL", "memory:"],
    ["copy", "memory:", "URL"],
    ["doctor"],
    ["doctor", "--write"],
]


@pytest.mark.parametrize("command", NEWER, ids=" ".join)
def test_a_newer_schema_is_refused_and_stays(
    cli: Cli, tmp_path: Path, stored: Store, sample: list[Record], command: list[str]
) -> None:
    """A program that is older than the schema says so in one sentence, with exit code 1, and changes no byte."""
    path = tmp_path / "newer.db"
    url = stored(sample, f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("INSERT INTO tc_migrations SELECT max(version) + 1, 'next', 'c', 0 FROM tc_migrations")
    before = files_beside(path)
    arguments = [url if part == "URL" else part for part in command]
    result = cli(*arguments, *(() if "copy" in command else ("--backend", url)))
    said = f"{path} has schema {NEWEST + 1} and this tracecore knows {NEWEST}"
    assert result.code == 1
    assert said in (result.out if "doctor" in command else result.err)
    assert "Traceback" not in result.out + result.err
    if "doctor" not in command:
        assert result.err.count("\n") == 1
    # Reading a file in write-ahead mode puts an empty log and an index of it beside it: that is SQLite's way.
    after = {name: held for name, held in files_beside(path).items() if held and not name.endswith("-shm")}
    assert after == {name: held for name, held in before.items() if held and not name.endswith("-shm")}


def test_somebody_elses_file_stays(cli: Cli, tmp_path: Path) -> None:
    """The database of another program is refused, and not looked into any further."""
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE notes (text)")
    before = files_beside(path)
    for form in ([], ["--status"], ["--dry-run"]):
        result = cli("migrate", *form, "--backend", "sqlite:///notes.db")
        assert (result.code, result.out) == (1, "")
        assert result.err == f"tracecore: {path} is the database of another program; name a file of its own\n"
    assert files_beside(path) == before


def test_options_that_exclude_each_other(cli: Cli) -> None:
    """Only one question is answered at a time."""
    assert cli("migrate", "--status", "--dry-run", "--backend", "memory:").code == 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", [0, 1, NEWEST - 1])
def test_killed_at_every_statement(tmp_path: Path, first: int) -> None:
    """The command that is killed at any statement leaves what was there; the next one does all of it."""
    (tmp_path / "files").mkdir()
    ended = python(str(tmp_path / "files"), str(first), folder=tmp_path, program=KILLED_AT_EVERY_STATEMENT)
    assert ended.stderr == ""
    assert int(ended.stdout) > sum(step.sql.count("CREATE ") for step in migrations()[first:])


@pytest.mark.parametrize("round_", range(3))
def test_two_at_once(tmp_path: Path, round_: int) -> None:
    """Of two commands at once one does the work, the other finds it done or was the other's witness; both end well."""
    path = tmp_path / "a.db"
    if round_:
        old_file(path, round_)
    command = [sys.executable, "-m", "tracecore", "migrate", "--json", "--backend", f"sqlite:///{path}"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [(*one.communicate(timeout=40), one.returncode) for one in started]
    assert [(error, code) for _, error, code in ended] == [("", 0), ("", 0)]
    apply(tmp_path / "fresh.db", migrations())
    assert tables_of(path) == tables_of(tmp_path / "fresh.db")
    assert asked(path, "SELECT version FROM tc_migrations") == [(step.version,) for step in migrations()]
    assert asked(path, "SELECT name FROM spans") == ([("s7",)] if round_ else [])
