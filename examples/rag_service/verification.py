"""Is everything there that happened? Each claim compares what the clients saw with what a backend's stores return.

The clients know nothing of the backend, and it nothing of the clients: whatever both agree on was recorded and kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from examples.rag_service.driver import Outcome
from tracecore.backend import Backend, Page, SessionQuery, TraceQuery
from tracecore.records import Generation, Observation, Session, Trace

__all__ = ["STEPS", "Check", "Recorded", "read_recorded", "verify"]

ROOT: Final = "POST /ask"
STEPS: Final = (ROOT, "embed", "retrieve", "build-prompt", "generate")
PROJECT: Final = "default"
PAGE: Final = 200
SHOWN: Final = 3
OK: Final = 200
BAD_GATEWAY: Final = 502


class Check(Struct, frozen=True):
    """One claim, and what contradicts it; it holds when there is nothing."""

    claim: str
    problems: list[str]

    def __str__(self) -> str:
        """Show it on one line, with the first contradictions."""
        shown = "; ".join(self.problems[:SHOWN])
        more = f"; and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
        return f"  FAILED  {self.claim}: {shown}{more}" if self.problems else f"  ok      {self.claim}"


class Recorded(Struct, frozen=True):
    """What a backend holds of a project: every trace and session by its id, and the trees of the traces of this run."""

    traces: dict[str, Trace]
    sessions: dict[str, Session]
    trees: dict[str, list[Observation]]


async def read_recorded(backend: Backend, since_ns: int, project: str = PROJECT) -> Recorded:
    """Read an open backend, which has all stores; the traces of this run began at ``since_ns`` (epoch) or later."""
    assert backend.observations is not None  # noqa: S101 - see above
    traces = await _all_traces(backend, project)
    recent = [trace_id for trace_id, trace in traces.items() if trace.start_ns >= since_ns]
    trees = {trace_id: await backend.observations.tree(project, trace_id) for trace_id in recent}
    return Recorded(traces, await _all_sessions(backend, project), trees)


def verify(outcomes: Sequence[Outcome], recorded: Recorded) -> list[Check]:
    """Compare what the clients saw with what the backend holds."""
    answered = {outcome.trace_id: outcome for outcome in outcomes}
    pairs = [(outcome, recorded.trees.get(trace_id, [])) for trace_id, outcome in answered.items()]

    def each(claim: str, holds: Callable[[Outcome, list[Observation]], bool]) -> Check:
        return Check(claim, [f"trace {one.trace_id} ({one.status})" for one, tree in pairs if not holds(one, tree)])

    surplus = [f"trace {trace_id} of no request" for trace_id in recorded.trees.keys() - answered.keys()]
    lost = [f"no trace {trace_id}" for trace_id in answered.keys() - recorded.trees.keys()]
    wrong = [f"{one.status} for {one.turn.body}" for one in outcomes if one.status != one.turn.expected_status]
    return [
        Check(f"{len(outcomes)} requests were answered as they should", wrong),
        Check(f"{len(recorded.trees)} traces, one per request", [*surplus, *lost, *_repeated(outcomes)]),
        each("every trace has all its steps, in one tree", _has_all_steps),
        each("every failure is an error in its trace, and nothing else is", _has_right_errors),
        each("every trace knows its user, session and platform", _knows_who_asked),
        each("tokens and cost are those of the answers", _has_same_usage),
        each("every generation has prompt, version and time of the first token", _has_whole_generation),
        Check(f"{len(recorded.sessions)} sessions hold the traces of their users", _wrong_sessions(outcomes, recorded)),
    ]


async def _all_traces(backend: Backend, project: str) -> dict[str, Trace]:
    assert backend.traces is not None  # noqa: S101 - as above
    found: list[Trace] = []
    page: Page[Trace] = await backend.traces.find(project, TraceQuery(limit=PAGE))
    found += page.items
    while page.next_cursor is not None:
        page = await backend.traces.find(project, TraceQuery(limit=PAGE, cursor=page.next_cursor))
        found += page.items
    return {trace.trace_id: trace for trace in found}


async def _all_sessions(backend: Backend, project: str) -> dict[str, Session]:
    assert backend.sessions is not None  # noqa: S101 - as above
    found: list[Session] = []
    page: Page[Session] = await backend.sessions.find(project, SessionQuery(limit=PAGE))
    found += page.items
    while page.next_cursor is not None:
        page = await backend.sessions.find(project, SessionQuery(limit=PAGE, cursor=page.next_cursor))
        found += page.items
    return {session.session_id: session for session in found}


def _repeated(outcomes: Sequence[Outcome]) -> list[str]:
    times = Counter(outcome.trace_id for outcome in outcomes)
    return [f"{count} requests in trace {trace_id}" for trace_id, count in times.items() if count > 1]


def _has_all_steps(outcome: Outcome, tree: list[Observation]) -> bool:
    """Refused requests (4xx) end at the door; all others take every step, each below the root."""
    if not tree or (outcome.turn.trace_id or outcome.trace_id) != outcome.trace_id:
        return False
    expected = STEPS if outcome.status in {OK, BAD_GATEWAY} else STEPS[:1]
    root, *steps = sorted(tree, key=lambda one: STEPS.index(one.name) if one.name in STEPS else len(STEPS))
    ended = all(one.duration_ns is not None for one in tree)
    return (
        (root.name, *(one.name for one in steps)) == expected
        and ended
        and all(one.parent_id == root.span_id for one in steps)
    )


def _has_right_errors(outcome: Outcome, tree: list[Observation]) -> bool:
    failed = [one.name for one in tree if one.status != "ok"]
    levels = {one.level for one in tree if one.name == ROOT}
    if outcome.status == BAD_GATEWAY:
        return failed == ["generate"] and levels == {"ERROR"}
    return not failed and levels == {"DEFAULT" if outcome.status == OK else "WARNING"}


def _knows_who_asked(outcome: Outcome, tree: list[Observation]) -> bool:
    turn = outcome.turn
    platform = turn.platform.partition("/")[0]
    return all(
        (one.trace.user_id, one.trace.session_id) == (turn.user_id, turn.session_id) and platform in one.trace.tags
        for one in tree
    )


def _has_same_usage(outcome: Outcome, tree: list[Observation]) -> bool:
    calls = [one for one in tree if isinstance(one, Generation)]
    used = sum(sum((call.usage_details or {}).values()) for call in calls)
    costs = [call.total_cost for call in calls]
    if outcome.status != OK:
        return True
    if outcome.cost_usd is None or None in costs:
        return used == sum(outcome.usage.values()) and outcome.cost_usd is None and None in costs
    known = math.fsum(cost for cost in costs if cost is not None)
    return used == sum(outcome.usage.values()) > 0 and math.isclose(known, outcome.cost_usd, rel_tol=1e-9)


def _has_whole_generation(outcome: Outcome, tree: list[Observation]) -> bool:
    calls = [one for one in tree if isinstance(one, Generation) and one.name == "generate"]
    return outcome.status != OK or any(call.prompt_version and call.completion_start_ns for call in calls)


def _wrong_sessions(outcomes: Sequence[Outcome], recorded: Recorded) -> list[str]:
    held = Counter(trace.attributes.session_id for trace in recorded.traces.values())
    missing = {one.turn.session_id for one in outcomes} - recorded.sessions.keys()
    return [f"no session {name}" for name in sorted(missing)] + [
        f"session {name} counts {session.trace_count} traces instead of {held[name]}"
        for name, session in recorded.sessions.items()
        if session.trace_count != held[name]
    ]
