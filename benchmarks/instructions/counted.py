"""The program that runs under callgrind: each rung of the call ladder, a few calls and then more of them.

``python -m benchmarks.instructions.counted DUMPS`` prints one JSON object: for each rung the files, among those
that callgrind writes beside ``DUMPS``, with the costs of :data:`FEWER` and :data:`MORE` calls, some of each. What is
not a call (the event loop, the timer) costs both times the same and goes out in their difference. What happens now and
then (a page of memory that the allocator asks for, a thread that wants the interpreter) only ever adds: the least of
each is the count.

callgrind counts while :data:`WINDOW` runs, and writes a file whenever it returns. That is the function of CPython by
which ``exec`` runs a text; nothing else here calls it while calls are counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final

from benchmarks.ladder import Ladder, Rung

__all__ = ["BASE", "FEWER", "MORE", "RUNGS", "WINDOW"]

WINDOW: Final = "PyRun_StringFlags"
FEWER: Final = 200
MORE: Final = 700
_TIMES: Final = 3
_WARM_UP: Final = 300
"""Calls before the first that is counted: the interpreter specializes code in its first runs."""
BASE: Final = "bare"
RUNGS: Final = (
    BASE, "bare_sync", "wrapper", "off", "off_here", "sampled_out", "sampled_out_nested", "uncaptured", "nested",
    "containers", "keywords", "root", "sync", "generator", "async_generator", "with", "generation",
)  # fmt: skip


def main(dumps: Path) -> None:
    """Run all rungs and print where their counts are."""
    ladder = Ladder(calls=MORE)
    ladder.working.shutdown()  # its pump wakes every ms; the others sleep until they are asked
    gc.disable()
    gc.freeze()
    with asyncio.Runner() as runner:
        found = {name: _counted(runner, ladder.rungs[name], dumps) for name in RUNGS}
    print(json.dumps(found), flush=True)
    os._exit(0)  # what comes after is not counted, and callgrind makes it slow


def _counted(runner: asyncio.Runner, rung: Rung, dumps: Path) -> list[list[str]]:
    """Return the files of a rung: those of fewer calls, and those of more."""
    runner.run(_awaiting(rung.loop(_WARM_UP)))
    rung.settle()
    files: list[list[str]] = [[], []]
    for _ in range(_TIMES):
        for calls, names in zip((FEWER, MORE), files, strict=True):
            window: dict[str, Any] = {"run": runner.run, "loop": _awaiting(rung.loop(calls))}
            exec("run(loop)", window)  # noqa: S102 - the text is the window in which callgrind counts
            names.append(max(dumps.parent.glob(f"{dumps.name}.*"), key=_number_of).name)
            rung.settle()
    return files


def _number_of(dump: Path) -> int:
    return int(dump.suffix[1:])


async def _awaiting(figure: Awaitable[float]) -> float:
    return await figure


if __name__ == "__main__":
    main(Path(sys.argv[1]))
