"""Fetching prompts for one cache, on the thread that does this for all: from the disk first, then from the store.

A flight is one question: what is on the disk answers whoever waits, and the store is asked all the same. Where nothing
is known and somebody waits, it is asked again after a failure that may pass, for as long as one waits. A store may
hang, raise anything or refuse to be cancelled: what takes too long is left alone.

Beside that the fetcher listens to what changes in the store, if that can tell: what is known of those names is asked
for again at once, so that a label that has moved is served within a second and nobody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct

from tracecore.breaker import Breaker, asked_for
from tracecore.clock import monotonic_ns
from tracecore.errors import BackendRejected, BackendUnavailable, NotFound, TracecoreError
from tracecore.prompt_cache import Flight, PromptCache
from tracecore.prompt_disk import PromptDisk
from tracecore.prompt_sources import PromptSource
from tracecore.prompts import Prompt, PromptFeed, PromptStore
from tracecore.reporting import named_error

__all__ = ["PromptFetcher"]

T = TypeVar("T")

LONGEST_FETCH: Final = 10.0
"""Seconds that a store has to answer: longer than anybody waits, as a late answer is good for the next who asks."""
_FIRST_PAUSE: Final = 0.05
"""Seconds before a store is asked again for somebody who waits; the next pause is twice as long."""
_AT_ONCE: Final = 16
"""Questions that a store is asked at the same time."""
_FEED_WAIT: Final = 25.0
"""Seconds that a store may wait until something changes."""
_FEED_GRACE: Final = 10.0
_FEED_BEGINS: Final = 0.2
"""Seconds that the first question waits for the feed to begin, so that no change falls between the two."""
_FEED_PAUSE: Final = 0.3
"""Seconds between two looks at a feed that does not wait."""
_ALL_CHANGED_PAUSE: Final = 5.0
"""Seconds after news of everything, which nobody but a store that has lost its feed has often."""
_FEED_IDLE_NS: Final = 600_000_000_000
"""How long after the last question the feed is listened to, at least: a prompt that is in use is asked for earlier."""
_SILENCE_NS: Final = 60_000_000_000
"""After how long a store is asked again that did not tell what changes: it may have been somebody else who answered."""
_CLOSING: Final = 0.3


class _Life(Struct, eq=False):
    """Hold what belongs to one loop."""

    source: PromptSource
    room: asyncio.Semaphore
    disk: PromptDisk | None = None
    opening: asyncio.Task[PromptStore] | None = None
    feed: asyncio.Task[None] | None = None
    feeding: asyncio.Event | None = None
    """Set once the feed has begun, or never will."""


class PromptFetcher:
    """Answer the flights of one cache, from what ``make_source`` leads to; its methods run in the host's loop."""

    def __init__(
        self,
        cache: PromptCache,
        make_source: Callable[[], PromptSource],
        *,
        jitter: Callable[[float, float], float],
        clock: Callable[[], int] = monotonic_ns,
        copies: tuple[Path, int] | None = None,
        longest: float = LONGEST_FETCH,
    ) -> None:
        self._cache = cache
        self._make_source = make_source
        self._jitter = jitter
        self._clock = clock
        self._copies = copies
        """The directory of copies, and how many there may be."""
        self._longest = longest
        self._lives: dict[asyncio.AbstractEventLoop, _Life] = {}
        self._since: int | None = None
        """The number of the last change in the feed; None where it was never read."""
        self._silent_until_ns = 0
        """Until when the store is not asked what has changed, because it does not tell."""
        self._last_ns = 0

    async def fly(self, flight: Flight) -> None:
        """Answer one flight, whatever happens."""
        try:
            await self._fetch(flight)
        except asyncio.CancelledError:
            self._cache.fail(flight, BackendUnavailable("the program is ending", "ask again in another"))
            raise
        except BaseException as error:  # noqa: BLE001 - a store may raise anything, and somebody waits for an answer
            self._cache.fail(flight, error)

    async def close(self) -> None:
        """Let go of what belongs to this loop."""
        life = self._lives.pop(asyncio.get_running_loop(), None)
        if life is None:
            return
        if life.feed is not None:
            life.feed.cancel()
        if life.opening is not None:
            life.opening.cancel()
            with contextlib.suppress(Exception):
                await _bounded(life.source.close(), _CLOSING)

    @property
    def listens(self) -> bool:
        """Return whether somebody listens to what changes: there is a use for it, and the thread goes on."""
        return any(life.feed is not None and not life.feed.done() for life in list(self._lives.values()))

    def begin_anew(self) -> None:
        """Forget, in a forked child, what belongs to the parent's loop."""
        self._lives.clear()

    # -- one flight ---------------------------------------------------------------------------------------------------

    async def _fetch(self, flight: Flight) -> None:
        self._last_ns = self._clock()
        life = self._life()
        if flight.cold:
            self._serve_copy(life, flight)
        if flight.only_copy:
            return
        try:
            prompt = await self._asked_until_answered(life, flight)
        except NotFound:
            if life.disk is not None:
                life.disk.forget(flight.key)
            raise
        is_current = self._cache.land(flight, prompt)
        if life.disk is not None:
            life.disk.write(flight.key, prompt)
        if not is_current:
            self._cache.refresh([flight.key])

    async def _asked_until_answered(self, life: _Life, flight: Flight) -> Prompt:
        """Return what the store answers, after failures that may pass, too, while somebody waits."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._asked(life, flight)
            except Exception as error:
                wait = max(self._jitter(pause / 2, pause), asked_for(getattr(error, "retry_after", None)))
                if not self._again(flight, error, wait):
                    raise
            await asyncio.sleep(wait)
            pause *= 2

    def _life(self) -> _Life:
        loop = asyncio.get_running_loop()
        life = self._lives.get(loop)
        if life is None:
            source = self._make_source()
            life = self._lives[loop] = _Life(source, asyncio.Semaphore(_AT_ONCE))
            if self._copies is not None:
                directory, most = self._copies
                life.disk = PromptDisk(directory, location=source.location, project=source.project, most=most)
        return life

    def _serve_copy(self, life: _Life, flight: Flight) -> None:
        found = None if life.disk is None else life.disk.read(flight.key)
        with contextlib.suppress(BackendRejected):  # a copy of what was no prompt
            if found is not None:
                self._cache.land(flight, found, from_disk=True)
                return
        self._cache.no_copy(flight)

    def _again(self, flight: Flight, error: Exception, wait: float) -> bool:
        """Return whether to ask again after so many seconds: somebody waits that long, and it may help."""
        passes = isinstance(error, BackendUnavailable) or not isinstance(error, TracecoreError)
        if not passes or flight.answered or flight.probing:
            return False
        return flight.cold and self._cache.patience(flight, self._cache.wait_ns) > wait

    async def _asked(self, life: _Life, flight: Flight) -> Prompt:
        """Return what the store answers."""
        name, version, label = flight.key
        await _bounded(life.room.acquire(), self._longest)
        try:
            store = await self._store(life)
            if version is None:
                await self._feed(life, store)
            flight.asked_ns = self._clock()
            asking = store.get(life.source.project, name, version=version, label=label)
            return await _bounded(asking, self._longest)
        finally:
            life.room.release()

    async def _store(self, life: _Life) -> PromptStore:
        """Return the store, opened by whoever needs it first."""
        opening = life.opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = life.opening = asyncio.create_task(_tamed(life.source.open()))
        done, _ = await asyncio.wait({opening}, timeout=self._longest)
        if not done:
            opening.cancel()
            raise _too_late(self._longest)
        if opening.cancelled():
            raise BackendUnavailable("opening the store of prompts was cancelled")
        return opening.result()

    # -- what changes -------------------------------------------------------------------------------------------------

    async def _feed(self, life: _Life, store: PromptStore) -> None:
        """Begin to listen, if nobody does; wait a moment until that has begun."""
        if self._clock() < self._silent_until_ns:
            return
        if life.feed is None or life.feed.done():
            life.feeding = asyncio.Event()
            if self._since is not None:  # whatever has changed since will be told of: nobody waits for that
                life.feeding.set()
            life.feed = asyncio.create_task(self._listen(life.source.project, store, life.feeding))
        if life.feeding is not None and not life.feeding.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FEED_BEGINS):
                    await life.feeding.wait()

    async def _listen(self, project: str, store: PromptStore, feeding: asyncio.Event) -> None:
        breaker = Breaker(self._clock, lambda low, high: self._jitter(max(low, high / 2), high), first_wait=0.5)
        try:
            while self._clock() - self._last_ns < max(_FEED_IDLE_NS, 2 * self._cache.ttl_ns):
                try:
                    pause = await self._heard(project, store, feeding)
                    breaker.succeeded()
                except (BackendRejected, NotImplementedError, AttributeError):
                    self._silent_until_ns = self._clock() + _SILENCE_NS
                    return
                except Exception as error:  # noqa: BLE001 - whatever it is, prompts are served as if nobody told
                    pause = breaker.failed(getattr(error, "retry_after", None))
                    feeding.set()
                await asyncio.sleep(pause)
        finally:
            feeding.set()

    async def _heard(self, project: str, store: PromptStore, feeding: asyncio.Event) -> float:
        """Ask once what has changed, and refresh that; return for how many seconds not to ask again."""
        since, began = self._since, self._clock()
        wait = 0.0 if since is None else _FEED_WAIT
        feed: Any = await _bounded(store.changes(project, since or 0, wait=wait), wait + _FEED_GRACE)
        if type(feed) is not PromptFeed or type(feed.number) is not int:
            raise BackendRejected("a feed of prompts must answer with a PromptFeed")
        if since is None:
            self._cache.distrust_before(self._clock())
        touched = [] if since is None or feed.number == since else self._cache.news(_names(feed, since))
        self._since = feed.number  # not earlier: a child that is forked in between is told again
        self._cache.refresh(touched)
        if since is not None and feed.number != since:
            return _FEED_PAUSE / 6 if feed.names is not None else _ALL_CHANGED_PAUSE
        feeding.set()
        return 0.0 if wait and self._clock() - began > _FEED_PAUSE * 1e9 else _FEED_PAUSE


def _names(feed: PromptFeed, since: int) -> tuple[str, ...] | None:
    """Return whose news it is; None of everything: a number that went back is that of another store."""
    return feed.names if feed.number > since else None


async def _bounded(work: Awaitable[T], seconds: float) -> T:
    """Return what a store answers within so many seconds; after that leave it alone, cancelled or not."""
    task = asyncio.ensure_future(_tamed(work))
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise _too_late(seconds)
        if task.cancelled():
            raise BackendUnavailable("the store of prompts has cancelled its own answer")
        return task.result()
    finally:
        if task.done():
            _disregard(task)  # who waited may have been cancelled at this very moment
        else:
            task.cancel()
            task.add_done_callback(_disregard)


async def _tamed(work: Awaitable[T]) -> T:
    """Wait for a store; what would end the whole loop is an error like any other."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise BackendUnavailable(f"the store of prompts has raised {named_error(error)}") from error


def _disregard(task: asyncio.Future[Any]) -> None:
    """Take note of what became of a task that nobody waits for, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()


def _too_late(seconds: float) -> BackendUnavailable:
    return BackendUnavailable(f"the store of prompts has not answered within {seconds:g} s", "look why it is slow")
