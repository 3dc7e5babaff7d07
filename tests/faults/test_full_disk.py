"""A full disk: the program notices nothing, what cannot be kept is counted, and delivery goes on when there is space.

The disk is a file size limit of the process, which every system has, and a small file system where one may be
mounted for one process alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest
from msgspec import Struct

from tests.sqlite.files import ROOT, asked, is_whole
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial

DISK_LOSSES = {"ring_full", "unavailable", "disk_full", "closing"}
RESUMED_WITHIN = by_mode(10.0, full=6.0)
"""Seconds; the pump waits at most five between two attempts."""
MOST_PROGRAMS = 5
"""How many may be cut off in the middle of their last attempt to deliver, and so not know what was the matter."""

PREAMBLE = """
import json, os, resource, shutil, sys, time
from pathlib import Path
import tracecore

way, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
ballast = folder / "ballast"

def fill():
    if way == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        return
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass

def free():
    if way == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        ballast.unlink()

def emit(count):
    for _ in range(count):
        with tracecore.span("work", input="x" * 500):
            pass

def told():
    health = tracecore.health()
    return {name: getattr(health, name) for name in ("emitted", "delivered", "pending", "lost", "last_error")}

def end(**said):
    result = tracecore.shutdown()
    said["end"] = told()
    free_anyway()
    for path in folder.glob("a.db*"):
        shutil.copy(path, out / path.name)
    print(json.dumps(said))

def free_anyway():
    try:
        free()
    except FileNotFoundError:
        pass

tracecore.configure(
    backend=f"sqlite:///{folder / 'a.db'}", batch_items=64, buffer_items=2_000, flush_interval_ms=20,
    shutdown_timeout_ms=1_500,
)
"""
FOR_A_WHILE = """
emit(100)
assert tracecore.flush(20).delivered
fill()
emit(1_000)
assert not tracecore.flush(0.5).delivered
full = told()
emit(4_000)
overflowing = told()
free()
began = time.monotonic()
while tracecore.health().pending and time.monotonic() - began < 30:
    tracecore.flush(1)
