"""Sums and percentiles: exact, and what is unknown stays unknown."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tests.cli.recorded import generation, span
from tracecore.cli.summary import Summary


@given(st.lists(st.integers(min_value=0, max_value=2**62), min_size=1))
def test_percentiles_are_those_of_the_definition(durations: list[int]) -> None:
    """The p-th percentile is the smallest duration that p percent of all do not exceed."""
    summary = Summary()
    for duration_ns in durations:
        summary.add(span(1, name="step", duration_ns=duration_ns))
    (step,) = summary.slowest(5)
    for percent, value in ((50, step.p50_ns), (95, step.p95_ns)):
        enough = math.ceil(len(durations) * percent / 100)
        assert value == next(d for d in sorted(durations) if sum(other <= d for other in durations) >= enough)
    assert (step.count, step.max_ns, step.total_ns) == (len(durations), max(durations), sum(durations))


def test_an_unknown_cost_is_counted_as_unknown() -> None:
    """A call that used tokens and names no cost makes the sum a part of the cost; one that used none does not."""
    summary = Summary()
    summary.add(generation(1, model="m", usage_details={"input": 5}, total_cost=0.5))
    summary.add(generation(2, model="m", usage_details={"input": 5}))
    summary.add(generation(3, model="m"))
    use = summary.models["m"]
    assert (use.calls, use.total_cost, use.calls_without_cost) == (3, 0.5, 1)


def test_names_that_are_made_up_per_call_do_not_fill_memory() -> None:
    """Beyond a number of names, what is new is counted together."""
    summary = Summary()
    for number in range(10_050):
        summary.add(span(1, name=f"request {number}", duration_ns=1))
    assert len(summary._durations) == 10_001
    assert summary.observations == 10_050
