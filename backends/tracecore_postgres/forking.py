"""Let forked children know nothing of the parent's connections.

A child has copies of the parent's sockets. One word on them, be it the driver's farewell, and the parent's session is
out of step; as long as they are open, the server does not see the parent end. So the child puts nothing in their place,
on the same descriptors: whatever its copies of the parent's objects still do with them reaches nobody. They are not
closed as connections, for that would take them out of what the parent's loop watches, which the two still share.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterable
from typing import Any, Final

from tracecore.forks import watch

__all__ = ["disown_in_children"]


class _Sockets:
    """Know the sockets of the connections that are open."""

    def __init__(self) -> None:
        self._open: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._inherited: list[Any] = []
        """Objects of parents that must never be finalised."""

    def disown_in_children(self, connection: Any, descriptor: int) -> None:
        """Have every child that is forked from now on drop a connection."""
        watch(in_child=self._drop)
        self._open[connection] = descriptor

    def _drop(self) -> None:
        inherited, self._open = list(self._open.items()), weakref.WeakKeyDictionary()
        self._inherited += [connection for connection, _ in inherited]
        _silence(descriptor for connection, descriptor in inherited if not connection.is_closed())


def _silence(descriptors: Iterable[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.dup2(nothing, descriptor, inheritable=False)
    finally:
        os.close(nothing)


disown_in_children: Final = _Sockets().disown_in_children
