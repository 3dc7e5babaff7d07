"""The demo's last word: it says yes when everything is in the file, and what is missing when it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from examples.rag_service.driver import Outcome, Turn, play
from examples.rag_service.verification import Recorded, read_recorded, verify
from tests.examples.rag_bench import open_bench
from tracecore.records import Generation, Observation

TURNS = [
    Turn("user-1", "session-1", "ios/5", {"question": "What is the middle value?"}),
    Turn("user-1", "session-1", "ios/5", {"question": "What protects a task?", "stream": True}),
    Turn("user-2", "session-2", "web/1", {"question": " "}, expected_status=400),
    Turn("user-2", "session-2", "web/1", {"question": "Will it fail?"}, expected_status=502, fault=True),
    Turn("user-2", "session-2", "web/1", {"question": "Is a folder removed?"}, trace_id="a" * 32),
]


async def _driven() -> tuple[list[Outcome], Recorded]:
    async with open_bench() as bench:
        outcomes = await play(bench.client, [TURNS[:2], TURNS[2:]])
        assert (await bench.recorder.aflush()).delivered
        return outcomes, await read_recorded(bench.backend, since_ns=0)


def _failed(outcomes: list[Outcome], recorded: Recorded) -> list[str]:
    return [check.claim for check in verify(outcomes, recorded) if check.problems]


async def test_a_run_that_was_recorded_whole_is_verified() -> None:
    """Good, streamed, refused, failed and continued requests: nothing contradicts, and each claim is one line."""
    outcomes, recorded = await _driven()
    checks = verify(outcomes, recorded)
    assert [check.problems for check in checks] == [[]] * 8
    assert "5 requests were answered" in str(checks[0])
    assert "5 traces, one per request" in str(checks[1])


def _without_trace(recorded: Recorded, trace_id: str) -> Recorded:
    kept = {name: tree for name, tree in recorded.trees.items() if name != trace_id}
    return replace(recorded, trees=kept)


def _with_tree(recorded: Recorded, trace_id: str, change: Callable[[Observation], Observation | None]) -> Recorded:
    tree = [changed for one in recorded.trees[trace_id] if (changed := change(one)) is not None]
    return replace(recorded, trees={**recorded.trees, trace_id: tree})


def _repriced(one: Observation) -> Observation:
    return replace(one, total_cost=(one.total_cost or 0) + 1e-6) if isinstance(one, Generation) else one


def _unversioned(one: Observation) -> Observation:
    return replace(one, prompt_version=None) if isinstance(one, Generation) else one


@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (_without_trace, "traces, one per request"),
        (lambda r, t: _with_tree(r, t, lambda one: None if one.name == "retrieve" else one), "all its steps"),
        (lambda r, t: _with_tree(r, t, lambda one: replace(one, parent_id="f" * 16)), "all its steps"),
        (lambda r, t: _with_tree(r, t, lambda one: replace(one, duration_ns=None)), "all its steps"),
        (lambda r, t: _with_tree(r, t, lambda one: replace(one, status="error")), "every failure is an error"),
        (lambda r, t: _with_tree(r, t, lambda one: replace(one, trace=replace(one.trace, user_id="x"))), "its user"),
        (lambda r, t: _with_tree(r, t, _repriced), "tokens and cost"),
        (lambda r, t: _with_tree(r, t, _unversioned), "prompt, version"),
        (lambda r, _: replace(r, sessions={}), "sessions hold"),
        (lambda r, _: replace(r, traces={}), "sessions hold"),
        (lambda r, _: replace(r, trees={**r.trees, "b" * 32: []}), "traces, one per request"),
    ],
)
async def test_whatever_is_missing_or_wrong_is_found(spoil: Callable[[Recorded, str], Recorded], claim: str) -> None:
    """Each claim fails when the file is spoiled in the way that it is about."""
    outcomes, recorded = await _driven()
    good = next(one.trace_id for one in outcomes if one.status == 200)
    failed = _failed(outcomes, spoil(recorded, good))
    assert any(claim in one for one in failed), failed


async def test_an_unexpected_answer_is_found() -> None:
    """A request that should have failed and did not is named with its body."""
    outcomes, recorded = await _driven()
    spoiled = [replace(one, turn=replace(one.turn, expected_status=418)) for one in outcomes]
    check = verify(spoiled, recorded)[0]
    assert len(check.problems) == 5
    assert "and 2 more" in str(check)
