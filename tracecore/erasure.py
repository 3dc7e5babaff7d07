"""Erasure: what a backend is besides, that can remove what it keeps.

A trace goes as a whole and at once: with it go its observations and their payloads, whatever finds them, its scores,
and its session, where that has no other trace and no record of its own. Nobody reads a trace in part, whenever whoever
erases it is stopped. Many of them go slice by slice, each a transaction of some tens of milliseconds between which
writers have their turn: what was stopped on the way is begun again, and goes on from there.

What is written of an erased trace afterwards makes it again: a backend keeps no list of what must not come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

from tracecore.errors import BackendRejected

__all__ = ["LARGEST_ERASURE", "Erasable", "Erased", "check_ids", "check_limit", "check_project"]

LARGEST_ERASURE: Final = 1000
"""Ids, or traces, of one call, at most."""


class Erased(Struct, frozen=True):
    """Say what was erased; what was asked for and is not named here was not there."""

    traces: tuple[str, ...] = ()
    """Which of the traces were there, in the order in which they were asked for."""
    scores: tuple[str, ...] = ()
    """Which of the scores were there and have gone by their own id, in the same way."""
    observation_count: int = 0
    """Observations that have gone with the traces."""
    score_count: int = 0
    """All scores that have gone, with traces or by their id."""


@runtime_checkable
class Erasable(Protocol):
    """What a backend is besides, that erases. Calls may run beside each other, and beside reads and writes.

    Each returns after what it says is durable, and visible to reads. Raises as :meth:`tracecore.backend.Sink.write`
    does, and ``BackendRejected`` for more than ``LARGEST_ERASURE`` at once.
    """

    async def erase(self, project: str, *, trace_ids: Sequence[str] = (), score_ids: Sequence[str] = ()) -> Erased:
        """Erase traces, and scores; an id that is not known is no error. Scores of an unknown trace go, too."""
        ...

    async def erase_before(self, project: str, until_ns: int, *, limit: int = LARGEST_ERASURE) -> bool:
        """Erase some of the traces that ended before a time, earliest start first; return whether more may remain.

        When none is left, scores go whose timestamp is before that time and whose trace is not here, if they have one.
        """
        ...

    async def erase_project(self, project: str, *, limit: int = LARGEST_ERASURE) -> bool:
        """Erase some of a project, of everything of it that is here; return whether more may remain.

        Traces go first, then scores, sessions, the ledger and the entries of its catalog. The project of the
        installation, ``""``, is refused.
        """
        ...


def check_ids(*ids: Sequence[str]) -> None:
    """Refuse more ids than a call may have.

    Raises:
        BackendRejected: there are more than ``LARGEST_ERASURE`` of one kind.
    """
    for some in ids:
        if len(some) > LARGEST_ERASURE:
            raise BackendRejected(f"erasing {len(some)} ids", f"erase at most {LARGEST_ERASURE} at once")


def check_limit(limit: int) -> None:
    """Refuse a limit out of range.

    Raises:
        BackendRejected: it is not 1 to ``LARGEST_ERASURE``.
    """
    if not 1 <= limit <= LARGEST_ERASURE:
        raise BackendRejected(f"limit = {limit}", f"erase 1 to {LARGEST_ERASURE} at once")


def check_project(project: str) -> None:
    """Refuse to erase what belongs to no project.

    Raises:
        BackendRejected: it is the project of the installation.
    """
    if not project:
        raise BackendRejected("erasing the project ''", "it is that of the installation: name another")
