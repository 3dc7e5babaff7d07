"""Importing drivers late, and at a moment when nobody forks.

A child that is forked while another thread is in the middle of an import inherits a lock that nobody will ever open:
its own import of the same module does not come back. So a fork waits for an import that is under way, within bounds,
and none begins before it has happened.
"""

from __future__ import annotations

import codecs
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Final, TypeVar

from tracecore.forks import watch

__all__ = ["load", "unforked"]

T = TypeVar("T")

_LONGEST_WAIT_S: Final = 2.0


class _Gate:
    """Let either one import or one fork pass."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holders: set[int] = set()
        """The threads that are about to fork and hold the lock, by their idents."""

    def run(self, work: Callable[[], T]) -> T:
        watch(before=self._before, in_parent=self._in_parent, in_child=self._in_child)
        with self._lock:
            return work()

    def _before(self) -> None:
        if self._lock.acquire(timeout=_LONGEST_WAIT_S):
            self._holders.add(threading.get_ident())

    def _in_parent(self) -> None:
        me = threading.get_ident()
        if me in self._holders:
            self._holders.discard(me)
            self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.RLock()
        self._holders = set()


_gate: Final = _Gate()


def unforked(work: Callable[[], T]) -> T:
    """Do some work that imports things, at a moment when nobody forks."""
    return _gate.run(work)


def load(*names: str) -> None:
    """Import modules, and what they would import when they are first used."""
    unforked(lambda: _load(names))


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        import_module(name)
    codecs.lookup("idna")  # the resolver asks for it
    with suppress(ImportError):
        import_module("httpcore2._backends.anyio")  # the first connection would
