"""One suite in a process of its own: nothing that another suite loaded, started or left in memory is there.

``python -m benchmarks.child SUITE`` reads the settings as JSON from standard input and answers on standard output, one
JSON object a line: progress while it works, at the end the table. The parent's side is :func:`run_in_child`, which also
takes away the temporary files: a child may be interrupted while it does so itself, or killed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.catalogue import load
from benchmarks.ending import interruptible, scratch
from benchmarks.figures import RIVALS_FOLDER, ROOT, STARTED_IN, Refused, Settings, Table
from benchmarks.machine import peak_memory

__all__ = ["SuiteFailed", "run_in_child", "without_settings"]

_SETTINGS: Final = ("TRACECORE_", "OTEL_", "PYTHON")
"""How variables begin that change what is measured: also the interpreter's own, such as its debugging allocator, or the
optimization that takes every ``assert`` out."""
_HARMLESS: Final = (RIVALS_FOLDER, "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
"""Where things are."""
_MB: Final = 1 << 20
_END_S: Final = 20.0


class Said(Struct, omit_defaults=True):
    """One line of a child: how far it is, its table, or why it could not begin."""

    what: str = ""
    share: float = 0.0
    table: Table | None = None
    refused: str = ""


class SuiteFailed(Exception):
    """A suite ended without a table; the message says what it said last."""


def run_in_child(name: str, settings: Settings, show: Callable[[str, float], None]) -> Table:
    """Run a suite in a fresh interpreter and return its table; ``show`` is told how far it is.

    Raises:
        SuiteFailed: it ended without a table.
    """
    command = [sys.executable, "-m", "benchmarks.child", name]
    table, refused = None, ""
    with (
        scratch() as folder,
        tempfile.TemporaryFile() as complaints,  # a pipe that nobody reads meanwhile would stop a talkative child
        subprocess.Popen(
            command, env=_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
            cwd=ROOT,
        ) as child,
    ):  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(msgspec.json.encode(settings))
        child.stdin.close()
        try:
            for line in child.stdout:
                said = msgspec.json.decode(line, type=Said)
                show(said.what, said.share)
                table, refused = said.table or table, said.refused or refused
            child.wait()
        except BaseException:
            _end(child)
            raise
        complaints.seek(0)
        complaint = complaints.read().decode(errors="replace").strip()
    if refused:
        raise SuiteFailed(f"{name}: {refused}")
    if table is None or child.returncode:
        raise SuiteFailed(f"{name} failed with exit code {child.returncode}:\n{complaint}")
    return table


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that measures: it finds what this one finds, and has nobody's settings."""
    kept = {key: value for key, value in environment.items() if key in _HARMLESS or not key.startswith(_SETTINGS)}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "0"}


def _environment(folder: str) -> dict[str, str]:
    return without_settings(os.environ) | {STARTED_IN: str(Path.cwd()), "TMPDIR": folder}


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let a child take away what it has made, and kill it where that takes too long."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_END_S)
    child.kill()


def main(name: str) -> None:
    """Run a suite and say what came out."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)

    def say(said: Said) -> None:
        out.write(msgspec.json.encode(said) + b"\n")

    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)
    began = time.perf_counter()
    try:
        table = load(name)(settings, lambda what, share: say(Said(what=what, share=share)))
    except Refused as why:
        say(Said(refused=str(why)))
        return
    seconds, peak = round(time.perf_counter() - began, 1), round(peak_memory() / _MB, 1)
    say(Said(what="done", share=1.0, table=replace(table, seconds=seconds, peak_mb=peak)))


if __name__ == "__main__":
    with interruptible():
        main(sys.argv[1])
