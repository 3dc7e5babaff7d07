"""Which cache of prompts serves whom: one for each store and project, all fed by one thread.

A cache is found through the recorder of the caller's context, as a span finds its route; recorders with the same
settings share it. It lives as long as one of them does. After a fork a child keeps what its parent knew, and asks for
itself.
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from tracecore.backend import Backend
from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.context import INHERITED
from tracecore.default import DEFAULT
from tracecore.errors import ConfigError
from tracecore.forks import watch
from tracecore.prompt_cache import GUARD, Flight, PromptCache, fresh_error
from tracecore.prompt_host import PromptHost
from tracecore.prompts import PromptStore
from tracecore.recorder import Recorder

if TYPE_CHECKING:
    from tracecore.prompt_fetching import PromptFetcher
    from tracecore.prompt_sources import PromptSource

__all__ = ["REGISTRY", "Registry", "use_store"]

_LONGEST_FORK: Final = 2.0
"""Seconds that a fork waits at most for who is changing what is known."""
_WRONG_NS: Final = 10_000_000_000
_OWN_DATA: Final = "memory:"
"""Where a backend says to be whose data no URL leads to."""


class _Given:
    """Stand for a recorder whose store was given as an object."""

    def __init__(self, prompts: PromptCache) -> None:
        self.prompts = prompts


class _Desk:
    """Have the flights of one cache answered: what does that is imported, and made, by the thread that fetches."""

    cache: PromptCache
    """Whose flights they are; set by whoever makes both."""

    def __init__(
        self,
        make_source: Callable[[], PromptSource],
        copies: tuple[Path, int] | None,
        importing: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._make_source = make_source
        self._copies = copies
        self._importing = importing
        """Return what is held while something is imported, so that nobody forks in the middle of that."""
        self._fetcher: PromptFetcher | None = None

    async def fly(self, flight: Flight) -> None:
        """Answer a flight, whatever happens."""
        try:
            with self._importing():
                fetcher = self._made()
        except BaseException as error:  # noqa: BLE001 - somebody waits for an answer
            self.cache.fail(flight, error)
            return
        await fetcher.fly(flight)

    async def close(self) -> None:
        """Let go of what belongs to this loop."""
        if self._fetcher is not None:
            await self._fetcher.close()

    @property
    def listens(self) -> bool:
        """Return whether somebody listens to what changes."""
        return self._fetcher is not None and self._fetcher.listens

    def begin_anew(self) -> None:
        """Forget, in a forked child, what the parent was doing."""
        self.cache.begin_anew()
        if self._fetcher is not None:
            self._fetcher.begin_anew()

    def _made(self) -> PromptFetcher:
        if self._fetcher is None:
            from tracecore.prompt_fetching import PromptFetcher  # noqa: PLC0415 - see the class

            def make_source() -> PromptSource:
                with self._importing():
                    return self._make_source()

            self._fetcher = PromptFetcher(self.cache, make_source, jitter=random.uniform, copies=self._copies)
        return self._fetcher


class Registry:
    """Hold the caches, and the thread that feeds them."""

    def __init__(self) -> None:
        self.given: _Given | None = None
        """What serves all, whatever their recorders are."""
        self.prompts: PromptCache | None = None
        """What serves those without a recorder."""
        self.host = PromptHost(on_end=self._close_stores, is_needed=self._listens)
        self._by_settings: weakref.WeakValueDictionary[object, PromptCache] = weakref.WeakValueDictionary()
        self._desks: weakref.WeakSet[_Desk] = weakref.WeakSet()
        self._at_work: set[_Desk] = set()
        """Who may have a store open."""
        self._forking = threading.local()
        self._importing = threading.RLock()
        """Held by the thread that makes a backend, which imports it: no child begins with the half of a module."""
        self._wrong: tuple[ConfigError | None, int] = None, 0
        """Why there is no configuration, and until when that is remembered."""

    def cache(self) -> PromptCache:
        """Return the cache of the caller's context.

        Raises:
            ConfigError: there is no recorder, and the configuration that one would have is wrong.
        """
        holder: Any = self.given or INHERITED.get().recorder or DEFAULT.recorder or self
        if holder.prompts is None:
            made = self._cache_of(holder) if isinstance(holder, Recorder) else self._cache_of_nobody()
            with GUARD.lock:
                if holder.prompts is None:
                    holder.prompts = made
        return cast("PromptCache", holder.prompts)

    def new_cache(self, make_source: Callable[[], PromptSource], config: Config) -> PromptCache:
        """Return a new cache of what ``make_source`` leads to."""
        watch(before=self._before_fork, in_parent=self._in_parent, in_child=self._in_child)
        copies = None
        if config.prompt_cache_dir is not None:
            copies = Path(config.prompt_cache_dir).absolute(), config.prompt_cache_items
        desk = _Desk(make_source, copies, lambda: self._importing)

        def launch(flight: Flight) -> None:
            with GUARD.lock:
                self._at_work.add(desk)
            self.host.run(lambda: desk.fly(flight))

        desk.cache = PromptCache(
            launch,
            ttl=config.prompt_ttl_s,
            wait=config.prompt_wait_ms / 1e3,
            items=config.prompt_cache_items,
            jitter=random.uniform,
            copies=copies is not None,
            replace_thread=self.host.replace_thread,
        )
        self._desks.add(desk)
        return desk.cache

    def close(self, timeout: float = 2.0) -> bool:
        """End the thread, and close the stores; return whether it has ended. The next question begins another."""
        return self.host.stop(timeout)

    def _cache_of_nobody(self) -> PromptCache:
        """Return the cache of a program that has no recorder yet, and begins none by asking for a prompt."""
        error, until = self._wrong
        if error is not None and monotonic_ns() < until:
            raise fresh_error(error)
        try:
            return self._cache_for(Config.load(without=("mask",)), [])
        except ConfigError as wrong:  # files are not read again for each who asks
            self._wrong = wrong, monotonic_ns() + _WRONG_NS
            raise

    def _cache_of(self, recorder: Recorder) -> PromptCache:
        config, backends = recorder.config, recorder.backends
        own = config.prompts is None and (recorder.given or any(one.location == _OWN_DATA for one in backends))
        return self._cache_for(config, backends if own else [])

    def _cache_for(self, config: Config, backends: Sequence[Backend]) -> PromptCache:
        settings = (
            config.prompts, config.backend, config.secret, config.secret_file, config.project, config.prompt_ttl_s,
            config.prompt_wait_ms, config.prompt_cache_items, config.prompt_cache_dir,
        )  # fmt: skip
        with GUARD.lock:
            found = None if backends else self._by_settings.get(settings)
            if found is None:
                found = self.new_cache(partial(_source_of, config, backends), config)
                if not backends:
                    self._by_settings[settings] = found
            return found

    def _listens(self) -> bool:
        return any(desk.listens for desk in list(self._at_work))

    async def _close_stores(self) -> None:
        with GUARD.lock:
            desks, self._at_work = self._at_work, set()
        for desk in desks:
            await desk.close()

    def _before_fork(self) -> None:
        self.host.before_fork()
        self._forking.held = [lock for lock in (self._importing, GUARD.lock) if lock.acquire(timeout=_LONGEST_FORK)]

    def _in_parent(self) -> None:
        for lock in vars(self._forking).pop("held", ()):
            lock.release()

    def _in_child(self) -> None:
        GUARD.lock = threading.RLock()
        self._forking, self._importing = threading.local(), threading.RLock()
        self._at_work = set()
        self.host.begin_anew()
        for desk in list(self._desks):
            desk.begin_anew()


def _source_of(config: Config, backends: Sequence[Backend]) -> PromptSource:
    from tracecore.prompt_sources import source_of  # noqa: PLC0415 - in the thread that fetches

    return source_of(config, backends)


REGISTRY: Final = Registry()


def use_store(
    store: PromptStore | None, *, project: str = "default", location: str = "given", config: Config | None = None
) -> PromptCache | None:
    """Have all prompts come from one store in this process, whatever is configured: for tests and for embedders.

    Returns what is known of it, which begins empty; with None everything is again as it is configured. ``location``
    tells the copies of this store on the disk from those of others, where ``config`` names a directory for them.
    """
    if store is None:
        REGISTRY.given = None
        return None

    async def opened() -> PromptStore:
        return store

    async def closed() -> None:
        """Leave it open: it belongs to whoever gave it."""

    def made() -> PromptSource:
        from tracecore.prompt_sources import PromptSource  # noqa: PLC0415 - in the thread that fetches

        return PromptSource(location, project, opened, closed)

    cache = REGISTRY.new_cache(made, config or Config())
    REGISTRY.given = _Given(cache)
    return cache
