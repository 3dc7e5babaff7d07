"""The gate counts instructions: it passes what has not grown, and finds one allocation more on the hot path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from benchmarks.cli import main
from benchmarks.figures import ROOT
from benchmarks.instructions import counting, gate
from benchmarks.instructions.counted import HIDDEN, RUNGS
from benchmarks.instructions.counting import CannotCount, CountFailed, Environment, this_environment
from benchmarks.instructions.gate import BASELINE, Baseline, Change, changes

NO_VALGRIND = "valgrind is not installed (apt-get install valgrind): instructions cannot be counted here"
needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason=NO_VALGRIND)
ENDED = "            span.ended = monotonic_ns()\n"
PLANTED = (ENDED, f'{ENDED}            _ = {{"span": span}}\n')
"""One dict a span, thrown away at once: 80 ns in 2.7 µs, which no clock on a shared machine can show."""


def kept_in(folder: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment | None = None) -> Path:
    """Keep counts of two rungs in a folder and make the gate use them."""
    path = folder / "instructions.json"
    path.write_bytes(
        msgspec.json.encode(Baseline(environment or this_environment(), {"bare": 1_000, "nested": 20_000}))
    )
    monkeypatch.setattr(gate, "BASELINE", path)
    return path


def counting_as(monkeypatch: pytest.MonkeyPatch, **counts: int) -> None:
    """Make the gate count this."""
    monkeypatch.setattr(gate, "count", lambda rungs: counts)


@pytest.mark.parametrize(
    ("kept", "now", "verdict"),
    [
        (20_000, 20_200, "same"), (20_000, 20_201, "more"), (20_000, 19_800, "same"), (20_000, 19_799, "less"),
        (600, 660, "same"), (600, 661, "more"), (None, 5, "new"),
    ],
)  # fmt: skip
def test_a_count_grows_beyond_one_percent_and_sixty_instructions(kept: int | None, now: int, verdict: str) -> None:
    """The verdict is of the larger of both bounds, on either side."""
    assert Change("nested", kept, now).verdict == verdict


def test_every_rung_stands_beside_its_kept_count() -> None:
    """What was not kept is new; what is not counted now is not judged."""
    kept = Baseline(this_environment(), {"nested": 1, "gone": 2})
    assert changes(kept, {"nested": 3, "added": 4}) == [Change("nested", 1, 3), Change("added", None, 4)]
    assert changes(None, {"nested": 3}) == [Change("nested", None, 3)]


def test_growth_is_an_error_that_names_the_rungs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One rung that has grown fails the command; less and same do not, and less is to be kept."""
    kept_in(tmp_path, monkeypatch)
    counting_as(monkeypatch, bare=1_000, nested=20_500)
    assert main(["gate"]) == 1
    said = capsys.readouterr()
    assert "+2.50%  more" in said.out
    assert "more instructions per call than before: nested." in said.err
    counting_as(monkeypatch, bare=900, nested=20_000)
    assert main(["gate", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == "fewer than before: bare. Keep the new counts with --update\n"
    rungs = {rung["rung"]: rung["verdict"] for rung in json.loads(said.out)["rungs"]}
    assert rungs == {"bare": "less", "nested": "same"}


def test_what_seems_to_have_grown_is_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, and nothing else is; the least counts, because other work only adds."""
    kept_in(tmp_path, monkeypatch)
    asked: list[list[str]] = []
    found = iter([{"bare": 1_000, "nested": 20_900}, {"nested": 21_000}, {"nested": 20_100}])

    def count(rungs: Sequence[str]) -> dict[str, int]:
        asked.append(list(rungs))
        return next(found)

    monkeypatch.setattr(gate, "count", count)
    assert main(["gate", "bare", "nested"]) == 0
    assert asked == [["bare", "nested"], ["nested"], ["nested"]]


def test_new_counts_are_kept_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--update`` writes the file, with the environment; a plain run never does."""
    path = kept_in(tmp_path, monkeypatch)
    counting_as(monkeypatch, bare=1_000, nested=30_000)
    before = path.read_bytes()
    assert main(["gate"]) == 1
    assert path.read_bytes() == before
    assert main(["gate", "--update"]) == 0
    assert msgspec.json.decode(path.read_bytes(), type=Baseline).counts["nested"] == 30_000
    assert main(["gate"]) == 0


def test_counts_of_another_interpreter_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere the gate says that it compared nothing, and of what the kept counts are."""
    kept_in(tmp_path, monkeypatch, Environment("CPython 2.7", "cc, plain", "VMS vax", "0.1"))
    counting_as(monkeypatch, nested=1_000_000)
    assert main(["gate"]) == 0
    assert "skipped, nothing was compared: the kept counts are of CPython 2.7" in capsys.readouterr().err


def test_without_valgrind_the_gate_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing tool is no failure, and no silent pass: the way to get it is named."""
    kept_in(tmp_path, monkeypatch)
    monkeypatch.setattr(counting.shutil, "which", lambda _: None)
    assert main(["gate", "--json"]) == 0
    said = capsys.readouterr()
    assert "apt-get install valgrind" in said.err
    assert "valgrind is not installed" in json.loads(said.out)["skipped"]


@pytest.fixture
def valgrind_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what puts a program of these shell commands in the place of valgrind."""

    def put(commands: str) -> None:
        program = tmp_path / "valgrind"
        program.write_text(f"#!/bin/sh\n{commands}\n")
        program.chmod(0o755)
        monkeypatch.setattr(counting.shutil, "which", lambda _: str(program))

    return put


def test_an_interpreter_that_hides_the_window_is_skipped(
    valgrind_that: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where callgrind cannot see what to count, nothing is compared, and that is said."""
    kept_in(tmp_path, monkeypatch)
    valgrind_that(f"exit {HIDDEN}")
    with pytest.raises(CannotCount, match="does not see"):
        counting.count(["nested"])
    assert main(["gate"]) == 0


@pytest.mark.parametrize("commands", ["echo broken >&2; exit 3", "echo no JSON", "true", "echo '{}'"])
def test_a_program_that_fails_is_no_pass(
    commands: str, valgrind_that: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What is counted may be what is broken: a crash fails the gate, and no new counts are suggested."""
    kept_in(tmp_path, monkeypatch)
    valgrind_that(commands)
    assert main(["gate"]) == 2
    said = capsys.readouterr().err
    assert "nothing was counted: the program ended with exit code" in said
    assert "--update" not in said


def test_a_file_without_a_count_is_not_taken_for_none(tmp_path: Path) -> None:
    """A disk that was full leaves such files."""
    dump = tmp_path / "dump.1"
    for text in ("", "events: Ir\nsummary: 0\n"):
        dump.write_text(text)
        with pytest.raises(CountFailed, match="is there room"):
            counting._cost(dump)


def test_a_rung_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends before anything is counted."""
    assert main(["gate", "nonsense"]) == 2
    assert "no rung is called 'nonsense'" in capsys.readouterr().err


def test_counts_of_named_rungs_are_kept_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rung that is new, or has been paid for, is kept by itself: what was counted along with it is not."""
    path = kept_in(tmp_path, monkeypatch)
    counting_as(monkeypatch, bare=1_050, journal=38_000)
    assert main(["gate", "journal", "--update"]) == 0
    kept = msgspec.json.decode(path.read_bytes(), type=Baseline).counts
    assert kept == {"bare": 1_000, "nested": 20_000, "journal": 38_000}


def test_counts_of_two_interpreters_are_not_kept_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the others' counts hold for another interpreter, all of them have to be counted anew."""
    path = kept_in(tmp_path, monkeypatch, Environment("CPython 2.7", "cc, plain", "VMS vax", "0.1"))
    before = path.read_bytes()
    counting_as(monkeypatch, bare=1_000, nested=20_000)
    assert main(["gate", "nested", "--update"]) == 2
    assert "leave out the rungs" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(["gate", "--update"]) == 0


def test_damaged_counts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is no counts ends with one sentence that says how to make it anew."""
    kept_in(tmp_path, monkeypatch).write_text("[]")
    assert main(["gate"]) == 2
    assert "count anew with --update" in capsys.readouterr().err


@needs_valgrind
@pytest.mark.timeout(300)
def test_nothing_has_grown(capsys: pytest.CaptureFixture[str]) -> None:
    """Every rung takes the instructions that were kept for it, or fewer."""
    kept = msgspec.json.decode(BASELINE.read_bytes(), type=Baseline)
    if kept.environment != this_environment():
        pytest.skip(f"the kept counts are of {kept.environment}; this is {this_environment()}")
    assert set(kept.counts) == set(RUNGS)
    code = gate.guard()
    assert code == 0, capsys.readouterr()


@needs_valgrind
@pytest.mark.timeout(300)
def test_one_allocation_more_on_the_hot_path_is_caught(tmp_path: Path) -> None:
    """A copy of this tree whose wrappers make one dict more per span fails against this tree's own counts."""
    for folder in ("tracecore", "backends", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "local")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    path = os.pathsep.join([str(tmp_path), str(tmp_path / "backends")])
    kept = tmp_path / "benchmarks" / "results" / "instructions.json"
    counts = counting.count(["uncaptured"])
    kept.write_bytes(msgspec.json.encode(Baseline(this_environment(), counts)))
    hot = tmp_path / "tracecore" / "observe_calls.py"
    text = hot.read_text()
    assert text.count(PLANTED[0]) == 2
    hot.write_text(text.replace(*PLANTED))
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "gate", "uncaptured"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert run.returncode == 1, run
    assert "more instructions per call than before: uncaptured." in run.stderr
