"""The torture runner itself: it counts what ran and what failed, keeps the files of failures, and repeats them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from tests.torture.outcome import Outcome

TESTS = """
    import pytest
    from tests.torture.declaring import by_mode, only_in_full, torture

    @torture("T2", "some cases fail", rounds=3, full=10)
    def test_some(trial):
        for case in trial.cases():
            with case:
                (case.folder / "drawn").write_text(str(case.chance.random()))
                assert case.number not in (4, 8)

    @torture("T6", "measures")
    def test_measures(trial):
        trial.figures.append("1.5 x")
        for case in trial.cases():
            with case:
                pass

    @torture("T1", "both pass")
    @pytest.mark.parametrize("value", by_mode([1], full=[1, 2]))
    def test_both(value):
        assert value

    @torture("T3", "takes long", rounds=7)
    @only_in_full
    def test_long():
        pass

    @torture("T4", "cannot run here")
    def test_skipped():
        pytest.skip("nothing here")

    @torture("T5", "is known")
    @pytest.mark.xfail(reason="known", strict=True)
    def test_known():
        raise AssertionError

    def test_plain():
        pass
"""


def run(folder: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests above below our conftest, in a process of its own."""
    (folder / "conftest.py").write_text((root / "tests" / "conftest.py").read_text())
    (folder / "test_one.py").write_text(dedent(TESTS))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(root / "pyproject.toml")]
    command += ["--rootdir", str(folder), *options, str(folder / "test_one.py")]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=50)


def rows_of(said: str) -> list[str]:
    """Return the rows of the table without their times."""
    return [re.sub(r" \| [\d.]+ s \|$", "", row) for row in said.splitlines() if row.startswith("| ")]


def test_elsewhere_few_rounds_run_and_no_table_is_printed(tmp_path: Path, project_root: Path) -> None:
    """Where all tests run, torture tests do too, with few rounds and without those that take long."""
    ended = run(tmp_path, project_root)
    assert ended.returncode == 0, ended.stdout
    assert "4 passed, 1 skipped, 1 deselected, 1 xfailed" in ended.stdout
    assert rows_of(ended.stdout) == []


def test_all_rounds_and_a_table(tmp_path: Path, project_root: Path) -> None:
    """With all rounds the table says how many ran and how many failed, in the order of the numbers; failing ends so."""
    ended = run(tmp_path, project_root, "--torture", "--torture-seed", "5", "--torture-json", str(tmp_path / "t.json"))
    assert ended.returncode == 1
    assert rows_of(ended.stdout)[2:] == [
        "| T1 | both pass | 2 | 0",
        "| T2 | some cases fail | 10 | 2",
        "| T3 | takes long | 7 | 0",
        "| T4 | cannot run here; **not run: nothing here** | 0 | 0",
        "| T5 | is known | 0 | 0 (and 1 known)",
        "| T6 | measures; 1.5 x | 1 | 0",
        "|  | all | 20 | 2 (and 1 known)",
    ]
    assert "torture, seed 5" in ended.stdout
    found = msgspec.json.decode((tmp_path / "t.json").read_bytes())
    assert (found["seed"], found["full"], found["violations"]) == (5, True, 2)
    assert [(line["number"], line["rounds"]) for line in found["lines"]][:2] == [("T1", 2), ("T2", 10)]


def test_a_failing_case_is_kept_and_repeated(tmp_path: Path, project_root: Path) -> None:
    """The files of a failed case are kept with what went wrong, and the same case alone draws the same again."""
    place = tmp_path / ".torture" / "test_one.py-test_some-5-4"
    said: list[str] = []
    for options in ([], ["--torture-case", "4"]):
        ended = run(tmp_path, project_root, "--torture", "--torture-seed", "5", *options)
        assert "case 4, kept in" in ended.stdout
        assert "assert 4 not in (4, 8)" in (place / "what-failed.txt").read_text()
        said.append((place / "case-4" / "drawn").read_text())
    assert said[0] == said[1]
    assert not (tmp_path / ".torture" / "test_one.py-test_some-5-3").exists()


def test_a_plain_failure_is_kept_too(tmp_path: Path, project_root: Path) -> None:
    """A torture test without cases that fails says how to run it again and keeps its folder, where it has one."""
    test = """
        from tests.torture.declaring import torture

        @torture("T1", "fails")
        def test_fails(tmp_path):
            (tmp_path / "evidence").write_text("here")
            raise AssertionError("as it must")
    """
    (tmp_path / "test_two.py").write_text(dedent(test))
    ended = run(tmp_path, project_root, "--torture-seed", "9", str(tmp_path / "test_two.py"))
    assert ended.returncode == 1
    assert "--torture-seed 9" in ended.stdout
    kept = tmp_path / ".torture" / "test_two.py-test_fails-9"
    assert (kept / "evidence").read_text() == "here"
    assert "as it must" in (kept / "what-failed.txt").read_text()


def test_undeclared_rounds_are_refused(tmp_path: Path, project_root: Path) -> None:
    """A test that asks for rounds without saying how many is an error that says what to do."""
    (tmp_path / "test_two.py").write_text("def test_asks(trial):\n    pass\n")
    ended = run(tmp_path, project_root, str(tmp_path / "test_two.py"))
    assert ended.returncode == 1
    assert "declare it with @torture" in ended.stdout


@pytest.mark.parametrize("violations", [0, 1])
def test_the_table_adds_up(violations: int) -> None:
    """The last row is the sum of the others."""
    outcome = Outcome()
    for number in ("T10", "T02"):
        line = outcome.line(number, "title")
        line.rounds, line.violations, line.seconds = 1_000, violations, 1.25
    assert [row.split("|")[1].strip() for row in outcome.table()][2:] == ["T02", "T10", ""]
    assert [*outcome.table()][-1] == f"|  | all | 2,000 | {2 * violations} | 2.5 s |"
    assert outcome.violations == 2 * violations
