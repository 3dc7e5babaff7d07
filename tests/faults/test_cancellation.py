"""Cancellation at every suspension, and generators that end in every way: each span ends once, with what it was.

The published cases (``tracecore.testing.tracers``) prove it of programs that a person wrote; random programs are
stopped at their first suspension, at their second, and so on until a run has fewer, in every event loop.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest

import tracecore
from tests.faults.stopped_programs import Step, drawn, performed
from tests.torture.declaring import torture
from tests.torture.trial import Trial as Rounds
from tracecore.open_span import OpenSpan
from tracecore.testing.tracers.case import Case, Loop
from tracecore.testing.tracers.cases import GROUPS
from tracecore.testing.tracers.ours import Tracecore
from tracecore.testing.tracers.running import Outcome, run_here
from tracecore.testing.tracers.stopping import stopped_by_scopes, stopped_by_tasks
from tracecore.testing.tracers.trial import Trial

LOOPS = [
    pytest.param(loop, marks=pytest.mark.skipif(find_spec(loop) is None, reason=f"{loop} is not installed"))
    for loop in ("asyncio", "uvloop", "trio")
]


def outcome_of(program: tuple[Step, ...], loop: Loop, *, by_task: bool) -> Outcome:
    """Stop a program everywhere and return what came of it."""

    async def stopped(trial: Trial) -> None:
        stop = stopped_by_tasks if by_task else stopped_by_scopes
        await stop(trial, partial(performed, trial, program), at_least=0)

    loops: frozenset[Loop] = frozenset({loop})
    return run_here(Case("random", "random", "", stopped, loops=loops), Tracecore(), loop)


def failures(titles: set[str], loop: Loop, rounds: Rounds) -> list[tuple[str, str]]:
    """Run the published cases of some groups and return what is different, by their names."""
    cases = [case for group in GROUPS if group.title in titles for case in group.cases if case.runs_in(loop)]
    outcomes = [run_here(case, Tracecore(), loop) for case in cases if case.needs <= Tracecore.offers]
    rounds.ran = len(outcomes)
    return [(outcome.case, difference.text) for outcome in outcomes for difference in outcome.differences]


def _load(loop: Loop) -> None:
    """Run a loop once: its import, and what its library keeps for the process, belong to no test."""
    if find_spec(loop) is not None:
        outcome_of((Step("fetch", 1),), loop, by_task=False)
        tracecore.shutdown()


for _loop in ("asyncio", "uvloop", "trio"):
    _load(_loop)


@pytest.fixture(autouse=True)
def _no_default_recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the recorder that the programs wrote to."""
    monkeypatch.setattr(tracecore.default._default, "recorder", None)
    yield
    tracecore.shutdown()


@torture("T32", "random programs stopped at the n-th suspension for every n", rounds=8, full=300)
@pytest.mark.parametrize("loop", LOOPS)
def test_stopped_everywhere(loop: Loop, trial: Rounds) -> None:
    """Wherever a program is stopped, each of its spans ends once, below its parent, and says how it was left."""
    for case in trial.cases():
        with case:
            program = drawn(case.chance)
            outcome = outcome_of(program, loop, by_task=False)
            assert outcome.differences == [], program


@torture("T32", "random programs whose task is cancelled at the n-th suspension for every n", rounds=8, full=300)
@pytest.mark.parametrize("loop", LOOPS[:2])
def test_cancelled_everywhere(loop: Loop, trial: Rounds) -> None:
    """The same by cancelling the task, and the very CancelledError that went through comes out."""
    for case in trial.cases():
        with case:
            program = drawn(case.chance)
            outcome = outcome_of(program, loop, by_task=True)
            assert outcome.differences == [], program


@torture("T32", "the published cases of cancellation and timeouts")
@pytest.mark.parametrize("loop", LOOPS)
def test_published_cancellations(loop: Loop, trial: Rounds) -> None:
    """Coroutines, generators and groups, stopped at every suspension; timeouts, shields, swallowed cancellations."""
    assert failures({"cancellation", "timeouts"}, loop, trial) == []
    assert trial.ran >= 9


@torture("T33", "generators of both kinds: exhausted, left, closed elsewhere, thrown into, dropped, never started")
@pytest.mark.parametrize("loop", LOOPS)
def test_published_generators(loop: Loop, trial: Rounds) -> None:
    """Each ends once, below the span in which it began; whoever consumes, closes or throws stays in its own."""
    assert failures({"generators", "async generators", "async generators ended early"}, loop, trial) == []
    assert trial.ran >= 15


def calls_it_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break leaving a span by an exception: nothing is noted."""
    monkeypatch.setattr(OpenSpan, "fail", lambda *_: None)


def steps_in_the_consumers_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break generators: their bodies run in the context of whoever asks for an item."""

    class Here:
        def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    monkeypatch.setattr(tracecore.observe_generators, "copy_context", Here)


def forgets_what_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the end of a span that was stopped: it does not come."""
    end = OpenSpan.end
    monkeypatch.setattr(OpenSpan, "end", lambda span: None if span.status == "cancelled" else end(span))


@torture("T32", "mistakes in the kernel are found out")
@pytest.mark.parametrize("breaks", [calls_it_ok, steps_in_the_consumers_context, forgets_what_was_stopped])
def test_a_broken_kernel_is_found_out(breaks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random programs see each mistake that they are there for."""
    chance = random.Random(32)  # noqa: S311 - a seed makes it repeatable
    programs = [drawn(chance) for _ in range(5)]
    breaks(monkeypatch)
    assert any(outcome_of(program, "asyncio", by_task=False).differences for program in programs)
