"""One suite in a process of its own: nothing that another suite loaded, started or left in memory is there.

``python -m benchmarks.child SUITE`` reads the settings as JSON from standard input and answers on standard output, one
JSON object a line: progress while it works, at the end the table. The parent's side is :func:`run_in_child`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.catalogue import load
from benchmarks.figures import Settings, Table

__all__ = ["SuiteFailed", "run_in_child"]

_OTHERS_SETTINGS = ("TRACECORE_", "OTEL_")


class Said(Struct, omit_defaults=True):
    """One line of a child: how far it is, or its table."""

    what: str = ""
    share: float = 0.0
    table: Table | None = None


class SuiteFailed(Exception):  # noqa: N818 - named for what happened, as every error here
    """A suite ended without a table; the message says what it said last."""


def run_in_child(name: str, settings: Settings, show: Callable[[str, float], None]) -> Table:
    """Run a suite in a fresh interpreter and return its table; ``show`` is told how far it is.

    Raises:
        SuiteFailed: it ended without a table.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS_SETTINGS)}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    environment["PYTHONHASHSEED"] = "0"
    command = [sys.executable, "-m", "benchmarks.child", name]
    table: Table | None = None
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(msgspec.json.encode(settings))
        child.stdin.close()
        for line in child.stdout:
            said = msgspec.json.decode(line, type=Said)
            show(said.what, said.share)
            table = said.table or table
        complaint = child.stderr.read().decode(errors="replace").strip()
    if table is None or child.returncode:
        raise SuiteFailed(f"{name} failed with exit code {child.returncode}:\n{complaint}")
    return table


def main(name: str) -> None:
    """Run a suite and say what came out."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)

    def say(said: Said) -> None:
        out.write(msgspec.json.encode(said) + b"\n")

    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)
    began = time.perf_counter()
    table = load(name)(settings, lambda what, share: say(Said(what=what, share=share)))
    say(Said(what="done", share=1.0, table=replace(table, seconds=round(time.perf_counter() - began, 1))))


if __name__ == "__main__":
    main(sys.argv[1])
