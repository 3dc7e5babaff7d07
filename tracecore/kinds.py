"""Entries with a type: one kind of the catalog, whose bodies are one Struct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from tracecore.backend import Backend
from tracecore.catalog import CatalogQuery, CatalogStore, Catalogued, Entry
from tracecore.errors import BackendRejected
from tracecore.exact_json import decode, encode

__all__ = ["Kind", "catalog_of"]

T = TypeVar("T", bound=Struct)


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
        """Return all entries of this kind, page by page; for kinds of which there are few."""
        asked = msgspec.structs.replace(query or CatalogQuery(kind=self.name), limit=1000, offset=0)
        found: list[Entry] = []
        while True:
            page = await catalog.find(project, msgspec.structs.replace(asked, offset=len(found)))
            found += page.items
            if not page.items or len(found) >= page.total:
                return found


def catalog_of(backend: Backend) -> CatalogStore:
    """Return the catalog of a backend.

    Raises:
        BackendRejected: it keeps none.
    """
    if not isinstance(backend, Catalogued):
        raise BackendRejected(f"{backend.location} keeps no catalog", "use SQLite or PostgreSQL")
    return backend.catalog
