"""The simulated users: the plan they follow, and what they keep of the answers."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter, defaultdict

import httpx2
import pytest

from examples.rag_service.driver import FAULTS, Turn, make_plan, play
from examples.rag_service.progress import ProgressLine

NAMES = [(f"asyncio.tasks.function_{number}", "asyncio") for number in range(30)]


def _turns() -> list[Turn]:
    return [turn for turns in make_plan(NAMES, users=24, requests=240, seed=7) for turn in turns]


def test_a_plan_is_made_from_its_seed() -> None:
    """The same seed makes the same plan; another one asks in another order."""
    plan = make_plan(NAMES, users=5, requests=40, seed=1)
    assert plan == make_plan(NAMES, users=5, requests=40, seed=1)
    assert plan != make_plan(NAMES, users=5, requests=40, seed=2)
    assert sum(map(len, plan)) == 40


def test_every_user_comes_back_in_the_same_sessions() -> None:
    """Each of the users has two sessions of several turns, one platform, and never anybody else's session."""
    sessions: dict[str, Counter[str]] = defaultdict(Counter)
    platforms = defaultdict(set)
    for turn in _turns():
        sessions[turn.user_id][turn.session_id] += 1
        platforms[turn.user_id].add(turn.platform)
    assert len(sessions) == 24
    assert all(len(turns) == 2 and min(turns.values()) >= 4 for turns in sessions.values())
    assert all(name.startswith(user) for user, turns in sessions.items() for name in turns)
    assert all(len(used) == 1 for used in platforms.values())
    assert len({platform for used in platforms.values() for platform in used}) == 5


def test_a_plan_has_streams_continued_traces_and_faults() -> None:
    """About a quarter is streamed, some traces are begun by the client, and each fault is there once."""
    turns = _turns()
    assert 50 <= sum(bool(turn.body.get("stream")) for turn in turns) <= 70
    begun = [turn.trace_id for turn in turns if turn.trace_id is not None]
    assert len(begun) == len(set(begun)) == 16
    assert all(len(trace_id) == 32 for trace_id in begun)
    assert Counter(turn.expected_status for turn in turns if turn.expected_status != 200) == {400: 3, 502: 2}
    assert sum(turn.fault for turn in turns) == 2
    assert len(FAULTS) == 5


def test_a_turn_says_who_asks() -> None:
    """User, session and platform travel in headers, and the client's own trace as a traceparent."""
    turn = Turn("u", "s", "web/1", {}, trace_id="a" * 32)
    assert turn.headers()["traceparent"] == f"00-{'a' * 32}-{'a' * 16}-01"
    assert {"X-User-Id", "X-Session-Id", "X-Platform"} <= turn.headers().keys()


async def test_users_ask_at_once_and_in_turn() -> None:
    """Different users are served at the same time; one user never asks twice at once."""
    busy: set[str] = set()
    at_once = 0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal at_once
        user = request.headers["X-User-Id"]
        assert user not in busy
        busy.add(user)
        at_once = max(at_once, len(busy))
        await asyncio.sleep(0)
        busy.remove(user)
        body = {"answer": "yes", "usage": {"input": 3}, "cost_usd": 0.5}
        return httpx2.Response(200, json=body, headers={"X-Trace-Id": "t"})

    counted: list[int] = []
    plan = make_plan(NAMES, users=6, requests=30, seed=7)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://service.test") as client:
        outcomes = await play(client, plan, answered=counted.append)
    assert at_once > 1
    assert counted == list(range(1, 31))
    assert {(one.status, one.trace_id, one.answer, one.cost_usd) for one in outcomes} == {(200, "t", "yes", 0.5)}


@pytest.mark.parametrize(
    "last", [{"usage": {"input": 3}, "cost_usd": 0.5}, {"usage": {"embedding": 1}, "cost_usd": None}]
)
async def test_a_streamed_answer_is_put_together(last: dict[str, object]) -> None:
    """The text of all deltas is the answer; usage and cost come from the last event, an unknown cost stays unknown."""
    events = [("sources", {"sources": []}), ("delta", {"text": "It "}), ("delta", {"text": "is."}), ("done", last)]
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    response = httpx2.Response(200, text=text, headers={"content-type": "text/event-stream; charset=utf-8"})
    transport = httpx2.MockTransport(lambda _: response)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service.test") as client:
        (outcome,) = await play(client, [[Turn("u", "s", "web/1", {})]])
    assert outcome.answer == "It is."
    assert outcome.usage == last["usage"]
    assert outcome.cost_usd == last["cost_usd"]


def test_progress_is_one_line_on_a_terminal_and_few_elsewhere() -> None:
    """In a log, a line per quarter; the last line says that all is done."""
    log = io.StringIO()
    line = ProgressLine(log, "asking")
    for done in range(101):
        line.show("questions", done, 100)
    lines = log.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[-1] == f"asking questions [{'#' * 30}] 100/100"
