"""The reference catalog: entries in a dict, and what the contract says of them in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

from msgspec.structs import replace

from tracecore.catalog import (
    CatalogPage,
    CatalogQuery,
    Change,
    Entry,
    Put,
    catalog_page,
    check_commit,
    check_page,
    conflict_of_name,
    conflict_of_revision,
)

__all__ = ["Entries", "MemoryCatalog"]

_Key: TypeAlias = tuple[str, str, str]
Entries: TypeAlias = dict[_Key, Entry]
"""Every entry by project, kind and id."""


class MemoryCatalog:
    """Keep entries in this process; see :class:`tracecore.catalog.CatalogStore`."""

    def __init__(self, entries: Callable[[], Entries], check_writable: Callable[[], None]) -> None:
        self._entries = entries
        self._check_writable = check_writable

    async def get(self, project: str, kind: str, id: str) -> Entry | None:  # noqa: A002 - the name of the field
        """Return one entry with its attachment, or None."""
        return self._entries().get((project, kind, id))

    async def named(self, project: str, kind: str, name: str) -> Entry | None:
        """Return the entry of that name, or None."""
        return next((entry for entry in self._of(project, kind) if entry.name == name), None)

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Return one page of entries."""
        check_page(query)
        found = [entry for entry in self._of(project, query.kind) if _matches(entry, query)]
        found.sort(key=lambda entry: (entry.position, entry.id), reverse=not query.ascending)
        page = _within(found[query.offset : query.offset + query.limit], query.max_bytes)
        return catalog_page(query, [replace(entry, attachment=b"") for entry in page], len(found))

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes, or none."""
        self._check_writable()
        check_commit(changes)
        entries = self._entries()
        changed = dict(entries)
        for change in changes:
            _apply(changed, change)
        entries.clear()
        entries.update(changed)

    def _of(self, project: str, kind: str) -> list[Entry]:
        return [entry for entry in self._entries().values() if (entry.project, entry.kind) == (project, kind)]


def _within(entries: list[Entry], max_bytes: int) -> list[Entry]:
    """Return the first entries: as many as are not longer together, and one at least."""
    lengths = accumulate(memoryview(entry.body).nbytes for entry in entries)
    return entries[: max(1, sum(length <= max_bytes for length in lengths))]


def _matches(entry: Entry, query: CatalogQuery) -> bool:
    return (
        (query.parent is None or entry.parent == query.parent)
        and (query.name is None or entry.name == query.name)
        and (query.prefix is None or (entry.name is not None and entry.name.startswith(query.prefix)))
        and set(query.refs) <= set(entry.refs)
        and (query.at_ns is None or _held(entry, query.at_ns))
        and (query.min_position is None or entry.position >= query.min_position)
        and (query.max_position is None or entry.position <= query.max_position)
    )


def _held(entry: Entry, at_ns: int) -> bool:
    return entry.since_ns <= at_ns and (entry.until_ns is None or at_ns < entry.until_ns)


def _apply(entries: Entries, change: Change) -> None:
    said = change.entry if isinstance(change, Put) else change
    key: Final = (said.project, said.kind, said.id)
    known = entries.get(key)
    revision = 0 if known is None else known.revision
    if change.expected is not None and change.expected != revision:
        raise conflict_of_revision(said.kind, said.id, change.expected, revision)
    if not isinstance(change, Put):
        entries.pop(key, None)
        return
    entry = replace(change.entry, refs=tuple(dict.fromkeys(change.entry.refs)), revision=revision + 1)
    if entry.name is not None:
        for other, there in entries.items():
            if other[:2] == key[:2] and other != key and there.name == entry.name:
                raise conflict_of_name(entry.kind, entry.name)
    entries[key] = entry
