"""Reading from a file of a million spans: lists, a session, one trace, full text.

The file holds the request mix, made as in the ``store`` suite, its search index built to the end. A reader of its own,
as the command line has one, then asks different questions in shuffled order; pages after the first go by cursor.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import drive
from benchmarks.measure import percentile
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Texts, traced_service
from benchmarks.stored import Stored, maintained
from tracecore.backend import Backend, ObservationQuery, TraceQuery
from tracecore.plugins import open_backend

__all__ = ["run"]

METHOD: Final = (
    "ms of wall clock per query, awaited one after another by a reader of its own, in shuffled order after a warm-up;"
    " the figure is the 95th percentile. Lists have 50 entries. Every answer is checked for what it must hold."
)
_REQUESTS: Final = 200_000
_QUICK_REQUESTS: Final = 1_000
_AT_ONCE: Final = 20_000
"""Requests between two reports of progress."""
_QUERIES: Final = 40
_PAGE: Final = 50
_USERS: Final = 200

Ask: TypeAlias = Callable[[random.Random], Awaitable[bool]]


class Reader:
    """Ask a store what a person would ask it; each question says whether the answer is right."""

    def __init__(self, backend: Backend, texts: Texts, requests: int) -> None:
        assert backend.traces is not None
        assert backend.observations is not None
        self._traces, self._observations = backend.traces, backend.observations
        self._texts = texts
        self._requests = requests
        self._cursor: str | None = None
        self._known: list[str] = []

    async def newest(self, _: random.Random) -> bool:
        """Ask for the newest traces."""
        page = await self._traces.find("default", TraceQuery(limit=_PAGE))
        return len(page.items) == _PAGE

    async def next_page(self, _: random.Random) -> bool:
        """Go on in the list of all traces, and begin again at its end."""
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, cursor=self._cursor))
        self._cursor = page.next_cursor
        return bool(page.items)

    async def of_user(self, chance: random.Random) -> bool:
        """Ask for the newest traces of one user."""
        user = self._texts.user(chance.randrange(self._requests))
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, user_id=user))
        return bool(page.items) and all(trace.attributes.user_id == user for trace in page.items)

    async def of_session(self, chance: random.Random) -> bool:
        """Ask for the newest traces of one session."""
        session = f"session-{self._texts.user(chance.randrange(self._requests))}"
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, session_id=session))
        return bool(page.items) and all(trace.attributes.session_id == session for trace in page.items)

    async def generations(self, _: random.Random) -> bool:
        """Ask for the newest generations."""
        page = await self._observations.find("default", ObservationQuery(limit=_PAGE, type="generation"))
        return len(page.items) == _PAGE

    async def one_trace(self, chance: random.Random) -> bool:
        """Ask for every observation of a trace, bodies included."""
        trace_id = chance.choice(self._known)
        return len(await self._observations.tree("default", trace_id)) == SPANS

    async def rare_words(self, chance: random.Random) -> bool:
        """Search for what only one request says."""
        page = await self._traces.find(
            "default", TraceQuery(limit=_PAGE, search=f"{chance.randrange(self._requests):08}")
        )
        return len(page.items) == 1

    async def common_word(self, _: random.Random) -> bool:
        """Search for what every request says."""
        page = await self._traces.find("default", TraceQuery(limit=_PAGE, search="request"))
        return len(page.items) == _PAGE

    async def learn(self) -> None:
        """Find traces of different users to ask for later."""
        for number in range(0, min(self._requests, _USERS), 4):
            page = await self._traces.find("default", TraceQuery(limit=_PAGE, user_id=self._texts.user(number)))
            self._known += [trace.trace_id for trace in page.items]

    @property
    def questions(self) -> dict[str, tuple[str, Ask]]:
        """Return every question: label and method by name."""
        return {
            "newest": ("newest traces", self.newest),
            "next": ("traces, page after page", self.next_page),
            "user": ("traces of a user", self.of_user),
            "session": ("traces of a session", self.of_session),
            "generations": ("newest generations", self.generations),
            "trace": ("one trace, bodies included", self.one_trace),
            "rare": ("full text: said by one request", self.rare_words),
            "common": ("full text: said by all requests", self.common_word),
        }


def run(settings: Settings, step: Step) -> Table:
    """Fill a file, then read from it."""
    texts = Texts(settings.seed)
    requests = _QUICK_REQUESTS if settings.quick else _REQUESTS
    with Stored() as stored:
        asyncio.run(_fill(stored, texts, requests, step))
        step("building the search index", 0.5)
        asyncio.run(maintained(open_backend(stored.url)))
        step("reading", 0.9)
        rows = asyncio.run(_asked(stored.url, texts, requests, settings.seed))
        size = stored.size / 1e6
    rows.append(Row(key="read.size", label="the file", unit="MB", value=size, note=f"{requests * SPANS:,} spans"))
    return Table(suite="read", title=f"{requests * SPANS:,} spans in SQLite", method=METHOD, rows=rows)


async def _fill(stored: Stored, texts: Texts, requests: int, step: Step) -> None:
    handle = traced_service(texts, stored.recorder)
    for first in range(0, requests, _AT_ONCE):
        step(f"storing {requests * SPANS:,} spans", first / requests / 2)
        await drive(handle, range(first, min(first + _AT_ONCE, requests)), stored.recorder)
    await stored.recorder.ashutdown()


async def _asked(url: str, texts: Texts, requests: int, seed: int) -> list[Row]:
    backend = open_backend(url, access="read")
    await backend.open()
    try:
        reader = Reader(backend, texts, requests)
        await reader.learn()
        return await _timed(reader, random.Random(seed))
    finally:
        await backend.close()


async def _timed(reader: Reader, chance: random.Random) -> list[Row]:
    questions = reader.questions
    taken: dict[str, list[float]] = {name: [] for name in questions}
    order = list(questions) * _QUERIES
    chance.shuffle(order)
    for name in [*questions, *order]:
        began = time.perf_counter()
        right = await questions[name][1](chance)
        taken[name].append((time.perf_counter() - began) * 1e3)
        if not right:
            raise RuntimeError(f"{questions[name][0]}: the answer is not what was stored")
    return [_row(name, label, taken[name][1:]) for name, (label, _) in questions.items()]


def _row(name: str, label: str, times: list[float]) -> Row:
    middle = statistics.median(times)
    return Row(
        key=f"read.{name}", label=f"{label}, p95", unit="ms", value=percentile(times, 95), minimum=min(times),
        note=f"median {middle:.2g} ms",
    )  # fmt: skip
