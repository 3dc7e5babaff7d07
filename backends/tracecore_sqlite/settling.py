"""Moving traces from the recent ones into the indexes of users and sessions, many at once.

Some thousands of traces always stay recent: walking through them costs a reader a millisecond, and a small file is
spared the indexes altogether.
"""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["Settler"]

_KEPT: Final = 4096
_SLICE: Final = 64
"""Each trace is two random pages of indexes, and a write waits as long as a slice takes."""
_IS_FULL: Final = "SELECT count(*) FROM (SELECT 1 FROM tc_traces WHERE settled IS NULL LIMIT ?)"
# In the order of the partial index: the oldest of one project first.
_SETTLE: Final = "UPDATE tc_traces SET settled = 1 WHERE id IN (SELECT id FROM tc_traces WHERE settled IS NULL LIMIT ?)"


class Settler:
    """Settle slices through the writing connection; every method runs on its thread."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def maintain(self) -> bool:
        """Settle one slice when there are enough recent traces; return whether more remains."""
        if not self._is_due():
            return False
        # A single statement is a transaction of its own.
        self._raw.execute(_SETTLE, (_SLICE,))
        return self._is_due()

    def _is_due(self) -> bool:
        enough = _KEPT + _SLICE
        (recent,) = self._raw.execute(_IS_FULL, (enough,)).fetchone()
        return bool(recent >= enough)
