"""What is kept of each prompt, and of each question that is under way; which of them are forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from msgspec import Struct, field

from tracecore.errors import TracecoreError
from tracecore.prompts import Share
from tracecore.served_prompts import ServedPrompt

__all__ = ["MOST_BYTES", "Entry", "Flight", "Key", "Shelf", "is_older", "remember"]

Key: TypeAlias = tuple[str, int | None, str | None]
"""A name, and the version or the label that is asked for."""

MOST_BYTES: Final = 64 * 2**20
"""What all prompts of a cache hold at most; one that is larger by itself is kept alone."""
_MOST_REMEMBERED: Final = 1_000
"""Keys of which it is remembered that they are missing, or that they could not be read."""


class Entry(Struct, eq=False, kw_only=True):
    """Hold one answer of the store."""

    served: ServedPrompt
    kind: type[object]
    """``str`` of a text, ``list`` of a chat: the class that a fallback has, usually."""
    quick_until: int
    """Until when, in monotonic ns, it is served without a second look: 0 where it must always be looked at."""
    changing: bool
    """Whether the store may answer something else later."""
    made_of: frozenset[str]
    """The names of the prompts that are in it, its own too."""
    shares: tuple[Share, ...] = ()
    outdated: bool = False
    """Whether there is news of it, or nobody knows how old it is."""
    must_ask: bool = False
    """Whether it is served only if the store cannot be asked."""
    used: bool = False
    """Whether it has been served since it was last looked at for eviction."""
    as_stale: ServedPrompt | None = None
    chosen: dict[int, tuple[ServedPrompt, ServedPrompt]] = field(default_factory=dict[int, Any])
    """The versions that its label is split between, by number: as they are known, and as they are served for it."""


class Flight(Struct, eq=False, kw_only=True):
    """Hold one question to the store, and who waits for its answer."""

    key: Key
    started_ns: int
    cold: bool
    """Whether nothing was known when it began."""
    probing: bool = False
    """Whether the last attempt has failed: who has something else to serve does not wait for this one."""
    asked_ns: int = 0
    """When the store was asked, the last time."""
    late: bool = False
    """Whether somebody has waited for it as long as one may."""
    outdated: bool = False
    """Whether there was news of its name while it was under way."""
    news: set[str] = field(default_factory=set[str])
    """Other names of which there was news; they may be in the prompt that it brings."""
    only_copy: bool = False
    """Whether the disk is looked at, and the store not asked: it is not its time."""
    unwanted: bool = False
    """Whether somebody has said meanwhile that what is known is not to be served."""
    ended: bool = False
    entry: Entry | None = None
    error: TracecoreError | None = None
    listeners: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    @property
    def answered(self) -> bool:
        """Return whether there is nothing to wait for any more."""
        return self.ended or self.entry is not None


class Shelf:
    """Hold so many entries and so many bytes at most; whoever calls holds the lock, but for a look into ``known``."""

    def __init__(self, items: int, most_bytes: int) -> None:
        self.known: Final[OrderedDict[Key, Entry]] = OrderedDict()
        self._items = items
        self._most_bytes = most_bytes
        self._bytes = 0

    def keep(self, key: Key, entry: Entry) -> None:
        """Keep an entry in place of the one that is there, and forget others where that is too much."""
        before = self.known.get(key)
        self._bytes += entry.served.size - (0 if before is None else before.served.size)
        self.known[key] = entry
        self.known.move_to_end(key)
        # A second chance for each that was used since the last look, but no third: whoever uses them goes on meanwhile.
        for _ in range(2 * len(self.known)):
            if len(self.known) <= 1 or (len(self.known) <= self._items and self._bytes <= self._most_bytes):
                break
            oldest, looked_at = next(iter(self.known.items()))
            if looked_at.used or oldest == key:
                looked_at.used = False
                self.known.move_to_end(oldest)
            else:
                self.drop(oldest)

    def drop(self, key: Key) -> None:
        """Forget an entry."""
        entry = self.known.pop(key, None)
        if entry is not None:
            self._bytes -= entry.served.size

    def touched(self, names: Collection[str] | None) -> dict[Key, Entry]:
        """Return what is known of some names, and what they are inserted into."""
        if names is None:
            return dict(self.known)
        wanted = frozenset(names)
        return {key: entry for key, entry in self.known.items() if not wanted.isdisjoint(entry.made_of)}


def is_older(one: Entry, other: Entry) -> bool:
    """Return whether an answer is of an earlier moment than another, or there was news between the two."""
    if one.served.fetched_ns != other.served.fetched_ns:
        return one.served.fetched_ns < other.served.fetched_ns
    return (one.outdated or one.must_ask) and not (other.outdated or other.must_ask)


def remember(known: dict[Key, Any], key: Key, value: object) -> None:
    """Remember something, and forget the oldest where that is too much."""
    known.pop(key, None)
    known[key] = value
    if len(known) > _MOST_REMEMBERED:
        del known[next(iter(known))]
