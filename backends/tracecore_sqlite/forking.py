"""Let nobody fork while SQLite is at work, and let children know nothing of the parent's connections.

SQLite guards its memory and its list of open files by locks of the process. A child that is forked while another thread
holds one inherits it locked for ever, and its first use of SQLite, ours or the program's, does not come back. So every
call into SQLite on our threads is *at work*, a fork waits for those to be done, and none begins before it has happened.
The wait is bounded: a call that takes longer is a query, or waits for another process.

The list of open files also says which locks of a file this process has. In a child that is no longer true, and a new
connection to the same file would believe that it has them: others would then take the write-ahead log away from under
it. So the child closes what it inherited, which changes no file while the parent has its own locks, and begins anew.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

from tracecore.forks import watch

__all__ = ["Unforked", "disown_in_children", "watch_forks"]

T = TypeVar("T")

_LONGEST_WAIT_S: Final = 2.0


class _Gate:
    """Know who is at work and which threads are about to fork; forks go first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working = 0
        self._forking: set[int] = set()
        self._rested = True
        self._inherited: weakref.WeakKeyDictionary[Any, Callable[[Any, bool], None]] = weakref.WeakKeyDictionary()

    def disown_in_children(self, connection: T, let_go: Callable[[T, bool], None]) -> None:
        """Have a child let go of a connection at once; ``let_go`` is told whether it was at rest when it was copied."""
        self._inherited[connection] = let_go

    def watch(self) -> None:
        """Stand between forks and work from now on; return once a fork that is under way has happened."""
        watch(before=self._before, in_parent=self._after, in_child=self._renew)

    def run(self, work: Callable[[], T]) -> T:
        """Do some work when no fork is about to happen."""
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)
            self._working += 1
        try:
            return work()
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _before(self) -> None:
        with self._changed:
            self._forking.add(threading.get_ident())
            self._rested = self._changed.wait_for(lambda: not self._working, _LONGEST_WAIT_S)

    def _after(self) -> None:
        with self._changed:
            self._forking.discard(threading.get_ident())
            self._changed.notify_all()

    def _renew(self) -> None:
        """Begin anew in the child, where none of the threads that were at work exist."""
        self._changed = threading.Condition()
        self._working = 0
        self._forking = set()
        inherited, self._inherited = list(self._inherited.items()), weakref.WeakKeyDictionary()
        for connection, let_go in inherited:
            let_go(connection, self._rested)


_gate: Final = _Gate()
watch_forks: Final = _gate.watch
disown_in_children: Final = _gate.disown_in_children


class Unforked:
    """Hand on what a queue of calls hands out, each call made such that nobody forks meanwhile."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def get(self) -> tuple[Any, Callable[[], Any]]:
        """Return the next future and its call."""
        future, call = self._queue.get()
        return future, lambda: _gate.run(call)
