"""Stores of prompts that answer, wait, fail or lie on purpose, and caches whose answers come when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from tests.fakes import ManualClock
from tracecore.config import Config
from tracecore.errors import BackendRejected, NotFound
from tracecore.prompt_cache import Flight, PromptCache
from tracecore.prompt_registry import REGISTRY, use_store
from tracecore.prompts import Graph, Prompt, PromptFeed, PromptType, Share

__all__ = ["FakeStore", "a_prompt", "cache_of", "served_by", "waiting"]


def a_prompt(
    name: str = "greeting",
    version: int = 1,
    content: Any = "hello",
    *,
    shares: tuple[Share, ...] = (),
    graph: Graph | None = None,
) -> Prompt:
    """Return a version of a prompt: a text, or a chat where the content is a list."""
    type_: PromptType = "text" if isinstance(content, str) else "chat"
    return Prompt(
        id=f"{name}-{version}", name=name, version=version, type=type_, prompt=Raw(msgspec.json.encode(content)),
        shares=shares, graph=graph,
    )  # fmt: skip


class FakeStore:
    """Hold prompts by name, version and label; count who asks, and do before each answer what a test wants."""

    def __init__(self, *prompts: Prompt) -> None:
        self.asked: list[tuple[str, int | None, str | None]] = []
        self.labels: dict[tuple[str, str], Any] = {}
        self.versions: dict[tuple[str, int], Any] = {}
        self.before: Callable[[], Awaitable[object]] | None = None
        """Awaited before each answer; may hang or raise."""
        self.tells = False
        """Whether it tells of changes."""
        self.number = 7
        self.changed = asyncio.Event()
        self.names: tuple[str, ...] | None = ()
        self.asked_for_changes: list[int] = []
        for prompt in prompts:
            self.put(prompt)

    def put(self, prompt: Prompt, label: str = "production") -> None:
        """Publish a version with a label."""
        self.versions[prompt.name, prompt.version] = replace(prompt, shares=())
        self.labels[prompt.name, label] = prompt

    def move(self, prompt: Prompt, label: str = "production") -> None:
        """Publish a version with a label, and tell whoever listens."""
        self.put(prompt, label)
        self.number, self.names = self.number + 1, (prompt.name,)
        self.changed.set()

    async def get(
        self, project: str, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
    ) -> Prompt:
        """Return a version, as a store does."""
        self.asked.append((name, version, label))
        if self.before is not None:
            await self.before()
        found = self.labels.get((name, label or "")) if version is None else self.versions.get((name, version))
        if found is None:
            raise NotFound("prompt", name, "nothing is like it")
        return found  # type: ignore[no-any-return]  # some tests put there what is no prompt

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Tell of what has changed, if it tells anything."""
        if not self.tells:
            raise BackendRejected("this store tells of no changes")
        self.asked_for_changes.append(since)
        if since == self.number and wait:
            try:
                async with asyncio.timeout(wait):
                    await self.changed.wait()
            except TimeoutError:
                pass
            self.changed.clear()
        return PromptFeed(self.number, self.names if since != self.number else ())

    def __getattr__(self, name: str) -> Any:
        """Refuse what a cache never asks for."""
        raise AttributeError(name)


@contextmanager
def served_by(store: Any, **settings: Any) -> Iterator[PromptCache]:
    """Have ``get_prompt`` served by a store, through the real thread."""
    settings.setdefault("prompt_wait_ms", 20_000)
    cache = use_store(store, config=Config(**settings))
    assert cache is not None
    try:
        yield cache
    finally:
        use_store(None)
        assert REGISTRY.close(10)


def cache_of(
    *, ttl: float = 60.0, wait: float = 1.0, items: int = 100, most_bytes: int = 1 << 20
) -> tuple[PromptCache, list[Flight], ManualClock]:
    """Return a cache, the flights that begin, which the test answers, and the time. Chance takes the longest pause."""
    flights: list[Flight] = []
    clock = ManualClock()

    def launch(flight: Flight) -> None:
        flight.asked_ns = clock()
        flights.append(flight)

    cache = PromptCache(
        launch, ttl=ttl, wait=wait, items=items, jitter=lambda _, high: high, clock=clock, most_bytes=most_bytes
    )
    return cache, flights, clock


async def waiting() -> None:
    """Never answer."""
    await asyncio.Event().wait()
