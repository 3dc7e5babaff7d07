"""Waiting for changes of prompts: whoever asks what has changed, and nothing has, is answered when something does.

However many wait for a project, one of them looks at the store, a few times a second, and tells the others; who changes
a prompt through this process has it look at once. So it ends with the requests that wait: there is no task of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio
from msgspec import Struct

from tracecore.clock import monotonic_ns
from tracecore.prompts import PromptFeed, PromptStore
from tracecore.server.problems import Refusal

__all__ = ["LOOK_EVERY_S", "MOST_LOOKS", "MOST_WAITING", "Pause", "PromptFeeds", "Waiter"]

LOOK_EVERY_S: Final = 0.25
"""Seconds between two looks at what other processes have changed: a promotion is to be known within one."""
MOST_LOOKS: Final = 200
"""Looks of a process in a second: where somebody waits in more than fifty projects, each is looked at more rarely."""
MOST_WAITING: Final = 500
"""Requests of a process that wait at one moment; each keeps a connection, and others need some, too."""
_COME_AGAIN_S: Final = 5.0

Pause: TypeAlias = Callable[[anyio.Event, float], Awaitable[None]]
"""Returns when the event is set, or after so many seconds."""


async def _pause(event: anyio.Event, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await event.wait()


class Waiter:
    """Stand for one request that waits."""

    def __init__(self) -> None:
        self.is_over = False
        """Whether nobody waits any more: the client is gone, or the server ends."""
        self.wake = anyio.Event()
        self.found: tuple[int, PromptFeed] | None = None
        """What another has seen since some number."""

    def end(self) -> None:
        """Wait no longer."""
        self.is_over = True
        self.wake.set()


class _Room(Struct, eq=False):
    """Hold who waits for one project."""

    waiting: dict[Waiter, None]
    """In the order in which they came."""
    looks: Waiter | None = None
    """The one that looks for all."""


class PromptFeeds:
    """Answer what has changed, now or as soon as something has."""

    def __init__(
        self,
        store: PromptStore,
        *,
        clock: Callable[[], int] = monotonic_ns,
        pause: Pause = _pause,
        most: int = MOST_WAITING,
    ) -> None:
        self._store = store
        self._clock = clock
        self._pause = pause
        self._most = most
        self._rooms: dict[str, _Room] = {}

    @property
    def waiting(self) -> int:
        """Return how many requests wait."""
        return sum(len(room.waiting) for room in self._rooms.values())

    async def changes(self, project: str, since: int, *, wait: float, waiter: Waiter) -> PromptFeed:
        """Return what has changed since, or nothing once so many seconds are over, or nobody waits any more.

        Raises:
            Refusal: too many wait.
        """
        if wait <= 0:
            return await self._store.changes(project, since)
        if (waiting := self.waiting) >= self._most:
            what = f"{waiting} requests wait for changes of prompts here already"
            raise Refusal(503, "BackendUnavailable", what, retry_after=_COME_AGAIN_S)
        until_ns = self._clock() + round(wait * 1e9)
        room = self._rooms.setdefault(project, _Room({}))
        room.waiting[waiter] = None  # before it looks, so that no change after that is missed
        try:
            feed = await self._store.changes(project, since)
            while feed.number == since and not waiter.is_over and (left := until_ns - self._clock()) > 0:
                feed = await self._next(project, room, feed, left / 1e9, waiter)
            return feed
        finally:
            self._leave(project, room, waiter)

    def changed(self, project: str) -> None:
        """Look at a project at once: something was changed."""
        room = self._rooms.get(project)
        if room is not None and room.looks is not None:
            room.looks.wake.set()

    def end(self) -> None:
        """Answer whoever waits."""
        for room in self._rooms.values():
            for waiter in room.waiting:
                waiter.end()

    async def _next(self, project: str, room: _Room, feed: PromptFeed, left: float, waiter: Waiter) -> PromptFeed:
        """Wait for the next moment at which something may have changed; return what is known then."""
        since = feed.number
        room.looks = room.looks or waiter
        if room.looks is not waiter:
            await self._pause(waiter.wake, left)
            if waiter.found is None:
                return feed  # its time is over, or it is to look from now on
        else:
            await self._pause(waiter.wake, min(left, max(LOOK_EVERY_S, len(self._rooms) / MOST_LOOKS)))
        found, waiter.found, waiter.wake = waiter.found, None, anyio.Event()
        if waiter.is_over:
            return feed
        if found is not None and found[0] == since:
            return found[1]
        seen = await self._store.changes(project, since)
        if seen.number != since and room.looks is waiter:
            for other in room.waiting:
                other.found = (since, seen)
                other.wake.set()
        return seen

    def _leave(self, project: str, room: _Room, waiter: Waiter) -> None:
        del room.waiting[waiter]
        if not room.waiting:
            del self._rooms[project]
        elif room.looks is waiter:
            room.looks = next(iter(room.waiting))
            room.looks.wake.set()
