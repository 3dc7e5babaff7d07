"""Running one case with one tracer, here and now."""

from __future__ import annotations

import asyncio
import gc
import importlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from tracecore.testing.tracers.adapter import Tracer
from tracecore.testing.tracers.case import Case, Loop
from tracecore.testing.tracers.disturbances import Disturbances
from tracecore.testing.tracers.trial import Difference, Trial

__all__ = ["Outcome", "Verdict", "run_here"]

Verdict: TypeAlias = Literal["passed", "failed", "not offered"]
_MOST_CHARACTERS: Final = 600


class Outcome(Struct, frozen=True, omit_defaults=True):
    """Say what came of a case."""

    case: str
    verdict: Verdict
    differences: list[Difference] = []
    """Why it failed."""
    remarks: list[str] = []
    """What is worth knowing and no mistake: how stopped work is called, what was said in the log."""
    seconds: float = 0.0


def run_here(case: Case, tracer: Tracer, loop: Loop = "asyncio") -> Outcome:
    """Run a case in this process and compare what came out."""
    if not case.needs <= tracer.offers:
        return Outcome(case.name, "not offered")
    begun = time.perf_counter()
    tracer.reset()
    trial, disturbances = Trial(tracer, case.expected), Disturbances()
    with disturbances.watched():
        try:
            Context().run(_run, case, trial, loop, disturbances)
        except BaseException as error:  # noqa: BLE001 - whatever a tracer makes of a program is what is looked for
            trial.differ("program", f"raised {type(error).__name__}: {_said(error)}")
        trial.release()
        gc.collect()
        remarks = _compared(trial, tracer)
    for text in disturbances.uncaught:
        trial.differ("quiet", text)
    remarks += [f"logged an error: {text}" for text in disturbances.logged]
    verdict: Verdict = "failed" if trial.differences else "passed"
    return Outcome(case.name, verdict, _cut(trial.differences), remarks, round(time.perf_counter() - begun, 3))


def _compared(trial: Trial, tracer: Tracer) -> list[str]:
    try:
        return trial.compare(tracer.finished())
    except Exception as error:  # noqa: BLE001 - as above
        trial.differ("tree", f"nothing can be read back: {type(error).__name__}: {_said(error)}")
        return []


def _run(case: Case, trial: Trial, loop: Loop, disturbances: Disturbances) -> None:
    """Run the program in a context of its own, and see that it leaves no current span behind."""
    if case.loops:

        async def main() -> None:
            if loop != "trio":
                disturbances.watch_loop()
            await _awaited(case.program(trial))
            trial.here(None)

        _LOOPS[loop](main)
    else:
        case.program(trial)
    trial.here(None)


async def _awaited(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _in_asyncio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def _in_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop = importlib.import_module("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _in_trio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    importlib.import_module("trio").run(main)


_LOOPS: Final[dict[Loop, Callable[[Callable[[], Coroutine[Any, Any, None]]], None]]] = {
    "asyncio": _in_asyncio, "uvloop": _in_uvloop, "trio": _in_trio,
}  # fmt: skip


def _said(error: BaseException) -> str:
    """Return the text of an exception, also of one that refuses to have any."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - one of the cases raises such an exception on purpose
        return "(its text cannot be made)"


def _cut(differences: list[Difference]) -> list[Difference]:
    return [Difference(one.facet, one.text[:_MOST_CHARACTERS]) for one in differences]
