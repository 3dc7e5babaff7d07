"""Lists of which only some items are wanted, for conditions that no store knows: pages are filled up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tracecore.backend import Page
from tracecore.server.api.numbered import Find

__all__ = ["sifted"]

T = TypeVar("T")


def sifted(find: Find[T], fits: Callable[[T], Awaitable[bool]]) -> Find[T]:
    """Return a list of the items that fit; its pages are as long as was asked for, except for the last."""

    async def fitting(limit: int, cursor: str | None) -> Page[T]:
        found: list[T] = []
        while True:
            page = await find(limit - len(found), cursor)
            found += [item for item in page.items if await fits(item)]
            cursor = page.next_cursor
            if cursor is None or len(found) >= limit:
                return Page(found, cursor)

    return fitting
