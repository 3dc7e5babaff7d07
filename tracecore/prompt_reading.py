"""Reading prompts from a catalog: one version, lists of names, what became of a name, and what has changed lately."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias

from msgspec import Raw
from msgspec.structs import replace

from tracecore.catalog import CatalogQuery, CatalogStore
from tracecore.composition import Reference, resolved
from tracecore.errors import ConfigError, NotFound
from tracecore.kinds import numbered_page
from tracecore.prompt_contents import REQUEST
from tracecore.prompt_feed import feed_entry, feed_of, with_holders
from tracecore.prompt_heads import KeptVersion, PromptHead, heads, key_of, moves, prompt_of, summary_of, versions
from tracecore.prompt_hints import no_label, no_name, no_version
from tracecore.prompts import PRODUCTION, Prompt, PromptFeed, PromptHistory, PromptPage, PromptQuery

__all__ = ["Pause", "PromptReading", "check_one"]

Pause: TypeAlias = Callable[[float], Awaitable[None]]
"""Returns after so many seconds."""
_TRIES: Final = 100
"""How often a version that has gone since its head was read is looked for anew."""
_LOOK_EVERY_S: Final = 0.3
"""Between two looks at the feed by who waits for it."""
_LONGEST_WAIT_S: Final = 3600.0


class PromptReading:
    """Read what a catalog keeps of prompts; see :class:`tracecore.prompts.PromptStore`."""

    def __init__(self, catalog: CatalogStore, *, pause: Pause = asyncio.sleep) -> None:
        self._catalog = catalog
        self._pause = pause

    async def get(
        self, project: str, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
    ) -> Prompt:
        """Return a version: by its number, or by a label, which is ``production`` unless one is named."""
        check_one(version, label)
        wanted = Reference(name, version, (label or PRODUCTION) if version is None else None)
        prompt = await self._find(project, wanted)
        if prompt is None:
            raise await self._missing(project, wanted)
        if not resolve:
            return prompt
        whole, graph = await resolved(prompt, lambda inner: self._find(project, inner))
        return replace(prompt, prompt=whole, graph=graph)

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Return one page of names."""
        folder = (query.folder or "").rstrip("/")
        refs = [f"label:{query.label}"] if query.label is not None else []
        refs += [f"tag:{query.tag}"] if query.tag is not None else []
        asked = CatalogQuery(
            kind=heads.name, name=query.name, prefix=f"{folder}/" if folder else None, refs=tuple(refs),
            min_position=query.since_ns, max_position=None if query.until_ns is None else query.until_ns - 1,
            limit=query.limit, offset=query.offset,
        )  # fmt: skip
        page = await numbered_page(self._catalog, project, asked)
        return PromptPage([summary_of(entry.id, heads.of(entry)) for entry in page.items], page.total)

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Return the newest versions and moves of a name; of one that was deleted the moves."""
        entry = await self._catalog.get(project, heads.name, name)
        head = None if entry is None else heads.of(entry)
        last = None if head is None else head.moved
        asked = CatalogQuery(kind=moves.name, parent=name, max_position=last, limit=limit)
        moved = [moves.of(one) for one in (await self._catalog.find(project, asked)).items]
        if head is None:
            if not moved:
                raise await no_name(self._catalog, project, name)
            return PromptHistory([], moved)
        page = await self._catalog.find(project, CatalogQuery(kind=versions.name, parent=name, limit=limit))
        there = [one for one in page.items if one.position in head.versions]
        return PromptHistory([prompt_of(name, one.position, head, versions.of(one)) for one in there], moved)

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Return what has changed since, or wait up to so many seconds until something has."""
        if not 0 <= wait <= _LONGEST_WAIT_S:
            raise ConfigError("wait", wait, REQUEST, f"0 to {_LONGEST_WAIT_S:.0f} seconds")
        while True:
            feed = feed_of(await feed_entry(self._catalog, project))
            names = feed.since(since)
            if names != () or wait <= 0:
                if names:
                    names = await with_holders(self._catalog, project, names)
                return PromptFeed(feed.number, names)
            await self._pause(min(wait, _LOOK_EVERY_S))
            wait -= _LOOK_EVERY_S

    async def every(self, project: str) -> AsyncIterator[Prompt]:
        """Yield every version of every name, with nothing inserted, for what no index of the catalog knows."""
        known = {
            entry.id: replace(heads.of(entry), last_config=Raw(b"{}"))  # which may be long, and is not asked for
            async for entry in heads.walk(self._catalog, project)
        }
        async for entry in versions.walk(self._catalog, project):
            head = known.get(entry.parent or "")
            if head is not None and entry.position in head.versions:
                yield prompt_of(entry.parent or "", entry.position, head, versions.of(entry))
            del entry  # it may be long, and the next one is read now

    async def _find(
        self, project: str, wanted: Reference, known: tuple[str, PromptHead] | None = None
    ) -> Prompt | None:
        """Return what a reference names, or None; of one name the head may be known, as it is to be."""
        for _ in range(_TRIES):
            is_known = known is not None and known[0] == wanted.name
            head = known[1] if known is not None and is_known else await self._head(project, wanted.name)
            if head is None:
                return None
            version = wanted.version if wanted.label is None else head.version_of(wanted.label)
            if version is None or version not in head.versions:
                return None
            found = await self._version(project, wanted.name, version)
            if found is not None:
                return prompt_of(wanted.name, version, head, found, wanted.label)
            if is_known:
                return None
        return None  # deleted and published anew again and again

    def _finder(self, project: str, name: str, head: PromptHead) -> Callable[[Reference], Awaitable[Prompt | None]]:
        """Return what finds prompts as they will be, when a name has this head."""
        return lambda wanted: self._find(project, wanted, (name, head))

    async def _head(self, project: str, name: str) -> PromptHead | None:
        entry = await self._catalog.get(project, heads.name, name)
        return None if entry is None else heads.of(entry)

    async def _version(self, project: str, name: str, version: int) -> KeptVersion | None:
        entry = await self._catalog.get(project, versions.name, key_of(name, version))
        return None if entry is None else versions.of(entry)

    async def _missing(self, project: str, wanted: Reference) -> NotFound:
        """Return the error for what is not there."""
        head = await self._head(project, wanted.name)
        if head is None:
            return await no_name(self._catalog, project, wanted.name)
        if wanted.label is not None:
            return no_label(wanted.name, wanted.label, head)
        return no_version(wanted.name, wanted.version or 0, head)


def check_one(version: int | None, label: str | None) -> None:
    """Refuse a version and a label at once.

    Raises:
        ConfigError: both are named.
    """
    if version is not None and label is not None:
        raise ConfigError("label", label, REQUEST, "a version or a label, not both")
