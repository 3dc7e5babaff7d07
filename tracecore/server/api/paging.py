"""Pages that are numbered, as most lists of Langfuse's API are: ``page`` from 1, ``limit``, and how many there are."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogQuery

__all__ = ["PageLimit", "PageMeta", "PageNumber", "Paging", "page_meta", "paged"]

_LARGEST: Final = 100
_LAST: Final = 1_000_000_000


PageNumber: TypeAlias = Annotated[int, Meta(ge=1, le=_LAST)]
PageLimit: TypeAlias = Annotated[int, Meta(ge=1, le=_LARGEST)]


class Paging(Struct, frozen=True, kw_only=True, rename="camel"):
    """Say which page of a list is asked for; the queries of lists begin with it."""

    page: PageNumber = 1
    limit: PageLimit = 50

    @property
    def offset(self) -> int:
        """Return how many items come before the page."""
        return (self.page - 1) * self.limit


class PageMeta(Struct, frozen=True, rename="camel"):
    """Say which page an answer is, and how much there is in all."""

    page: int
    limit: int
    total_items: int
    total_pages: int


def page_meta(paging: Paging, total: int) -> PageMeta:
    """Return what the answer says of its page."""
    return PageMeta(paging.page, paging.limit, total, -(-total // paging.limit))


def paged(query: CatalogQuery, paging: Paging) -> CatalogQuery:
    """Return a query of the catalog for the page that is asked for."""
    return replace(query, limit=paging.limit, offset=paging.offset)
