"""A finding: one thing that doctor looked at, and what to do about it."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Finding"]


class Finding(Struct, frozen=True):
    """State one thing that was looked at; ``remedy`` says what to do, or to mind when it is ``ok``."""

    what: str
    ok: bool = True
    remedy: str = ""
