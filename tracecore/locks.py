"""Having a lock for the length of a block, or not at all, whatever a signal's handler raises meanwhile.

A handler runs when a call into C has ended, or a function begins, and what it raises is raised there: after ``acquire``
and before ``try`` it would keep the lock for ever. ``with lock:`` of a lock that is made in C has no such place, and
neither has ``with Turn(lock, seconds):``, for those who do not wait for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import starmap

__all__ = ["Busy", "Turn"]


class Busy(Exception):
    """Somebody else had the lock for all of the time that there was."""


class Turn:
    """Hold ``lock`` in a ``with`` block, which is entered only where it could be had within so many ``seconds``.

    ::

        try:
            with Turn(self._lock, 0.05):
                ...
        except Busy:
            ...

    With 0 seconds nobody is waited for.

    Raises:
        Busy: it could not be had, and is not held.
    """

    __slots__ = ("_lock", "_seconds")

    def __init__(self, lock: threading.Lock | threading.RLock, seconds: float) -> None:
        self._lock = lock
        self._seconds = seconds

    def __enter__(self) -> None:
        """Take the lock, and note in the same call into C whether it was to be had."""
        held: list[bool] = []
        try:
            held.extend(starmap(self._lock.acquire, ((True, self._seconds),)))
        except BaseException:  # of a handler, perhaps after the call
            if held == [True]:
                self._lock.release()
            raise
        if held != [True]:
            raise Busy

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - what it returns takes the arguments
        """Return the lock's own: a function of ours could be interrupted as it begins, before it lets go."""
        return self._lock.__exit__
