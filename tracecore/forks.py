"""Being at rest when the program forks, and beginning anew in the child.

A child inherits whatever state the parent's other threads were in, and none of the threads. Whoever works on a thread
of its own watches forks: ``before`` waits until that work is at rest and keeps it so, ``in_parent`` lets it go on, and
``in_child`` drops what belonged to the parent. Waits must be bounded.

Who begins to watch while a fork is under way is asked too, or waits until that fork has happened. That is why all go
through here: of hooks that are registered with ``os`` during a fork that fork knows nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Final

from msgspec import Struct

__all__ = ["first_in_child", "watch"]


def _nothing() -> None:
    """Do nothing."""


class _Watcher(Struct, frozen=True):
    before: Callable[[], None]
    in_parent: Callable[[], None]
    in_child: Callable[[], None]


class _Watchers:
    """Hold everybody who watches. The lock guards the list; held from the last ``before`` until the fork is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[_Watcher] = []
        self._first: list[Callable[[], None]] = []
        self._hooked = False
        self._forking = 0
        """The thread that is about to fork and holds the lock, by its ident."""

    def add(self, watcher: _Watcher) -> None:
        with self._lock:
            self._hook()
            if watcher not in self._all:
                self._all.append(watcher)

    def add_first(self, in_child: Callable[[], None]) -> None:
        with self._lock:
            self._hook()
            self._first.append(in_child)

    def _hook(self) -> None:
        if not self._hooked:
            # Hooks run before a fork from the youngest to the oldest. Logging's, which takes the lock of logging, must
            # be older than ours: else we would wait for an import (of asyncio, by the pump) that waits for that lock.
            import_module("logging")  # here, because importing tracecore does not pay for it
            self._hooked = True
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def _before(self) -> None:
        asked = 0
        while True:
            self._lock.acquire()  # kept at the end: see the class
            if asked == len(self._all):
                self._forking = threading.get_ident()
                return
            watcher = self._all[asked]
            self._lock.release()
            watcher.before()
            asked += 1

    def _in_parent(self) -> None:
        for watcher in reversed(self._all):
            watcher.in_parent()
        if self._forking == threading.get_ident():  # not so where a signal handler raised in the middle of waiting
            self._forking = 0
            self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        for in_child in self._first:
            in_child()
        for watcher in self._all:
            watcher.in_child()


_watchers: Final = _Watchers()


def watch(
    *,
    before: Callable[[], None] = _nothing,
    in_parent: Callable[[], None] = _nothing,
    in_child: Callable[[], None] = _nothing,
) -> None:
    """Call these at every fork from now on: ``before`` in the order of watching, ``in_parent`` in reverse.

    Watching twice is watching once. ``in_parent`` may be called without ``before``, where a signal handler raised.
    """
    _watchers.add(_Watcher(before, in_parent, in_child))


def first_in_child(in_child: Callable[[], None]) -> None:
    """Call this in every child that is forked from now on, before anybody who watches does anything there."""
    _watchers.add_first(in_child)