seconds = time.monotonic() - began
emit(10)
assert tracecore.flush(20).delivered
end(full=full, overflowing=overflowing, seconds=seconds)
"""
AT_THE_START = """
fill()
emit(50)
assert not tracecore.flush(0.3).delivered
full = told()
free()
assert tracecore.flush(20).pending == 0
end(full=full)
"""
UNTIL_THE_END = """
emit(100)
assert tracecore.flush(20).delivered
fill()
emit(500)
assert not tracecore.flush(0.3).delivered
end()
"""


@cache
def can_mount() -> bool:
    """Return whether this process may mount something that no other one sees."""
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/tmp"]  # noqa: S108 - hidden from all others
    return (
        shutil.which("unshare") is not None and subprocess.run(tried, check=False, capture_output=True).returncode == 0
    )


WAYS = ["limit", "mount"] if can_mount() else ["limit"]


class Ended(Struct, frozen=True):
    """Say what a program told of itself, what it wrote, and the file that it left."""

    told: dict[str, dict[str, object]]
    stderr: str
    path: Path


def on_a_small_disk(tmp_path: Path, way: str, program: str, buffer: str = "memory") -> Ended:
    """Run a program whose file is on a disk that it can fill; a journal is on another."""
    disk, out, script = tmp_path / "disk", tmp_path / "out", tmp_path / "program.py"
    disk.mkdir()
    out.mkdir()
    script.write_text(PREAMBLE + dedent(program))
    command = [sys.executable, "-W", "error", str(script), way, str(disk), str(out)]
    if way == "mount":
        mounted = 'mount -t tmpfs -o size=24m none "$0" && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mounted, str(disk), *command]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}", "TRACECORE_BUFFER": buffer},
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return Ended(json.loads(ended.stdout), ended.stderr, out / "a.db")


def accounts(ended: Ended) -> dict[str, int]:
    """Assert that everything emitted is stored or counted as lost, to the unit; return what was lost."""
    end = ended.told["end"]
    lost: dict[str, int] = end["lost"]  # type: ignore[assignment]  # read from JSON
    assert end["pending"] == 0
    assert end["emitted"] == end["delivered"] + sum(lost.values())  # type: ignore[operator]  # read from JSON
    assert asked(ended.path, "SELECT count(*) FROM spans") == [(end["delivered"],)]
    assert is_whole(ended.path)
    assert lost.keys() <= DISK_LOSSES
    return lost


each_way = pytest.mark.parametrize("way", WAYS)


@torture("T08", "the disk is full for a while, under load", full=10)
@each_way
def test_full_for_a_while(trial: Trial, way: str) -> None:
    """While the disk is full the buffer fills and what it cannot hold is counted; with space, the rest is delivered."""
    for case in trial.cases():
        with case:
            ended = on_a_small_disk(case.folder, way, FOR_A_WHILE)
            full, overflowing = ended.told["full"], ended.told["overflowing"]
            assert full["lost"] == {}
            assert 0 < full["pending"] <= 1_000  # type: ignore[operator]  # read from JSON
            assert ("DiskFull" if way == "mount" else "BackendUnavailable") in str(full["last_error"])
            assert overflowing["lost"].keys() == {"ring_full"}  # type: ignore[attr-defined]  # read from JSON
            assert ended.told["seconds"] < RESUMED_WITHIN  # type: ignore[operator]  # read from JSON
            lost = accounts(ended)
            assert lost == overflowing["lost"]
            assert ended.told["end"]["emitted"] == 5_110
            assert ended.told["end"]["delivered"] >= 2_000  # type: ignore[operator]  # read from JSON
            assert ended.stderr.count("tracecore cannot deliver") == 1
            assert ("has no space left" if way == "mount" else "failed to read or write") in ended.stderr


@torture("T08", "the disk of the store is full for a while, and the journal is on another", full=10)
def test_full_beside_a_journal(trial: Trial) -> None:
    """What the store has no space for waits in the journal, more than memory may hold, and nothing is lost."""
    if "mount" not in WAYS:
        pytest.skip("this process may not mount a small disk")
    for case in trial.cases():
        with case:
            ended = on_a_small_disk(case.folder, "mount", FOR_A_WHILE, "journal")
            assert ended.told["full"]["pending"] == 1_000
            assert ended.told["overflowing"]["pending"] == 5_000
            assert ended.told["seconds"] < RESUMED_WITHIN  # type: ignore[operator]  # read from JSON
            assert accounts(ended) == {}
            assert ended.told["end"]["delivered"] == 5_110


@torture("T08", "the disk is full at the start", full=10)
@each_way
def test_full_at_the_start(trial: Trial, way: str) -> None:
    """A file that cannot be made for lack of space is made when there is some, and nothing is lost."""
    for case in trial.cases():
        with case:
            ended = on_a_small_disk(case.folder, way, AT_THE_START)
            assert ended.told["full"]["pending"] == 50
            assert accounts(ended) == {}
            assert ended.told["end"]["delivered"] == 50


@torture("T08", "the disk is full until the end", full=10)
@each_way
def test_full_until_the_end(trial: Trial, way: str) -> None:
    """What could not be kept when the program ends is counted, and what was delivered before is whole."""
    # A limit of the process looks to SQLite like a disk that fails.
    reason = "disk_full" if way == "mount" else "unavailable"
    for case in trial.cases():
        with case:
            lost: dict[str, int] = {}
            for number in range(MOST_PROGRAMS):
                folder = case.folder / f"{number}"
                folder.mkdir()
                lost = lost_until_the_end(folder, way)
                assert lost.keys() <= {reason, "closing"}
                if reason in lost:
                    break
            assert lost.get(reason, 0) > 0


def lost_until_the_end(folder: Path, way: str) -> dict[str, int]:
    """Let a program end while its disk is full; return what it lost, by reason."""
    ended = on_a_small_disk(folder, way, UNTIL_THE_END)
    lost = accounts(ended)
    assert sum(lost.values()) > 0
    assert ended.told["end"]["delivered"] >= 100  # type: ignore[operator]  # read from JSON
    assert ended.stderr.count("tracecore cannot deliver") == 1
    assert f"tracecore has lost {sum(lost.values())} records" in ended.stderr
    return lost
