"""Asking a store of the request mix what a person would ask it, and timing the answers.

A reader of its own, as the command line has one, asks different questions in shuffled order; pages after the first go
by cursor. Every answer is checked for what it must hold.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from benchmarks.request_mix import SPANS, USERS, Texts
from tracecore.backend import Backend, ObservationQuery, TraceQuery
from tracecore.plugins import open_backend
from tracecore.records import Trace

__all__ = ["QUESTIONS", "TIMES", "Reader", "times_of_reading"]

TIMES: Final = 40
"""How often each question is asked, unless told otherwise."""
_PAGE: Final = 50

QUESTIONS: Final = {
    "newest": "newest traces",
    "next": "traces, page after page",
    "user": "traces of a user",
    "session": "traces of a session",
    "generations": "newest generations",
    "trace": "one trace, bodies included",
    "rare": "full text: said by one request",
    "common": "full text: said by all requests",
}
"""What is asked, by the name of the question."""

Check: TypeAlias = Callable[[], bool]
"""Say whether an answer is right."""
Ask: TypeAlias = Callable[[random.Random], Awaitable[Check]]


class Reader:
    """Ask a store what a person would ask it; each question returns what checks the answer, after the clock."""

    def __init__(self, backend: Backend, texts: Texts, requests: int) -> None:
        assert backend.traces is not None
        assert backend.observations is not None
        self._traces, self._observations = backend.traces, backend.observations
        self._texts = texts
        self._requests = requests
        self._whole_page = min(_PAGE, requests)
        self._cursor: str | None = None
        self._last: list[Trace] = []
        """The last trace of the page before."""
        self._known: list[str] = []

    async def newest(self, _: random.Random) -> Check:
        """Ask for the newest traces."""
        page = await self._traces.find("default", TraceQuery(limit=_PAGE))
        return lambda: len(page.items) == self._whole_page and _descending(page.items)

    async def next_page(self, _: random.Random) -> Check:
        """Go on in the list of all traces, and begin again at its end."""
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, cursor=self._cursor))
        above, self._last = self._last, page.items[-1:] if page.next_cursor else []
        self._cursor = page.next_cursor
        return lambda: bool(page.items) and _descending([*above, *page.items])

    async def of_user(self, chance: random.Random) -> Check:
        """Ask for the newest traces of one user."""
        user = self._texts.user(chance.randrange(self._requests))
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, user_id=user))
        return lambda: bool(page.items) and all(trace.attributes.user_id == user for trace in page.items)

    async def of_session(self, chance: random.Random) -> Check:
        """Ask for the newest traces of one session."""
        session = f"session-{self._texts.user(chance.randrange(self._requests))}"
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, session_id=session))
        return lambda: bool(page.items) and all(trace.attributes.session_id == session for trace in page.items)

    async def generations(self, _: random.Random) -> Check:
        """Ask for the newest generations."""
        page = await self._observations.find("default", ObservationQuery(limit=_PAGE, type="generation"))
        return lambda: len(page.items) == self._whole_page and all(one.type == "generation" for one in page.items)

    async def one_trace(self, chance: random.Random) -> Check:
        """Ask for every observation of a trace, bodies included."""
        trace_id = chance.choice(self._known)
        spans = await self._observations.tree("default", trace_id)
        return lambda: len(spans) == SPANS and all(span.input and span.output for span in spans)

    async def rare_words(self, chance: random.Random) -> Check:
        """Search for what only one request says."""
        page = await self._traces.find(
            "default", TraceQuery(limit=_PAGE, search=f"{chance.randrange(self._requests):08}")
        )
        return lambda: len(page.items) == 1

    async def common_word(self, _: random.Random) -> Check:
        """Search for what every request says."""
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, search="request"))
        return lambda: len(page.items) == self._whole_page and _descending(page.items)

    async def learn(self) -> None:
        """Find traces of different users to ask for later."""
        for number in range(0, min(self._requests, USERS), 4):
            page = await self._traces.find("default", TraceQuery(limit=_PAGE, user_id=self._texts.user(number)))
            self._known += [trace.trace_id for trace in page.items]

    @property
    def asks(self) -> dict[str, Ask]:
        """Return what asks each of the :data:`QUESTIONS`."""
        return {
            "newest": self.newest, "next": self.next_page, "user": self.of_user, "session": self.of_session,
            "generations": self.generations, "trace": self.one_trace, "rare": self.rare_words,
            "common": self.common_word,
        }  # fmt: skip


def _descending(traces: Sequence[Trace]) -> bool:
    """Return whether the newest come first, none of them twice."""
    keys = [(trace.start_ns, trace.trace_id) for trace in traces]
    return all(one > other for one, other in pairwise(keys))


async def times_of_reading(
    url: str, texts: Texts, requests: int, *, seed: int, times: int = TIMES
) -> dict[str, list[float]]:
    """Return ms of wall clock of each asking, by question; the first asking of each is dropped.

    Raises:
        RuntimeError: an answer is not what was stored.
    """
    backend = open_backend(url, access="read")
    await backend.open()
    try:
        reader = Reader(backend, texts, requests)
        await reader.learn()
        return await _timed(reader, random.Random(seed), times)
    finally:
        await backend.close()


async def _timed(reader: Reader, chance: random.Random, times: int) -> dict[str, list[float]]:
    asks = reader.asks
    taken: dict[str, list[float]] = {name: [] for name in asks}
    order = list(asks) * times
    chance.shuffle(order)
    for name in [*asks, *order]:
        began = time.perf_counter()
        right = await asks[name](chance)
        taken[name].append((time.perf_counter() - began) * 1e3)
        if not right():
            raise RuntimeError(f"{QUESTIONS[name]}: the answer is not what was stored")
    return {name: figures[1:] for name, figures in taken.items()}
