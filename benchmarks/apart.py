"""One piece of a suite in a process of its own: one whose memory is looked at, or that is killed.

``python -m benchmarks.apart MODULE:FUNCTION [killed]`` reads what is ordered as JSON from standard input, calls the
function with it, and writes what that returns as JSON to standard output; both are Structs, known by the function's
annotations. Temporary files of that process are in a folder that its parent takes away, however it ends.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec import Struct

from benchmarks.figures import ROOT

__all__ = ["apart"]

Order = TypeVar("Order", bound=Struct)
Answer = TypeVar("Answer", bound=Struct)
_WITHIN_S: Final = 900.0
_KILLED: Final = "killed"
_LINES_OF_COMPLAINT: Final = 40


def apart(work: Callable[[Order], Answer], order: Order, *, killed: bool = False) -> Answer:
    """Return what a function of a module says to an order, in a fresh interpreter.

    With ``killed`` that one kills itself with SIGKILL right after its answer: nothing of it is ended in order.

    Raises:
        RuntimeError: it ended otherwise; the message holds what it said last.
    """
    command = [sys.executable, "-m", "benchmarks.apart", f"{work.__module__}:{work.__qualname__}"]
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
        done = subprocess.run(
            [*command, *([_KILLED] if killed else [])], input=msgspec.json.encode(order), capture_output=True, cwd=ROOT,
            env=os.environ | {"TMPDIR": folder}, timeout=_WITHIN_S, check=False,
        )  # fmt: skip
    if done.returncode != (-signal.SIGKILL if killed else 0):
        last = "\n".join(done.stderr.decode(errors="replace").splitlines()[-_LINES_OF_COMPLAINT:])
        raise RuntimeError(f"{command[-1]} ended with exit code {done.returncode}:\n{last}")
    answer: Answer = msgspec.json.decode(done.stdout, type=_types(work)["return"])
    return answer


def _types(work: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of the order, which stands first, and of the answer."""
    return get_type_hints(work)


def main(name: str, *, killed: bool) -> None:
    """Call the function and say what it returns."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    module, _, function = name.partition(":")
    work: Callable[[Any], Struct] = getattr(importlib.import_module(module), function)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=next(iter(_types(work).values())))
    out.write(msgspec.json.encode(work(order)))
    if killed:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], killed=_KILLED in sys.argv[2:])
