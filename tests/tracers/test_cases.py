"""The cases assert what Python does, and find what they are there to find."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from tracecore.testing.tracers.case import Loop
from tracecore.testing.tracers.cases import CASES, GROUPS
from tracecore.testing.tracers.reports import Order
from tracecore.testing.tracers.running import Outcome
from tracecore.testing.tracers.workers import Worker

BROKEN = Path(__file__).with_name("broken.py")


def worker_of(name: str) -> Worker:
    """Return a worker for a tracer with a mistake."""
    return Worker(f"{BROKEN}:{name}", timeout=2.0)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_the_programs_do_what_they_say_when_nobody_watches(loop: Loop) -> None:
    """Without a tracer every result, exception and kind is as expected, and nothing goes wrong unseen."""
    if find_spec(loop) is None:
        pytest.skip(f"{loop} is not installed")
    command = [sys.executable, str(BROKEN.with_name("untraced.py")), loop]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=50)
    outcomes = msgspec.json.decode(run.stdout, type=list[Outcome])
    wrong = [
        (outcome.case, difference.text)
        for outcome in outcomes
        for difference in outcome.differences
        if difference.facet in {"program", "quiet"}
    ]
    assert wrong == []
    assert "not offered" not in {outcome.verdict for outcome in outcomes}
    assert {outcome.case for outcome in outcomes} == {name for name, case in CASES.items() if case.runs_in(loop)}


@pytest.mark.parametrize(
    ("mistake", "case", "facet", "said"),
    [
        ("OneStack", "gathered", "current", "in step: the current span is inside"),
        ("OneStack", "requests_side_by_side", "tree", "expected first"),
        ("OneStack", "two_loops_at_once", "tree", "*"),
        ("OneStack", "a_thousand_tasks", "tree", "*"),
        ("StepsInTheConsumersContext", "a_generator_exhausted", "current", "in consumer: the current span is open"),
        ("StepsInTheConsumersContext", "an_async_generator_exhausted", "tree", "*"),
        ("StepsInTheConsumersContext", "generators_stopped_at_every_suspension", "current", "*"),
        ("EndsTwice", "blocks_and_calls_of_both_kinds", "tree", "*emitted*kept*"),
        ("RaisesACopy", "an_exception_through_several_spans", "program", "what was raised*is not the very*"),
        ("SwallowsCancellations", "a_task_cancelled_at_every_suspension", "program", "whether the task was cancelled*"),
        ("ForgetsToAwait", "a_coroutine_in_a_coroutine", "quiet", "RuntimeWarning*never awaited*"),
        ("IsOfAnotherKind", "a_coroutine_function_is_one", "program", "inspect.iscoroutinefunction: False*"),
        ("IsOfAnotherKind", "names_and_docs", "program", "*"),
        ("NeverEndsCancelled", "an_async_generator_closed_by_another_task", "tree", "*"),
        ("NeverEndsCancelled", "a_generator_dropped", "tree", "expected*open*"),
        ("CallsItOk", "asyncio_timeout", "status", "*"),
        ("RecordsAnotherResult", "the_result_of_a_coroutine", "result", "*"),
        ("Hangs", "a_call_in_a_call", "program", "did not end within 2 s"),
        ("EndsTheProcess", "a_call_in_a_call", "program", "the process ended: exit code 7: *"),
    ],
)
def test_a_mistake_is_found(mistake: str, case: str, facet: str, said: str) -> None:
    """The case that is about it fails, and says what is wrong."""
    with worker_of(mistake) as worker:
        outcome = worker.run(Order(case))
    found = [difference.text for difference in outcome.differences if difference.facet == facet]
    assert any(fnmatchcase(text, f"*{said}*") for text in found), outcome
    assert outcome.verdict == "failed"


def test_a_tracer_with_one_mistake_passes_what_is_not_about_it() -> None:
    """What is right is not called wrong because something else is, and what is not offered is no mistake."""
    with worker_of("OneStack") as worker:
        assert worker.run(Order("gathered")).verdict == "failed"
        for name in ("a_call_in_a_call", "an_exception_through_several_spans", "a_method", "recursion"):
            assert worker.run(Order(name)).verdict == "passed"
        assert worker.run(Order("a_generator_exhausted")).verdict == "not offered"


def test_a_case_that_hangs_leaves_the_next_one_alone() -> None:
    """Whatever a case does to its process, the next one begins in another."""
    with worker_of("Hangs") as worker:
        assert [worker.run(Order(name)).verdict for name in ("a_method", "asyncio_timeout")] == ["failed", "passed"]


def test_every_case_has_a_name_of_its_own_and_says_what_it_asserts() -> None:
    """The table can be read without the source."""
    assert len(CASES) == sum(len(group.cases) for group in GROUPS)
    assert len({group.title for group in GROUPS}) == len(GROUPS)
    assert [case.name for case in CASES.values() if not case.summary.endswith(".") or "\n" in case.summary] == []


def test_programs_that_run_in_trio_are_written_for_it() -> None:
    """A case says where it can be run: everywhere unless it speaks of asyncio."""
    sources = {name: inspect.getsource(case.program) for name, case in CASES.items() if case.loops}
    speaks = {name for name, source in sources.items() if "asyncio." in source or "stopped_by_tasks" in source}
    assert {name for name in sources if "trio" not in CASES[name].loops} == speaks
