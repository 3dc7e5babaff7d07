"""Entries with a type: one kind of the catalog, whose bodies are one Struct."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from tracecore.backend import Backend
from tracecore.catalog import CatalogPage, CatalogQuery, CatalogStore, Catalogued, Entry
from tracecore.errors import BackendRejected, ConfigError
from tracecore.exact_json import decode, encode

__all__ = ["Kind", "catalog_of", "numbered_page"]

T = TypeVar("T", bound=Struct)
_WALKED_BYTES: Final = 4 << 20
"""Bytes of entries that are in memory at a time while all of a kind are looked at."""


class Kind(Generic[T]):
    """Read and write the bodies of one kind; what a body lacks is its type's default."""

    def __init__(self, name: str, body: type[T]) -> None:
        self.name = name
        self._body = body

    def of(self, entry: Entry) -> T:
        """Return the body of an entry."""
        return decode(bytes(entry.body), self._body)

    def body(self, value: T) -> Raw:
        """Return the body that a value is."""
        return Raw(encode(value))

    async def every(self, catalog: CatalogStore, project: str, query: CatalogQuery | None = None) -> Sequence[Entry]:
        """Return all entries of this kind; for kinds of which there are few, and short ones."""
        return [entry async for entry in self.walk(catalog, project, query)]

    async def walk(
        self, catalog: CatalogStore, project: str, query: CatalogQuery | None = None
    ) -> AsyncIterator[Entry]:
        """Yield all entries of this kind, with one page of them in memory at a time."""
        asked = msgspec.structs.replace(
            query or CatalogQuery(kind=self.name), limit=1000, offset=0, max_bytes=_WALKED_BYTES
        )
        while True:
            page = await catalog.find(project, asked)
            asked = msgspec.structs.replace(asked, offset=asked.offset + len(page.items))
            is_last = not page.items or asked.offset >= page.total
            page.items.reverse()
            while page.items:  # what was looked at need not stay in memory until the next are there
                yield page.items.pop()
            if is_last:
                return


async def numbered_page(catalog: CatalogStore, project: str, query: CatalogQuery) -> CatalogPage:
    """Return a page that is a number to whoever asks for it: what is cut off would be on no page at all.

    Raises:
        ConfigError: it is cut; with a ``limit`` of 1 none ever is.
    """
    page = await catalog.find(project, query)
    if page.is_cut:
        count, fit = min(query.limit, page.total - query.offset), len(page.items)
        too_long = f"the {count} items of this page are longer than {query.max_bytes} bytes together"
        raise ConfigError("limit", query.limit, "the request", f"{fit} at most here: {too_long}")
    return page


def catalog_of(backend: Backend) -> CatalogStore:
    """Return the catalog of a backend.

    Raises:
        BackendRejected: it keeps none.
    """
    if not isinstance(backend, Catalogued):
        raise BackendRejected(
            f"{backend.location} keeps no catalog", "name SQLite or PostgreSQL: for a server, what it serves"
        )
    return backend.catalog
