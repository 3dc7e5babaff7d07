"""Programs in processes of their own, for what only the end of a process shows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import msgspec
from msgspec import Struct

__all__ = ["Ended", "run_program"]

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT = 40

PREAMBLE = """
import atexit, os, sys, threading, time
from pathlib import Path
import tracecore
from tests.fakes import FakeBackend, JsonLines, hanging, span_record, unavailable
from tracecore import Config, Recorder
from tracecore.channel import Reopened
OUT = Path(sys.argv[1])

def configure(make_backend=lambda: JsonLines(OUT), **settings):
    Reopened.__call__ = lambda _: make_backend()
    return tracecore.configure(**settings)

"""
"""What every program begins with: a default recorder that writes lines to a file which any process may share."""


class Ended(Struct, frozen=True):
    """Say how a program ended: its exit code, what it wrote, how long it took and what its backend stored."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    stored: list[tuple[int, str]]
    """The process and the name of every ended record, sorted."""

    @property
    def names(self) -> list[str]:
        """Return the names of the stored records, sorted."""
        return sorted(name for _, name in self.stored)

    @property
    def quiet(self) -> bool:
        """Return whether it ended well and said nothing about it."""
        return (self.code, self.stderr) == (0, "")


def run_program(program: str, folder: Path, *, python: tuple[str, ...] = ("-W", "error")) -> Ended:
    """Run a program below the preamble, and read what it stored; one that does not end by itself fails the test."""
    out = folder / "out.jsonl"
    script = folder / "program.py"
    script.write_text(PREAMBLE + dedent(program))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    began = time.perf_counter()
    said = subprocess.run(
        [sys.executable, *python, str(script), str(out)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT,
    )
    seconds = time.perf_counter() - began
    return Ended(said.returncode, said.stdout, said.stderr, seconds, _stored(out))


def _stored(out: Path) -> list[tuple[int, str]]:
    lines = out.read_bytes().splitlines() if out.exists() else []
    read = [msgspec.json.decode(line) for line in lines]
    return sorted((line["pid"], line["is"]["name"]) for line in read if line["is"].get("status") != "running")
