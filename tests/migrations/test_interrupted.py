"""A start that is stopped at any statement leaves a file that the next start brings to the newest schema."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.migrations.test_schema import INSERT_OLD, apply
from tests.sqlite.files import ROOT, asked, is_whole, keep, python, span, stored_names, tables_of
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore_sqlite.schema import migrate, migrations

MOST_STATEMENTS = 500
LONGEST_START = 0.08
"""Seconds: somewhat more than opening takes."""

KILLED_AT_EVERY_STATEMENT = """
import os, signal, sqlite3, sys
from pathlib import Path
from tests.migrations.test_interrupted import Interrupted, make_old
from tests.migrations.test_schema import apply
from tests.sqlite.files import asked, is_whole, tables_of
from tracecore_sqlite.schema import migrate, migrations

folder, kind = Path(sys.argv[1]), sys.argv[2]
apply(folder / "fresh.db", migrations())
for nth in range(1, 500):
    path = folder / f"{kind}-{nth}.db"
    if kind == "old":
        make_old(path)
    original = tables_of(path)
    child = os.fork()
    if child == 0:
        connection = sqlite3.connect(path, isolation_level=None)
        raw = Interrupted(connection, nth, lambda: os.kill(os.getpid(), signal.SIGKILL))
        migrate(raw, str(path), migrations())
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    before = tables_of(path)
    apply(path, migrations())
    assert tables_of(path) == tables_of(folder / "fresh.db"), nth
    assert is_whole(path), nth
    assert asked(path, "SELECT name FROM spans") == ([("s7",)] if kind == "old" else []), nth
    if ended == 0:
        break
    assert os.WTERMSIG(ended) == signal.SIGKILL
    assert before in (original, tables_of(folder / "fresh.db")), nth
print(nth)
"""

OPENED_AT_ONCE = """
import asyncio, sys
from pathlib import Path
from tests.sqlite.files import keep, span
path, number = Path(sys.argv[1]), int(sys.argv[2])
import tracecore_sqlite.backend
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(keep(path, span(number)))
"""


class Interrupted:
    """Run statements through a connection, and do something else instead of the ``nth``."""

    def __init__(self, raw: sqlite3.Connection, nth: int, instead: Any) -> None:
        self._raw = raw
        self._left = nth
        self._instead = instead

    @property
    def in_transaction(self) -> bool:
        """Return what the connection says."""
        return self._raw.in_transaction

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Run a statement, unless it is the one; rolling back is never interrupted."""
        if arguments[0] != "ROLLBACK":
            self._left -= 1
            if self._left == 0:
                self._instead()
        return self._raw.execute(*arguments)


class PowerCut(Exception):
    """End a migration at a statement."""


def cut() -> None:
    """Raise what no driver raises."""
    raise PowerCut


def make_old(path: Path) -> None:
    """Make a file of the first version with a row in it."""
    apply(path, migrations()[:1])
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(INSERT_OLD)


@pytest.mark.parametrize("kind", ["new", "old"])
def test_raised_at_every_statement(tmp_path: Path, kind: str) -> None:
    """An error at any statement leaves the old schema as it was, and the same connection brings it to the newest."""
    apply(tmp_path / "fresh.db", migrations())
    for nth in range(1, MOST_STATEMENTS):
        path = tmp_path / f"{nth}.db"
        if kind == "old":
            make_old(path)
        before = tables_of(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            try:
                migrate(Interrupted(raw, nth, cut), str(path), migrations())  # type: ignore[arg-type]  # a stand-in
            except PowerCut:
                assert not raw.in_transaction
                assert tables_of(path) in (before, tables_of(tmp_path / "fresh.db")), nth
            else:
                break
            migrate(raw, str(path), migrations())
        assert tables_of(path) == tables_of(tmp_path / "fresh.db"), nth
        assert asked(path, "SELECT name FROM spans") == ([("s7",)] if kind == "old" else [])
    assert nth > sum(step.sql.count("CREATE ") for step in migrations()[kind == "old" :])


@torture("T49", "killed at every statement of a migration")
@pytest.mark.parametrize("kind", ["new", "old"])
def test_killed_at_every_statement(trial: Trial, kind: str) -> None:
    """A process that is killed at any statement of a migration leaves no half of it, and no state to be cleared."""
    for case in trial.cases():
        with case:
            (case.folder / "files").mkdir()
            ended = python(str(case.folder / "files"), kind, folder=case.folder, program=KILLED_AT_EVERY_STATEMENT)
            assert ended.stderr == ""
            assert int(ended.stdout) > sum(step.sql.count("CREATE ") for step in migrations()[kind == "old" :])


@torture("T49", "several starts at once, of which one may be killed", rounds=6, full=200)
async def test_several_processes_open_a_new_file_at_once(trial: Trial) -> None:
    """Each start that nobody kills writes, and every migration is applied once, also where one dies on the way."""
    for case in trial.cases():
        with case:
            path = case.folder / "a.db"
            is_old, dies = case.number % 2 == 1, case.number % 3 > 0
            if is_old:
                make_old(path)
            ended = at_once(path, killed_after_s=case.chance.uniform(0, LONGEST_START) if dies else None)
            assert set(ended[1:]) == {0}
            assert ended[0] in ({0, -signal.SIGKILL} if dies else {0})
            written = [f"s{number}" for number, code in enumerate(ended) if code == 0]
            found = await stored_names(path)
            assert set(written) <= set(found) <= {"s0", "s1", "s2", "s7"}
            assert ("s7" in found) == is_old
            assert asked(path, "SELECT version FROM tc_migrations") == [(step.version,) for step in migrations()]
            assert is_whole(path)


def at_once(path: Path, *, killed_after_s: float | None) -> list[int]:
    """Let three processes open a file at the same time, of which the first may be killed; return how each ended."""
    script = path.parent / "program.py"
    script.write_text(OPENED_AT_ONCE)
    starts = [_start(script, path, number) for number in range(3)]
    for start in starts:
        assert start.stdout is not None
        assert start.stdout.readline() == "ready\n"
    for start in starts:  # all of them before any is waited for
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    if killed_after_s is not None:
        time.sleep(killed_after_s)
        starts[0].kill()
    said = [start.communicate(timeout=40) for start in starts]
    assert said == [("", "")] * len(starts)
    return [start.returncode for start in starts]


def _start(script: Path, path: Path, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), str(path), str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"},
    )


@pytest.mark.parametrize("kind", ["new", "old"])
async def test_opening_waits_for_another_migration(tmp_path: Path, kind: str) -> None:
    """A start while another process holds the write lock waits for it instead of failing, of a new file too."""
    path = tmp_path / "a.db"
    if kind == "old":
        make_old(path)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ("COMMIT",))
        release.start()
        await keep(path, span(8))
        release.join()
    assert await stored_names(path) == [*(["s7"] if kind == "old" else []), "s8"]


def test_opening_waits_for_a_limited_time(tmp_path: Path) -> None:
    """A new file that stays locked is told of, after as long as a connection waits for any lock."""
    path = tmp_path / "a.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0.05)) as raw,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            migrate(raw, str(path), migrations())
        other.execute("COMMIT")
        migrate(raw, str(path), migrations())
    assert is_whole(path)
