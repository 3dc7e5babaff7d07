"""What is known of a tracer after its cases have been run."""

from __future__ import annotations

from msgspec import Struct

from tracecore.testing.tracers.adapter import Feature
from tracecore.testing.tracers.case import Loop
from tracecore.testing.tracers.cases import CASES
from tracecore.testing.tracers.running import Outcome

__all__ = ["About", "Order", "Report"]


class Order(Struct, frozen=True):
    """Ask for a case to be run in a loop."""

    case: str
    loop: Loop = "asyncio"


class About(Struct, frozen=True):
    """Say what an adapter says of its tracer."""

    title: str
    version: str
    offers: frozenset[Feature]


class Report(Struct, frozen=True):
    """Hold a tracer's outcomes, in the order of the cases."""

    about: About
    loop: Loop
    outcomes: list[Outcome]

    def count(self, group: str) -> tuple[int, int, int]:
        """Return how many cases of a group passed, how many were run, and how many need what is not offered."""
        verdicts = [outcome.verdict for outcome in self.outcomes if CASES[outcome.case].group == group]
        absent = verdicts.count("not offered")
        return verdicts.count("passed"), len(verdicts) - absent, absent
