"""tracecore makes of every program what its users expect, in every event loop."""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

from tracecore.testing.tracer_suite import TracerSuite
from tracecore.testing.tracers.adapter import Feature
from tracecore.testing.tracers.case import Loop

LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop", "trio")


class TestTracecore(TracerSuite):
    """Everything but context variables that a generator shares with its consumer: its body has a context of its own."""

    adapter = "tracecore.testing.tracers.ours:Tracecore"
    offers: ClassVar[frozenset[Feature]] = frozenset(
        {"generators", "async generators", "bindings", "callables", "cancelled", "executor", "results"}
    )
    loops: ClassVar[tuple[Loop, ...]] = tuple(loop for loop in LOOPS if find_spec(loop) is not None)
