"""What tracecore wants to cost, and whether a run says that it does.

``remark`` is shown where a goal is missed: what remains, and why.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from benchmarks.figures import Results
from benchmarks.tables import figure

__all__ = ["GOALS", "Goal", "Verdict", "verdicts"]


class Goal(Struct, frozen=True, kw_only=True):
    """Name a figure of a run and its bound. ``column`` takes one of its ratios instead of its value."""

    what: str
    key: str
    bound: float
    unit: str
    least: bool = False
    """The bound is the least that will do, not the most."""
    column: str | None = None
    minimum: bool = False
    """Compare the minimum over the rounds, not the median."""
    remark: str = ""


class Verdict(Struct, frozen=True):
    """Say how a goal fares in a run."""

    goal: Goal
    value: float | None
    outcome: Literal["met", "missed", "not measured"]

    @property
    def cells(self) -> list[str]:
        """Return the cells of a table: what, goal, measured, outcome, why."""
        goal = self.goal
        sign = "≥" if goal.least else "≤"
        measured = "–" if self.value is None else f"{figure(self.value)} {goal.unit}".strip()
        bound = f"{sign} {figure(goal.bound)} {goal.unit}".strip()
        return [goal.what, bound, measured, self.outcome, goal.remark if self.outcome == "missed" else ""]


GOALS: Final = (
    Goal(what="nested async span, arguments and result captured", key="call.nested", bound=1_500, unit="ns"),
    Goal(
        what="the same, OpenTelemetry SDK ÷ tracecore", key="call.nested", bound=12, unit="x", least=True,
        column="OpenTelemetry ÷ this",
    ),
    Goal(what="tracing disabled", key="call.off", bound=150, unit="ns"),
    Goal(what="sampled out", key="call.sampled_out", bound=400, unit="ns"),
    Goal(what="sampled out, below a root that was", key="call.sampled_out_nested", bound=400, unit="ns"),
    Goal(what="request mix into SQLite, CPU of all threads per span", key="store.cpu", bound=20, unit="µs"),
    Goal(what="request mix into SQLite, one process", key="store.rate", bound=40_000, unit="spans/s", least=True),
    Goal(
        what="storing a backlog beside a CPU-bound host, part of the idle rate", key="store.backlog.rate", bound=0.6,
        unit="x", least=True, column="this ÷ idle",
    ),
    Goal(what="the host's speed meanwhile", key="store.backlog.host", bound=80, unit="%", least=True),
    Goal(
        what="producer and store beside a CPU-bound host, part of the idle rate", key="store.live.rate", bound=0.6,
        unit="x", least=True, column="this ÷ idle",
    ),
    Goal(what="the host's speed meanwhile", key="store.live.host", bound=80, unit="%", least=True),
    Goal(what="`import tracecore` over bare Python", key="import.tracecore", bound=60, unit="ms", minimum=True),
    Goal(what="distributions that come with it", key="import.distributions", bound=5, unit=""),
    Goal(what="size of an installation", key="import.size", bound=3, unit="MB"),
    Goal(what="on disk per span of 1 KB, every index included", key="store.disk_1k", bound=1_638, unit="bytes"),
)  # fmt: skip


def verdicts(results: Results) -> list[Verdict]:
    """Return how each goal fares in a run."""
    return [_verdict(goal, results) for goal in GOALS]


def _verdict(goal: Goal, results: Results) -> Verdict:
    row = results.row(goal.key)
    if row is None:
        return Verdict(goal, None, "not measured")
    value = row.ratios.get(goal.column) if goal.column else row.minimum if goal.minimum else row.value
    if value is None:
        return Verdict(goal, None, "not measured")
    met = value >= goal.bound if goal.least else value <= goal.bound
    return Verdict(goal, value, "met" if met else "missed")
