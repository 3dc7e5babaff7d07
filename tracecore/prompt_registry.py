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
from pathlib import Path
from typing import Any, Final, cast

from tracecore.backend import Backend
from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.context import INHERITED
from tracecore.default import DEFAULT
from tracecore.errors import ConfigError
from tracecore.forks import watch
from tracecore.prompt_cache import GUARD, Flight, PromptCache, fresh_error
from tracecore.prompt_fetching import PromptFetcher
from tracecore.prompt_host import PromptHost
from tracecore.prompt_sources import PromptSource, has_own_data, source_of
from tracecore.prompts import PromptStore
from tracecore.recorder import Recorder

__all__ = ["REGISTRY", "Registry", "use_store"]

_LONGEST_FORK: Final = 2.0
"""Seconds that a fork waits at most for who is changing what is known."""
_WRONG_NS: Final = 10_000_000_000


class _Given:
    """Stand for a recorder whose store was given as an object."""

    def __init__(self, prompts: PromptCache) -> None:
        self.prompts = prompts


class Registry:
    """Hold the caches, and the thread that feeds them."""

    def __init__(self) -> None:
        self.given: _Given | None = None
        """What serves all, whatever their recorders are."""
        self.prompts: PromptCache | None = None
        """What serves those without a recorder."""
        self.host = PromptHost(
            on_end=self._close_stores, is_needed=lambda: any(one.listens for one in list(self._at_work))
        )
        self._by_settings: weakref.WeakValueDictionary[object, PromptCache] = weakref.WeakValueDictionary()
        self._fetchers: weakref.WeakSet[PromptFetcher] = weakref.WeakSet()
        self._at_work: set[PromptFetcher] = set()
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

        def made() -> PromptSource:
            with self._importing:
                return make_source()

        fetcher = PromptFetcher(made, jitter=random.uniform, copies=copies)

        def launch(flight: Flight) -> None:
            with GUARD.lock:
                self._at_work.add(fetcher)
            self.host.run(lambda: fetcher.fly(flight))

        fetcher.cache = PromptCache(
            launch,
            ttl=config.prompt_ttl_s,
            wait=config.prompt_wait_ms / 1e3,
            items=config.prompt_cache_items,
            jitter=random.uniform,
            copies=copies is not None,
            replace_thread=self.host.replace_thread,
        )
        self._fetchers.add(fetcher)
        return fetcher.cache

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
        own = config.prompts is None and (recorder.given or any(map(has_own_data, backends)))
        return self._cache_for(config, backends if own else [])

    def _cache_for(self, config: Config, backends: Sequence[Backend]) -> PromptCache:
        settings = (
            config.prompts, config.backend, config.secret, config.secret_file, config.project, config.prompt_ttl_s,
            config.prompt_wait_ms, config.prompt_cache_items, config.prompt_cache_dir,
        )  # fmt: skip
        with GUARD.lock:
            found = None if backends else self._by_settings.get(settings)
            if found is None:
                found = self.new_cache(lambda: source_of(config, backends), config)
                if not backends:
                    self._by_settings[settings] = found
            return found

    def _listens(self) -> bool:
        return any(fetcher.listens for fetcher in list(self._at_work))

    async def _close_stores(self) -> None:
        with GUARD.lock:
            fetchers, self._at_work = self._at_work, set()
        for fetcher in fetchers:
            await fetcher.close()

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
        for fetcher in list(self._fetchers):
            fetcher.begin_anew()
            fetcher.cache.begin_anew()


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

    source = PromptSource(location, project, opened, closed)
    cache = REGISTRY.new_cache(lambda: source, config or Config())
    REGISTRY.given = _Given(cache)
    return cache
