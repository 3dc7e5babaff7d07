"""Numbered pages over lists that only know cursors: what older operations answer with.

A store cannot say how many there are without looking at each. What lies before a page is walked past without payloads,
and after it some more are counted: ``totalItems`` is exact up to that horizon, and beyond it says no less than is
certain, one page more than this one. So whoever asks for page after page reaches the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

from tracecore.backend import LARGEST_PAGE, Page
from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.langfuse_errors import InvalidRequest

__all__ = ["DEEPEST", "HORIZON", "numbered"]

HORIZON: Final = LARGEST_PAGE
"""Items after a page that are counted."""
DEEPEST: Final = 100_000
"""Items before a page, at most: walking past them is work for nothing."""
T = TypeVar("T")
Find: TypeAlias = Callable[[int, str | None], Awaitable[Page[T]]]
"""Returns the page of this limit that begins at this cursor."""


async def numbered(bare: Find[T], shown: Find[T], paging: Paging) -> tuple[list[T], PageMeta]:
    """Return the items of a numbered page, and what the answer says of it.

    Args:
        bare: finds items that are only counted.
        shown: finds the items of the page.
        paging: which page it is.

    Raises:
        InvalidRequest: too much lies before the page, or it is too long: what is cut off would be on no page at all.
    """
    if paging.offset > DEEPEST:
        raise InvalidRequest(
            f"page {paging.page} begins after {paging.offset} items: ask for one that begins after {DEEPEST} at most, "
            "narrow the times, or use /v2/observations with its cursor"
        )
    before, cursor, more = 0, None, True
    while more and before < paging.offset:
        passed = await bare(min(LARGEST_PAGE, paging.offset - before), cursor)
        before, cursor, more = before + len(passed.items), passed.next_cursor, passed.next_cursor is not None
    if not more:
        return [], page_meta(paging, before)
    page = await shown(paging.limit, cursor)
    if page.next_cursor is not None and len(page.items) < paging.limit:
        raise InvalidRequest(
            f"limit = {paging.limit}: the items of this page are too long together: ask for limit={len(page.items)}"
        )
    total = before + len(page.items)
    if page.next_cursor is not None:
        total += len((await bare(HORIZON, page.next_cursor)).items)
    return page.items, page_meta(paging, total)
