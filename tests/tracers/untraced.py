"""No tracer at all: what the programs of the cases do when nobody watches. Every check of a program must hold here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

import msgspec

from tracecore.testing.tracers.adapter import Feature, Finished
from tracecore.testing.tracers.case import Loop
from tracecore.testing.tracers.cases import CASES
from tracecore.testing.tracers.running import run_here

__all__ = ["Untraced"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Untraced:
    """Do nothing in every place of a tracer."""

    title = "no tracer"
    version = ""
    offers: frozenset[Feature] = frozenset(
        {"generators", "async generators", "bindings", "callables", "cancelled", "executor", "results", "variables"}
    )

    def observed(self, function: Function, /) -> Function:
        """Return the function itself."""
        return function

    def span(self, name: str, /) -> AbstractContextManager[object]:
        """Return a block with nothing around it."""
        return nullcontext()

    def current(self) -> str | None:
        """Return None: nothing is current."""
        return None

    def executor(self, workers: int, /) -> Executor:
        """Return a plain pool."""
        return ThreadPoolExecutor(workers)

    def finished(self) -> Sequence[Finished]:
        """Return nothing."""
        return ()

    def reset(self) -> None:
        """Do nothing."""


if __name__ == "__main__":
    # In a process of its own: what a loop's library keeps for the process ends with it.
    loop = cast("Loop", sys.argv[1])
    outcomes = [run_here(case, Untraced(), loop) for case in CASES.values() if case.runs_in(loop)]
    sys.stdout.write(msgspec.json.encode(outcomes).decode())
