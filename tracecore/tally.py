"""A count that any thread may add to without a lock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["Tally"]


class Tally:
    """Count events. ``add`` is one call into C, so it is a single step for every thread."""

    __slots__ = ("_next", "_reading", "_reads", "add")

    def __init__(self) -> None:
        self._next: Final[Callable[[], int]] = itertools.count().__next__
        self._reads = 0
        self._reading = threading.Lock()
        self.add: Callable[[], object] = self._next

    def total(self) -> int:
        """Return how often ``add`` was called. Looking moves the counter too, so the looks are taken off again."""
        with self._reading:
            total = self._next() - self._reads
            self._reads += 1
        return total
