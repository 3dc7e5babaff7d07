"""How many instructions one call of each rung takes, counted by callgrind (https://valgrind.org/docs/manual/cl-manual.html)."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.child import without_settings
from benchmarks.figures import ROOT
from benchmarks.instructions.counted import BARE, FEWER, HIDDEN, MORE, RUNGS, WINDOW
from benchmarks.machine import is_optimized, version_of

__all__ = ["CannotCount", "CountFailed", "Environment", "count", "this_environment"]

_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
_WITHIN_S: Final = 300
_LINES_OF_COMPLAINT: Final = 5


class CannotCount(Exception):
    """Instructions cannot be counted here; the message says why."""


class CountFailed(Exception):
    """Counting began and went wrong, which may be the fault of what is counted; the message says how."""


class Environment(Struct, frozen=True):
    """Say on what a count depends besides the code that is counted: with another interpreter it is another count."""

    python: str
    build: str
    machine: str
    msgspec: str

    def __str__(self) -> str:
        return f"{self.python} ({self.build}) on {self.machine} with msgspec {self.msgspec}"


def this_environment() -> Environment:
    """Return what counts depend on here."""
    flags = "optimized" if is_optimized() else "plain"
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        build=f"{platform.python_compiler()}, {flags}",
        machine=f"{platform.system()} {platform.machine()}",
        msgspec=version_of("msgspec"),
    )


def count(rungs: Sequence[str] = RUNGS) -> dict[str, int]:
    """Return instructions per call, by rung, less what the bare call takes (which stands beside them whole).

    Raises:
        CannotCount: there is no valgrind, or it cannot count this interpreter.
        CountFailed: the program failed, or left no counts.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("valgrind is not installed (on Debian and Ubuntu: apt-get install valgrind)")
    with tempfile.TemporaryDirectory(prefix="tracecore-instructions-") as folder:
        dumps = Path(folder) / "dump"
        said = _run(valgrind, dumps, [*BARE, *(rung for rung in rungs if rung not in BARE)])
        costs = {
            rung: [min(_cost(dumps.parent / name) for name in names) for names in files] for rung, files in said.items()
        }
    whole = {rung: (more - fewer) / (MORE - FEWER) for rung, (fewer, more) in costs.items()}
    bare, bare_sync = (whole[rung] for rung in BARE)
    base = dict.fromkeys(BARE, 0.0) | {"sync": bare_sync}
    return {rung: round(cost - base.get(rung, bare)) for rung, cost in whole.items()}


def _run(valgrind: str, dumps: Path, rungs: list[str]) -> dict[str, list[list[str]]]:
    """Return the names of the files that hold each rung's counts."""
    command = [
        # No server for debuggers: its pipes would stay where the program is killed.
        valgrind, "--tool=callgrind", "--vgdb=no", f"--callgrind-out-file={dumps}", f"--toggle-collect={WINDOW}",
        f"--dump-after={WINDOW}", sys.executable, "-m", "benchmarks.instructions.counted", str(dumps), *rungs,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, env=without_settings(os.environ), cwd=ROOT, capture_output=True, text=True, timeout=_WITHIN_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise CountFailed(f"valgrind did not end within {_WITHIN_S} s") from late
    except OSError as error:
        raise CannotCount(f"valgrind cannot be started: {error}") from error
    if done.returncode == HIDDEN:
        raise CannotCount(f"callgrind does not see {WINDOW} in {sys.executable}")
    try:
        files: dict[str, list[list[str]]] = json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        files = {}
    if not files:
        said = [line for line in done.stderr.splitlines() if not line.startswith("==")]  # those are valgrind's
        last = "\n".join(said[-_LINES_OF_COMPLAINT:])
        raise CountFailed(f"the program ended with exit code {done.returncode} under valgrind, without counts:\n{last}")
    return files


def _cost(dump: Path) -> int:
    """Return the instructions that a file of callgrind's counts.

    Raises:
        CountFailed: it counts none, as where the disk is full.
    """
    found = _TOTAL.search(dump.read_text(errors="replace"))
    if found is None or found[1] == "0":
        raise CountFailed(f"{dump} holds no counts: is there room in {dump.parent.parent}?")
    return int(found[1])
