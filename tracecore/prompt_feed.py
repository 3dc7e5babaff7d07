"""What has changed lately among the prompts of a project: one entry, written with each change and in its commit.

So its number grows by one with each change, and whoever knows a number learns from that one entry whose prompts have
changed since; a change is never there without its number, nor the number without the change.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tracecore.catalog import CatalogQuery, CatalogStore, Entry, Put
from tracecore.composition import DEEPEST
from tracecore.kinds import Kind
from tracecore.prompt_heads import heads

__all__ = ["Feed", "feed_entry", "feed_of", "put_of_feed", "with_holders"]

_REMEMBERED: Final = 100
"""Changes whose names are kept."""
_MOST_NAMES: Final = 1000
"""That are told at once; where there are more, each may have changed."""
_ID: Final = "feed"


class Feed(Struct, frozen=True, omit_defaults=True):
    """Hold how many changes there were, and the names of the last ones, the last one last."""

    number: int = 0
    names: tuple[str, ...] = ()

    def since(self, number: int) -> tuple[str, ...] | None:
        """Return the names that have changed since a number, each once; None where that is not known."""
        count = self.number - number
        if number < 0 or not 0 <= count <= len(self.names):
            return None
        return tuple(dict.fromkeys(self.names[len(self.names) - count :]))


_feeds: Final = Kind("prompt-feed", Feed)


async def feed_entry(catalog: CatalogStore, project: str) -> Entry | None:
    """Return the entry of a project's feed, or None where nothing has changed yet."""
    return await catalog.get(project, _feeds.name, _ID)


def feed_of(entry: Entry | None) -> Feed:
    """Return the feed that an entry is."""
    return Feed() if entry is None else _feeds.of(entry)


def put_of_feed(project: str, name: str, known: Entry | None) -> Put:
    """Return the change that counts a change of a name, on condition that nobody else has counted one meanwhile."""
    feed = feed_of(known)
    grown = Feed(feed.number + 1, (*feed.names, name)[-_REMEMBERED:])
    entry = Entry(project=project, kind=_feeds.name, id=_ID, body=_feeds.body(grown), position=grown.number)
    return Put(entry, 0 if known is None else known.revision)


async def with_holders(catalog: CatalogStore, project: str, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return names and those whose prompts insert them, which read differently now; None where there are many."""
    found = dict.fromkeys(names)
    last = list(found)
    for _ in range(DEEPEST):
        holders: list[str] = []
        for name in last:
            asked = CatalogQuery(kind=heads.name, refs=(f"inserts:{name}",), limit=_MOST_NAMES)
            page = await catalog.find(project, asked)
            if len(found) + page.total > _MOST_NAMES or page.is_cut:
                return None
            holders += [entry.id for entry in page.items if entry.id not in found]
            found.update(dict.fromkeys(holders))
        last = holders
    return tuple(found)
