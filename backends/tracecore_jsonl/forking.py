"""No file is locked while the program forks: a lock belongs to an open file, and a child would inherit both.

The lock of a parent that is then killed would be kept for as long as the child runs.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final

from tracecore.forks import watch

__all__ = ["at_work", "watch_forks"]

_LONGEST_WAIT_S: Final = 2.0


class _Gate:
    """Be entered by who is at work, while nobody is about to fork; forks go first."""

    def __init__(self) -> None:
        self._renew()

    def watch(self) -> None:
        """Stand between forks and work from now on."""
        watch(before=self._before, in_parent=self._after, in_child=self._renew)

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)
            self._working += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._working -= 1
            self._changed.notify_all()

    def _before(self) -> None:
        with self._changed:
            self._forking.add(threading.get_ident())
            self._changed.wait_for(lambda: not self._working, _LONGEST_WAIT_S)

    def _after(self) -> None:
        with self._changed:
            self._forking.discard(threading.get_ident())
            self._changed.notify_all()

    def _renew(self) -> None:
        """Begin, and begin anew in a child, where none of the threads that were at work exist."""
        self._changed = threading.Condition()
        self._working = 0
        self._forking: set[int] = set()


at_work: Final = _Gate()
watch_forks: Final = at_work.watch
