"""Sums and percentiles: exact, and what is unknown stays unknown."""

from __future__ import annotations

import math
import random
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.recorded import SECOND, START, generation, span
from tracecore.cli.commands import stats
from tracecore.cli.summary import Summary, Totals
from tracecore.records import Record
from tracecore_sqlite import open_backend as open_sqlite


@given(st.lists(st.integers(min_value=0, max_value=2**62), min_size=1))
def test_percentiles_are_those_of_the_definition(durations: list[int]) -> None:
    """The p-th percentile is the smallest duration that p percent of all do not exceed."""
    summary = Summary()
    for duration_ns in durations:
        summary.add(span(1, name="step", duration_ns=duration_ns))
    (step,) = summary.totals(steps=5).slowest_steps
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
    use = summary.totals(steps=0).models["m"]
    assert (use.calls, use.total_cost, use.calls_without_cost) == (3, 0.5, 1)


def test_names_that_are_made_up_per_call_do_not_fill_memory() -> None:
    """Beyond a number of names, what is new is counted together."""
    summary = Summary()
    for number in range(10_050):
        summary.add(span(1, name=f"request {number}", duration_ns=1))
    assert len(summary._durations) == 10_001
    assert summary.totals(steps=1).observations == 10_050


def records(project: str) -> list[Record]:
    """Return observations of every kind, with ties, unknown costs and some that run."""
    drawn = random.Random(7)  # noqa: S311 - the same records each time
    spans: list[Record] = [
        span(
            number,
            trace=number % 40,
            project=project,
            name=f"step {number % 7}",
            after_s=number,
            duration_ns=None if number % 31 == 0 else drawn.randrange(50) * 10**6,
            status="running" if number % 31 == 0 else drawn.choice(["ok", "error", "cancelled"]),
        )
        for number in range(1, 200)
    ]
    calls: list[Record] = [
        generation(
            number,
            trace=number % 40,
            project=project,
            after_s=number,
            type=drawn.choice(["generation", "embedding"]),
            model=drawn.choice([None, "gpt-x", "o'model"]),
            usage_details=drawn.choice([None, {}, {"input": 5, "output": 2}, {"input_cached": 3, "total": 9}]),
            total_cost=drawn.choice([None, 0.0, 0.25]),
        )
        for number in range(200, 300)
    ]
    return spans + calls


@pytest.mark.parametrize("project", ["default", "o'hara; drop table spans --"])
@pytest.mark.parametrize("time", [(None, None), (START + 50 * SECOND, START + 260 * SECOND), (START * 2, None)])
def test_sql_and_stream_say_the_same(tmp_path: Path, project: str, time: tuple[int | None, int | None]) -> None:
    """The fast way is only a faster way, whatever the project is called and whichever time is asked for."""
    url = f"sqlite:///{tmp_path}/traces.db"

    async def both() -> list[tuple[int, Totals]]:
        backend = open_sqlite(url)
        await backend.open()
        try:
            await backend.write([*records(project), span(1, trace=99, project="another")])
            assert backend.sql is not None
            return [
                await stats._asked(backend.sql, project, time, 5),
                await stats._streamed(backend, project, time, 5),
            ]
        finally:
            await backend.close()

    asked, streamed = anyio.run(both)
    assert asked == streamed
    assert (streamed[1].observations > 0) is (time[0] != START * 2)
