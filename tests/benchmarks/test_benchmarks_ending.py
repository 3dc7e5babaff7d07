"""Commands end in order, with a sentence and nothing left behind, whatever is done to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import cli
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.cli import main
from benchmarks.ending import interruptible, scratch
from benchmarks.figures import ROOT, Settings, Table

MAIN = (sys.executable, "-m", "benchmarks")


def command(folder: Path) -> dict[str, str]:
    """Return the environment of a command whose temporary files are in a folder of its own."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(folder)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("tell", [os.kill, os.killpg])
def test_a_run_that_is_told_to_end_leaves_nothing(
    tell: Callable[[int, int], None], number: signal.Signals, tmp_path: Path
) -> None:
    """As a terminal, `timeout` or a supervisor does it; processes and temporary files are gone when it is."""
    with subprocess.Popen(
        [*MAIN, "run", "throughput", "--rounds", "1000"], env=command(tmp_path), cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        while run.poll() is None and not list(tmp_path.glob("*/tracecore-benchmark-*/traces.db")):
            time.sleep(0.01)
        tell(run.pid, number)
        _, said = run.communicate(timeout=60)
    words = [line for line in said.splitlines() if not line.startswith("warning: load before was ")]
    assert (run.returncode, words) == (128 + number, ["interrupted"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


def test_an_interruption_while_files_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is gone all the same, and the interruption goes on."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    remove, calls = shutil.rmtree, list[str]()

    def interrupted_once(folder: str, *, ignore_errors: bool) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted_once)
    with pytest.raises(KeyboardInterrupt), scratch() as folder:
        Path(folder, "file").touch()
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("times", [1, 2])
def test_an_interruption_while_a_loop_wakes_a_task(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until the task has been woken: one that never is does not end when it is cancelled either."""
    wake, struck = asyncio.Handle.__dict__["_run"], list[asyncio.Handle]()

    def interrupted(handle: asyncio.Handle) -> None:
        if len(struck) < times:
            struck.append(handle)
            signal.raise_signal(signal.SIGINT)
        wake(handle)

    with contextlib.closing(asyncio.new_event_loop()) as loop:  # a Runner would wait for a task that never ends
        task = loop.create_task(asyncio.sleep(3600))
        monkeypatch.setattr(asyncio.Handle, "_run", interrupted)
        with interruptible(), pytest.raises(KeyboardInterrupt, match=f"^{signal.SIGINT.value}$"):
            loop.run_until_complete(task)
        task.cancel()
        loop.run_until_complete(asyncio.wait([task], timeout=5))
        assert task.cancelled()


def test_what_a_killed_suite_leaves_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary files are in a folder of its parent's, which that one removes however it ended."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    others = below(os.getpid())

    def kill(_what: str, _share: float) -> None:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("*/tracecore-benchmark-*/traces.db")) and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in set(below(os.getpid())).difference(others):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(SuiteFailed, match="exit code -9"):
        run_in_child("throughput", Settings(rounds=1000), kill)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that everybody may enter: as root a database server runs as somebody else."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("suite", "sign"),
    [("postgres", "*/tracecore-benchmark-*/data/postmaster.pid"), ("http", "*/tracecore-benchmark-*/traces.db")],
)
def test_a_run_that_is_told_to_end_takes_its_servers_with_it(suite: str, sign: str, open_folder: Path) -> None:
    """Servers have sessions of their own, so that an interruption does not meet them, and end all the same."""
    with subprocess.Popen(
        [*MAIN, "run", suite, "--rounds", "1000"], env=command(open_folder), cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        found: list[Path] = []
        while run.poll() is None and not (found := list(open_folder.glob(sign))):
            time.sleep(0.01)
        descendants = below(run.pid)
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=60)
    words = [line for line in said.splitlines() if not line.startswith("warning: load before was ")]
    assert found
    assert (run.returncode, words) == (130, ["interrupted"])
    assert list(open_folder.iterdir()) == []
    assert len(descendants) > 1
    assert [pid for pid in descendants if Path(f"/proc/{pid}").exists()] == []


def below(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return children + [grandchild for child in children for grandchild in below(child)]


def test_a_reader_that_left_is_no_error_to_talk_about(tmp_path: Path) -> None:
    """As with any program in a pipeline the exit code says it, and nothing else does."""
    read, written = os.pipe()
    os.close(read)
    with os.fdopen(written, "wb") as closed:
        done = subprocess.run(
            [*MAIN, "list"], env=command(tmp_path), cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    """What is said there is for nobody, and the exit code says the rest."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *MAIN, "list"],
        env=command(tmp_path), cwd=ROOT, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the suites that were run, none of which measures anything."""
    names: list[str] = []

    def run(name: str, _settings: Settings, _show: object) -> Table:
        names.append(name)
        return Table(suite=name, title="", method="", rows=[])

    monkeypatch.setattr(cli, "run_in_child", run)
    return names


@pytest.mark.parametrize(
    ("option", "place"), [("--save", "."), ("--save", "file/x.json"), ("--plot", "file"), ("--plot", "file/charts")]
)
def test_what_cannot_be_written_is_refused_before_anything_runs(
    option: str, place: str, measured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run takes minutes, and so it is said at once."""
    (tmp_path / "file").touch()
    assert main(["run", "ring", option, str(tmp_path / place)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {option}")
    assert measured == []


def test_what_could_not_be_saved_is_printed_all_the_same(
    measured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that became full meanwhile costs the file, and not the figures."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "write_results", full)
    assert main(["run", "ring", "--json", "--save", str(tmp_path / "x.json")]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["tables"][0]["suite"] == "ring"
    assert captured.err == "error: cannot save: [Errno 28] No space left on device\n"
    assert measured == ["ring"]
