"""What a project's observations amount to: counts, tokens, cost, and how long each kind of step took.

Computed from a stream, so that it works on every backend and reads no payload; :mod:`tracecore.cli.summary_sql` says
the same where SQL can be asked.

Invariants: an unknown cost is counted as unknown, never as zero; percentiles are exact (nearest rank); memory is 8
bytes an observation, and the number of names kept is bounded, because a name may be made up per call.
"""

from __future__ import annotations

from array import array
from typing import Final

from msgspec import Struct

from tracecore.records import Generation, Observation, usage_totals
from tracecore.rollup import failed

__all__ = ["NO_MODEL", "ModelUse", "Step", "Summary", "Totals"]

NO_MODEL: Final = "(no model)"
_NAMES: Final = 10_000
_OTHERS: Final = "(other names)"


class ModelUse(Struct):
    """Add up the calls of one model; cost in USD, as far as known."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    total_cost: float | None = None
    calls_without_cost: int = 0

    def add(self, generation: Generation) -> None:
        """Count one call."""
        read, written, total = usage_totals(generation.usage_details)
        self.calls += 1
        self.errors += failed(generation)
        self.input_tokens += read
        self.output_tokens += written
        self.total_tokens += total
        if generation.total_cost is not None:
            self.total_cost = (self.total_cost or 0.0) + generation.total_cost
        elif total:
            self.calls_without_cost += 1


class Step(Struct):
    """Say how long the observations of one name took, in ns; those still running are not in it."""

    name: str
    count: int
    p50_ns: int
    p95_ns: int
    max_ns: int
    total_ns: int


class Totals(Struct):
    """Say what a number of observations amounts to; the slowest steps come first."""

    observations: int
    errors: int
    running: int
    by_type: dict[str, int]
    usage: ModelUse
    models: dict[str, ModelUse]
    slowest_steps: list[Step]


class Summary:
    """Take observations one by one, and say what they amount to."""

    def __init__(self) -> None:
        self.observations = 0
        self.errors = 0
        self.running = 0
        self.by_type: dict[str, int] = {}
        self.all_models = ModelUse()
        self.models: dict[str, ModelUse] = {}
        self._durations: dict[str, array[int]] = {}

    def add(self, span: Observation) -> None:
        """Count one observation."""
        self.observations += 1
        self.errors += failed(span)
        self.by_type[span.type] = self.by_type.get(span.type, 0) + 1
        if isinstance(span, Generation):
            self.all_models.add(span)
            self.models.setdefault(span.model or NO_MODEL, ModelUse()).add(span)
        if span.duration_ns is None:
            self.running += 1
            return
        name = span.name if span.name in self._durations or len(self._durations) < _NAMES else _OTHERS
        self._durations.setdefault(name, array("q")).append(span.duration_ns)

    def totals(self, *, steps: int) -> Totals:
        """Return what was added so far, with the ``steps`` that have the greatest 95th percentile."""
        slowest = [_step(name, sorted(durations)) for name, durations in self._durations.items()]
        slowest.sort(key=lambda step: (-step.p95_ns, step.name))
        return Totals(
            self.observations, self.errors, self.running, self.by_type, self.all_models, self.models, slowest[:steps]
        )


def _step(name: str, ordered: list[int]) -> Step:
    def rank(percent: int) -> int:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    return Step(name, len(ordered), rank(50), rank(95), ordered[-1], sum(ordered))
