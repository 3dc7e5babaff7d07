"""The part of the suite of catalogs that is about how long pages are: what a list brings into memory has a bound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from tracecore.backend import Backend
from tracecore.catalog import LARGEST_LIST, CatalogPage, CatalogQuery, CatalogStore, Catalogued, Entry, Put
from tracecore.testing.comparing import same
from tracecore.testing.contract import Contract
from tracecore.testing.opening import MakeBackend, opened
from tracecore.testing.samples import PROJECT, json_of

__all__ = ["CatalogLengthSuite", "catalog_in"]

_KIND: Final = "long"
_LENGTHS: Final = (40, 30, 31, 500, 2, 2, 96)
"""Bytes of the bodies of entries, in the order of lists."""
_CUTS: Final[dict[int, Sequence[str]]] = {
    100: ("01", "2", "3", "456"), 101: ("012", "3", "456"), 39: ("0", "1", "2", "3", "45", "6"), 1: "0123456",
}  # fmt: skip
"""By the bytes of a page, the entries on one page after the other."""
_MORE: Final[tuple[dict[str, Any], ...]] = ({}, {"parent": "p"}, {"refs": ("r",)})


def catalog_in(backend: Backend) -> CatalogStore:
    """Return the catalog, which must be there."""
    assert isinstance(backend, Catalogued), "the backend has no catalog, though its tests have joined the suite of it"
    return backend.catalog


def _entry(number: int, length: int) -> Entry:
    return Entry(
        project=PROJECT, kind=_KIND, id=str(number), body=json_of("x" * (length - 2)), position=-number, parent="p",
        refs=("r",), revision=1,
    )  # fmt: skip


class CatalogLengthSuite(Contract):
    """Prove that a page ends where it would become too long."""

    async def test_a_page_ends_where_its_bodies_are_long_enough(self, make: MakeBackend) -> None:
        """CatalogQuery.max_bytes: "A page ends before the entry with which its bodies would be longer together"."""
        entries = [_entry(number, length) for number, length in enumerate(_LENGTHS)]
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit([Put(entry) for entry in entries])
            for (max_bytes, pages), more in product(_CUTS.items(), _MORE):
                seen = 0
                for page in pages:
                    asked = CatalogQuery(kind=_KIND, max_bytes=max_bytes, offset=seen, **more)
                    seen += len(page)
                    expected = CatalogPage([entries[int(one)] for one in page], len(entries), seen < len(entries))
                    same(await catalog.find(PROJECT, asked), expected, asked)

    async def test_a_page_that_its_limit_ends_is_not_cut(self, make: MakeBackend) -> None:
        """CatalogPage.is_cut: "It ends early because of max_bytes", and not because of its limit, in either order."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            await catalog.commit([Put(_entry(number, length)) for number, length in enumerate(_LENGTHS)])
            for ascending, limit, ids, is_cut in (
                (False, 2, "01", False), (False, 3, "01", True), (True, 3, "654", False), (True, 4, "654", True)
            ):  # fmt: skip
                asked = CatalogQuery(kind=_KIND, max_bytes=100, limit=limit, ascending=ascending)
                page = await catalog.find(PROJECT, asked)
                same(("".join(entry.id for entry in page.items), page.is_cut), (ids, is_cut), asked)
            behind = await catalog.find(PROJECT, CatalogQuery(kind=_KIND, max_bytes=1, offset=1000))
            same(behind, CatalogPage([], len(_LENGTHS)))

    async def test_a_page_has_a_bound_by_itself(self, make: MakeBackend) -> None:
        """LARGEST_LIST: "Bytes of the bodies of one page, at most, unless a query says another number"."""
        async with opened(make()) as backend:
            catalog = catalog_in(backend)
            for number in range(4):
                await catalog.commit([Put(_entry(number, LARGEST_LIST // 3))])
            page = await catalog.find(PROJECT, CatalogQuery(kind=_KIND))
            same(("".join(entry.id for entry in page.items), page.total, page.is_cut), ("012", 4, True))
