"""Cursors: the key of the last item of a page, sealed so that nobody builds one by hand.

A cursor names its store and its list; one that came from elsewhere is refused rather than misread.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from tracecore.backend import Page
from tracecore.errors import BackendRejected

__all__ = ["Key", "decode_cursor", "encode_cursor", "page_of"]

T = TypeVar("T")

Key: TypeAlias = tuple[int, *tuple[str, ...]]
"""A time in ns, then the ids that break ties."""


def encode_cursor(made_by: str, key: tuple[Any, ...]) -> str:
    """Return the cursor of a position in the list that ``made_by`` names."""
    # Bytes, because an id is any text, and JSON has no lone surrogates.
    parts = [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in key]
    return base64.urlsafe_b64encode(msgspec.json.encode((made_by, parts))).decode()


def decode_cursor(made_by: str, cursor: str, *, ids: int) -> Key:
    """Return the position that a cursor names: a time and ``ids`` ids.

    Raises:
        BackendRejected: ``made_by`` did not make this cursor.
    """
    try:
        origin, parts = msgspec.json.decode(
            base64.b64decode(cursor, b"-_", validate=True), type=tuple[str, tuple[int | bytes, ...]]
        )
        key = tuple(str(part, "utf-8", "surrogatepass") if isinstance(part, bytes) else part for part in parts)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        origin, key = "", ()
    well_formed = len(key) == ids + 1 and [type(part) for part in key] == [int, *[str] * ids]
    if origin != made_by or not well_formed:
        raise BackendRejected(f"the cursor {cursor[:80]!r} was not made by this list", "start without a cursor")
    return cast("Key", key)


def page_of(
    items: list[T], limit: int, position: Callable[[T], tuple[str, tuple[Any, ...]]], *, is_cut: bool = False
) -> Page[T]:
    """Return the first ``limit`` items, and the cursor of the last when there are more, as of a list that is cut."""
    shown = items[:limit]
    return Page(shown, encode_cursor(*position(shown[-1])) if is_cut or len(items) > limit else None)
