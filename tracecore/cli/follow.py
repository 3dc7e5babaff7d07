"""Following what is being recorded, by polling: each observation when it is first seen, and again when it ends.

A store can be asked for what started since a moment, not for what was written since one. An observation is written
when it ends, or as running once it has been open for ``pending_after_ms``: so within that time, and the time a batch
takes, everything that started is there in one form or the other. Each look therefore reaches back further than that,
and what is known to be running is asked for until it ends.

Invariants: an observation is reported at most twice, first as running and then as ended; looks never overlap; memory
holds the observations of the window and those that run, nothing older.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias

from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, ObservationQuery, ObservationStore
from tracecore.cli.reading import pages
from tracecore.records import Observation

__all__ = ["Follower", "follow"]

_RUNNING_BACK_NS: Final = 86_400 * 10**9
"""How old a running observation may be: one that a crash left behind says running for ever."""
Key: TypeAlias = tuple[str, str]


class Follower:
    """Remember what was seen, and say what is new at each look."""

    def __init__(self, store: ObservationStore, project: str, *, window_ns: int) -> None:
        self._store = store
        self._project = project
        self._window_ns = window_ns
        self._seen: dict[Key, int] = {}
        self._running: dict[Key, Observation] = {}

    async def look(self, now_ns: int) -> list[Observation]:
        """Return what appeared or ended since the last look, by start."""
        since_ns = now_ns - self._window_ns
        found: dict[Key, Observation] = {}
        recent = ObservationQuery(limit=LARGEST_PAGE, since_ns=since_ns)
        running = ObservationQuery(limit=LARGEST_PAGE, since_ns=now_ns - _RUNNING_BACK_NS, running=True)
        for query in (recent, running):
            found |= {_key(span): span async for span in self._find(query)}
        ended = [key for key in self._running if key not in found]
        for trace_id, span_id in ended:
            span = await self._store.get(self._project, trace_id, span_id)
            if span is not None:
                found[trace_id, span_id] = span
        news = [span for key, span in found.items() if self._is_news(key, span)]
        self._remember(found, since_ns)
        return sorted(news, key=lambda span: (span.start_ns, span.span_id))

    def _find(self, query: ObservationQuery) -> AsyncIterator[Observation]:
        return pages(lambda cursor: self._store.find(self._project, replace(query, cursor=cursor)))

    def _is_news(self, key: Key, span: Observation) -> bool:
        return key not in self._seen or (key in self._running and span.status != "running")

    def _remember(self, found: dict[Key, Observation], since_ns: int) -> None:
        self._running = {key: span for key, span in found.items() if span.status == "running"}
        self._seen |= {key: span.start_ns for key, span in found.items()}
        self._seen = {key: start for key, start in self._seen.items() if start >= since_ns or key in self._running}


async def follow(
    follower: Follower, *, clock: Callable[[], int], sleep: Callable[[], Awaitable[None]], until_ns: int | None
) -> AsyncIterator[Observation]:
    """Yield what appears or ends, until the clock (ns) passes ``until_ns``; ``sleep`` waits between two looks."""
    while True:
        now_ns = clock()
        for span in await follower.look(now_ns):
            yield span
        if until_ns is not None and now_ns >= until_ns:
            return
        await sleep()


def _key(span: Observation) -> Key:
    return span.trace_id, span.span_id
