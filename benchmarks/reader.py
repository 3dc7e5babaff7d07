"""Asking a store of the request mix what a person would ask it, and timing the answers.

A reader of its own, as the command line has one, asks different questions in shuffled order; pages after the first go
by cursor. Every answer is checked for what it must hold.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Final, Protocol, TypeAlias

from benchmarks.request_mix import SPANS, USERS, Texts
from tracecore.backend import Backend, ObservationQuery, ObservationStore, TraceQuery, TraceStore
from tracecore.plugins import open_backend
from tracecore.records import Trace

__all__ = [
    "LISTS",
    "QUESTIONS",
    "SEARCHES",
    "TIMES",
    "Readable",
    "Reader",
    "reading",
    "times_of_both",
    "times_of_reading",
]

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

LISTS: Final = ("newest", "next", "user", "session", "generations")
"""The questions to which an answer needs no payload."""
SEARCHES: Final = ("rare", "common")
"""The questions for which payloads are looked into."""

Check: TypeAlias = Callable[[], bool]
"""Say whether an answer is right."""
Ask: TypeAlias = Callable[[random.Random], Awaitable[Check]]


class Readable(Protocol):
    """What of a backend is asked."""

    @property
    def traces(self) -> TraceStore | None:
        """Return the trace store."""
        ...

    @property
    def observations(self) -> ObservationStore | None:
        """Return the observation store."""
        ...


class Reader:
    """Ask a store what a person would ask it; each question returns what checks the answer, after the clock."""

    def __init__(self, backend: Readable, texts: Texts, requests: int) -> None:
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
    return (await times_of_both({"": url}, texts, requests, seed=seed, times=times))[""]


async def times_of_both(
    urls: Mapping[str, str], texts: Texts, requests: int, *, seed: int, times: int = TIMES
) -> dict[str, dict[str, list[float]]]:
    """Ask several stores of the same requests in turn; return the same by the name of the store.

    Raises:
        RuntimeError: an answer is not what was stored.
    """
    async with AsyncExitStack() as exits:
        readers = dict[str, Reader]()
        for name, url in urls.items():
            readers[name] = Reader(await exits.enter_async_context(reading(url)), texts, requests)
            await readers[name].learn()
        return await _timed(readers, random.Random(seed), times)


@asynccontextmanager
async def reading(url: str) -> AsyncGenerator[Backend]:
    """Open a store to read for the length of a block."""
    backend = open_backend(url, access="read")
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def _timed(readers: Mapping[str, Reader], chance: random.Random, times: int) -> dict[str, dict[str, list[float]]]:
    once = [(store, question) for store in readers for question in QUESTIONS]
    taken: dict[str, dict[str, list[float]]] = {store: {name: [] for name in QUESTIONS} for store in readers}
    order = once * times
    chance.shuffle(order)
    for store, name in [*once, *order]:
        ask = readers[store].asks[name]
        began = time.perf_counter()
        right = await ask(chance)
        taken[store][name].append((time.perf_counter() - began) * 1e3)
        if not right():
            raise RuntimeError(f"{QUESTIONS[name]}: the answer is not what was stored")
    return {store: {name: figures[1:] for name, figures in each.items()} for store, each in taken.items()}
