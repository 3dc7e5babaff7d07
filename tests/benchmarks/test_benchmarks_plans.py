"""Records of the past, and how a store finds them: what is no good plan ends a suite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks.child import run_in_child
from benchmarks.figures import Settings
from benchmarks.flow import check_stored
from benchmarks.past import BATCH, WEEKS, filled, past_requests
from benchmarks.plans import Plan, _plan_of, check, sqlite_plans
from benchmarks.reader import QUESTIONS, times_of_both
from benchmarks.request_mix import SPANS, Texts
from tracecore.plugins import open_backend
from tracecore.records import Span

TEXTS = Texts(1, prompts=8)
NOW_NS = 1_700_000_000 * 10**9
WEEK_NS = 7 * 24 * 3_600 * 10**9
GOOD: dict[str, list[Plan]] = {
    name: [Plan(indexes={"by_start"}, tables={"tc_observations_w1"}, walked={"tc_unindexed": 200})]
    for name in QUESTIONS
}


def records_of(requests: int) -> list[list[Any]]:
    """Return batches of requests of the past."""
    return list(past_requests(TEXTS, range(requests), until_ns=NOW_NS, seed=1))


def test_records_of_the_past_are_what_a_recorder_would_have_stored(tmp_path: Path) -> None:
    """They are read back and compared as those of the recorder are, from as many stores as they were written to."""

    async def stored(urls: list[str]) -> list[int]:
        backends = [open_backend(url) for url in urls]
        for backend in backends:
            await backend.open()
        written: list[int] = []
        try:
            await filled(backends, iter(records_of(BATCH + 3)), written.append)
            assert written == [BATCH * SPANS, (BATCH + 3) * SPANS]
            return [await check_stored(backend, TEXTS, range(BATCH + 3)) for backend in backends]
        finally:
            for backend in backends:
                await backend.close()

    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other")]
    assert asyncio.run(stored(urls)) == [(BATCH + 3) * SPANS] * 2


def test_records_of_the_past_fill_the_weeks() -> None:
    """The oldest come first, the same every time, and none of them begins before the weeks or after the present."""
    [spans] = records_of(400)
    assert spans == records_of(400)[0]
    roots = [span.start_ns for span in spans if isinstance(span, Span) and span.parent_id is None]
    assert roots == sorted(roots)
    assert {(NOW_NS - start) // WEEK_NS for start in roots} >= set(range(1, WEEKS))
    assert NOW_NS - WEEKS * WEEK_NS <= roots[0] < roots[-1] < NOW_NS
    assert len({span.span_id for span in spans}) == len(spans)


def test_good_plans_are_counted() -> None:
    """An index, no payload in a list, one place for one trace: that is how it should be."""
    assert check(GOOD) == len(QUESTIONS)


@pytest.mark.parametrize(
    ("question", "plan", "said"),
    [
        ("newest", Plan(indexes={"i"}, walked={"tc_traces": 1_001}), "newest: tc_traces is walked through"),
        ("rare", Plan(indexes={"i"}, walked={"tc_search": 25_001}), "rare: tc_search is walked through"),
        ("generations", Plan(indexes={"i"}, tables={"tc_bodies_w3"}), "generations: a list reads payloads"),
        ("user", Plan(tables={"tc_traces"}), "user: no index is followed"),
        (
            "trace",
            Plan(indexes={"i"}, tables={"tc_observations_w1", "tc_observations_w2"}),
            "trace: it lies in one place",
        ),
    ],
)
def test_what_is_no_good_plan_is_an_error(question: str, plan: Plan, said: str) -> None:
    """The sentence says which question it was, and what is wrong."""
    with pytest.raises(RuntimeError, match=said):
        check(GOOD | {question: [plan]})


def test_a_question_without_a_statement_is_an_error() -> None:
    """Where nothing was noted, nothing is known."""
    with pytest.raises(RuntimeError, match="newest: no index"):
        check(GOOD | {"newest": []})


def test_a_plan_counts_what_was_run() -> None:
    """Rows that a filter threw away were read too; what was never run reads nothing."""
    scan = {
        "Node Type": "Seq Scan", "Relation Name": "tc_traces", "Actual Rows": 3, "Rows Removed by Filter": 7,
        "Actual Loops": 2,
    }  # fmt: skip
    index = {"Node Type": "Index Scan", "Relation Name": "tc_bodies_w1", "Index Name": "key", "Actual Loops": 1}
    never = {"Node Type": "Seq Scan", "Relation Name": "tc_bodies_w2", "Actual Rows": 0, "Actual Loops": 0}
    root = {"Node Type": "Append", "Actual Loops": 1, "Plans": [scan, index, never]}
    assert _plan_of(root) == Plan(indexes={"key"}, tables={"tc_traces", "tc_bodies_w1"}, walked={"tc_traces": 10})


def test_sqlite_is_asked_how_it_finds_what_it_finds(tmp_path: Path) -> None:
    """Every question has a plan, and a file without an index that it needs is found out."""
    url = f"sqlite:///{tmp_path}/traces.db"

    async def fill() -> None:
        backend = open_backend(url)
        await backend.open()
        await filled([backend], iter(records_of(60)))
        while await backend.maintain():
            pass
        await backend.close()

    asyncio.run(fill())
    plans = asyncio.run(sqlite_plans(url, TEXTS, 60, seed=1))
    assert check(plans) >= len(QUESTIONS)
    assert plans.keys() == QUESTIONS.keys()
    assert any(index.startswith("tc_traces_by_start") for plan in plans["newest"] for index in plan.indexes)


def test_both_stores_are_asked_as_often(tmp_path: Path) -> None:
    """Every question has its times by the name of each store."""
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other")}

    async def asked() -> dict[str, dict[str, list[float]]]:
        backends = [open_backend(url) for url in urls.values()]
        for backend in backends:
            await backend.open()
        await filled(backends, iter(records_of(60)))
        for backend in backends:
            await backend.close()
        return await times_of_both(urls, TEXTS, 60, seed=1, times=3)

    found = asyncio.run(asked())
    assert {name: {question: len(each) for question, each in times.items()} for name, times in found.items()} == {
        name: dict.fromkeys(QUESTIONS, 3) for name in urls
    }


def test_both_databases_hold_as_many_rows_as_are_asked_for() -> None:
    """A few requests answer every question in PostgreSQL and in SQLite, and the plans of both were looked at."""
    table = run_in_child("postgres/read", Settings(rows=307, quick=True), lambda *_: None)
    keys = {f"postgres.read.{name}" for name in (*QUESTIONS, "plans", "load", "size")}
    keys |= {f"postgres.read.sqlite.{name}" for name in (*QUESTIONS, "size")}
    assert {row.key for row in table.rows} == keys
    assert table.title.startswith("310 spans in PostgreSQL ")
    [plans] = [row for row in table.rows if row.key == "postgres.read.plans"]
    assert (plans.value or 0) >= 2 * len(QUESTIONS)
