"""The program that runs under callgrind: each rung of the call ladder, a few calls and then more of them.

``python -m benchmarks.instructions.counted DUMPS RUNG…`` prints one JSON object: for each rung the files, among those
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.ladder import Ladder, Rung
from benchmarks.loops import awaited

__all__ = ["BARE", "FEWER", "HIDDEN", "MORE", "RUNGS", "WINDOW"]

WINDOW: Final = "PyRun_StringFlags"
HIDDEN: Final = 77
"""The exit code where callgrind has seen no window, as when the interpreter was linked without that name."""
FEWER: Final = 200
MORE: Final = 700
_TIMES: Final = 3
_DELIVERED: Final = "nested"
"""A rung whose spans are delivered."""
_WARM_UP: Final = 300
"""Calls before the first that is counted: the interpreter specializes code in its first runs."""
BARE: Final = ("bare", "bare_sync")
"""Calls that nothing observes: a coroutine function's and a function's."""
JOURNAL: Final = "journal"
"""The call whose span is in the journal when it returns."""
RUNGS: Final = (
    *BARE, "wrapper", "off", "off_here", "sampled_out", "sampled_out_nested", "uncaptured", "nested",
    "containers", "keywords", "root", "sync", "generator", "async_generator", "with", "generation", JOURNAL,
)  # fmt: skip


def main(dumps: Path, rungs: Sequence[str]) -> None:
    """Run the rungs and print where their counts are."""
    ladder = Ladder(calls=MORE)
    ladder.working.shutdown()  # its pump wakes every ms; the others sleep until they are asked
    with asyncio.Runner() as runner:
        found = _all_counted(runner, ladder, [name for name in rungs if name != JOURNAL], dumps)
        if JOURNAL in rungs:  # only now: one recorder more moves everybody's memory, and some counts by a hundredth
            ladder.keep_in(dumps.parent / "journal")
            found |= _all_counted(runner, ladder, [JOURNAL], dumps)
    print(json.dumps(found), flush=True)
    os._exit(0)  # what comes after is not counted, and callgrind makes it slow


def _all_counted(
    runner: asyncio.Runner, ladder: Ladder, rungs: Sequence[str], dumps: Path
) -> dict[str, list[list[str]]]:
    """Return the files of each rung."""
    # Also what pumps and loops import when they begin: while something is imported, others may use the window. Only who
    # waits for a span to be delivered knows that a pump has begun.
    for name in {_DELIVERED: None} | dict.fromkeys(rungs):
        runner.run(awaited(ladder.rungs[name].loop(_WARM_UP)))
        ladder.rungs[name].settle()
    for recorder in ladder.recorders:
        recorder.flush()
    gc.disable()
    gc.freeze()
    return {name: _counted(runner, ladder.rungs[name], dumps) for name in rungs}


def _counted(runner: asyncio.Runner, rung: Rung, dumps: Path) -> list[list[str]]:
    """Return the files of a rung: those of fewer calls, and those of more."""
    files: list[list[str]] = [[], []]
    for _ in range(_TIMES):
        for calls, names in zip((FEWER, MORE), files, strict=True):
            window: dict[str, Any] = {"run": runner.run, "loop": awaited(rung.loop(calls))}
            before = _dumps(dumps)
            exec("run(loop)", window)  # noqa: S102 - the text is the window in which callgrind counts
            written = _dumps(dumps) - before
            if not written:
                sys.exit(HIDDEN)
            [name] = written
            names.append(name)
            rung.settle()
    return files


def _dumps(dumps: Path) -> set[str]:
    """Return the names of the files that callgrind has written."""
    return {path.name for path in dumps.parent.glob(f"{dumps.name}.*")}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
