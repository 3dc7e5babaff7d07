"""Telling requests that take long that the server ends, so that they are answered before it does.

A connection that is told so puts it into the scope of its request (ASGI lets servers add to one), under a name of ours.
A server of another make does not: there a request that waits is answered when the application's lifespan ends.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final

__all__ = ["Ending", "ending_of"]

_KEY: Final = "tracecore.ending"


class Ending:
    """Know whether the server ends, and tell it to the one who waits."""

    def __init__(self) -> None:
        self._is_now = False
        self._tell: Callable[[], None] | None = None

    def watch(self, tell: Callable[[], None]) -> None:
        """Call this when the server ends; at once where it does already."""
        self._tell = tell
        if self._is_now:
            tell()

    def begin(self) -> None:
        """Say that the server ends."""
        self._is_now = True
        if self._tell is not None:
            self._tell()


def ending_of(scope: MutableMapping[str, Any]) -> Ending:
    """Return what tells one request of the end; the same for the same request."""
    found = scope.setdefault(_KEY, Ending())
    assert isinstance(found, Ending)  # noqa: S101 - the name is ours
    return found
