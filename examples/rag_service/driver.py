"""The users: many people at once, each asking one question after the other and coming back to the same sessions.

A plan is made first, from a seed, and then played: one task per user, one connection pool for all. Most requests are
good; a few are wrong on purpose (an empty question, a source that does not exist, a model told to fail), because errors
are what traces are looked at for. What came back is kept as one :class:`Outcome` per request.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import anyio
import httpx2
from msgspec import Struct

from examples.rag_service.questions import HAND_WRITTEN, TEMPLATES

__all__ = ["Outcome", "Turn", "make_plan", "play"]

PLATFORMS: Final = ("ios/5.2.1", "ios/5.1.0", "android/5.2.0", "android/4.9.3", "web/2026.11")
SESSIONS_PER_USER: Final = 2
STREAM_EVERY: Final = 4
TRACEPARENT_EVERY: Final = 15
FAULTS: Final[Mapping[int, tuple[dict[str, object], int]]] = {
    17: ({"question": "   "}, 400),
    53: ({"question": "What is in here?", "source": "no-such-module"}, 400),
    89: ({"question": "Will this fail?", "fault": True}, 502),
    131: ({"question": "How many passages may I ask for?", "top_k": 500}, 400),
    173: ({"question": "Will this fail while streaming?", "fault": True, "stream": True}, 502),
}
"""What is wrong with which request of the plan, and the status it must get."""
_NO_FAULT: Final[tuple[dict[str, object], int]] = ({}, 200)


class Turn(Struct, frozen=True):
    """One request of the plan."""

    user_id: str
    session_id: str
    platform: str
    body: dict[str, object]
    expected_status: int = 200
    fault: bool = False
    trace_id: str | None = None
    """The trace that the client has begun; None lets the service begin one."""

    def headers(self) -> dict[str, str]:
        """Return who is asking, and the client's own position in its trace."""
        headers = {"X-User-Id": self.user_id, "X-Session-Id": self.session_id, "X-Platform": self.platform}
        if self.fault:
            headers["X-Demo-Fault"] = "llm"
        if self.trace_id is not None:
            headers["traceparent"] = f"00-{self.trace_id}-{self.trace_id[:16]}-01"
        return headers


class Outcome(Struct, frozen=True):
    """What came back for one request."""

    turn: Turn
    status: int
    trace_id: str
    seconds: float
    answer: str = ""
    usage: dict[str, int] = {}
    cost_usd: float | None = None
    """USD; None is unknown."""


def make_plan(names: Sequence[tuple[str, str]], *, users: int, requests: int, seed: int) -> list[list[Turn]]:
    """Return each user's turns in order; ``names`` are (documented name, source) pairs that the service serves."""
    rng = random.Random(seed)
    questions = [*HAND_WRITTEN, *((rng.choice(TEMPLATES).format(name=name), source) for name, source in names)]
    rng.shuffle(questions)
    known = {source for _, source in names}
    plan: list[list[Turn]] = [[] for _ in range(users)]
    for number in range(requests):
        user, round_number = number % users, number // users
        question, source = questions[number % len(questions)]
        body: dict[str, object] = {"question": question, "stream": number % STREAM_EVERY == 1}
        if source in known and rng.random() < 0.5:  # noqa: PLR2004 - half of the users limit their search
            body["source"] = source
        wrong, status = FAULTS.get(number, _NO_FAULT)
        body |= {key: value for key, value in wrong.items() if key != "fault"}
        session = 1 + round_number * SESSIONS_PER_USER * users // max(requests, 1)
        plan[user].append(
            Turn(
                user_id=f"user-{100 + user}",
                session_id=f"user-{100 + user}-session-{session}",
                platform=PLATFORMS[user % len(PLATFORMS)],
                body=body,
                expected_status=status,
                fault="fault" in wrong,
                trace_id=f"{rng.getrandbits(128) | 1 << 127:032x}" if number % TRACEPARENT_EVERY == 0 else None,
            ),
        )
    return plan


async def play(
    client: httpx2.AsyncClient, plan: Sequence[Sequence[Turn]], *, answered: Callable[[int], None] = lambda _: None
) -> list[Outcome]:
    """Send every user's turns, all users at once; ``answered`` receives how many requests have been answered."""
    outcomes: list[Outcome] = []

    async def play_user(turns: Sequence[Turn]) -> None:
        for turn in turns:
            outcomes.append(await _ask(client, turn))
            answered(len(outcomes))

    async with anyio.create_task_group() as group:
        for turns in plan:
            group.start_soon(play_user, turns)
    return outcomes


async def _ask(client: httpx2.AsyncClient, turn: Turn) -> Outcome:
    started = time.perf_counter()
    async with client.stream("POST", "/ask", json=turn.body, headers=turn.headers()) as response:
        text = (await response.aread()).decode()
    streamed = response.headers["content-type"].startswith("text/event-stream")
    answer = _read_events(text) if streamed else json.loads(text)
    return Outcome(
        turn,
        status=response.status_code,
        trace_id=response.headers.get("X-Trace-Id", ""),
        seconds=time.perf_counter() - started,
        answer=answer.get("answer", ""),
        usage=answer.get("usage", {}),
        cost_usd=answer.get("cost_usd"),
    )


def _read_events(text: str) -> dict[str, Any]:
    """Put a streamed answer together."""
    answer = ""
    last: dict[str, Any] = {}
    for event in text.split("\n\n"):
        name, _, data = event.partition("\ndata: ")
        if data:
            last = json.loads(data)
            answer += last["text"] if name == "event: delta" else ""
    return {**last, "answer": answer}
