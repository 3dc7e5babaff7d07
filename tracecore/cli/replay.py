"""Sources that have no stores, but give back what they were given from beginning to end, such as a file of lines."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tracecore.backend import Page
from tracecore.records import Record

__all__ = ["Replayable"]


@runtime_checkable
class Replayable(Protocol):
    """What a backend is besides, from which everything can be copied although it answers no question."""

    async def replay(self, project: str, *, cursor: str | None = None, limit: int = 100) -> Page[Record]:
        """Return some records of a project in the order in which they were written; later ones say what is new.

        The cursor of a page stays valid while records are added.
        """
        ...
