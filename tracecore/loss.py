"""Loss: what was not kept, by reason. Everything that is not stored is counted here, once.

At quiescence ``emitted == delivered + lost``, exactly, from any number of threads. Producers count in their own lane
(one writer each); the pump's counts are :class:`Losses`, replaced as a whole; readers add both up.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import repeat, starmap
from typing import Final, Literal, TypeAlias

from tracecore.clock import monotonic_ns
from tracecore.locks import Busy, Turn

__all__ = ["REASONS", "Losses", "LostTraces", "Reason"]

Reason: TypeAlias = Literal[
    "ring_full", "unencodable", "rejected", "unavailable", "disk_full", "sampled", "closing", "died", "damaged"
]

REASONS: Final[tuple[Reason, ...]] = (
    "ring_full",  # the buffer held its maximum of items or bytes
    "unencodable",  # a record could not be made or masked at all
    "rejected",  # the backend refused the record, also alone and in its barest form
    "unavailable",  # the backend was away until the deadline
    "disk_full",  # there was no space until the deadline
    "sampled",  # left out by the sampling rate, on purpose: lanes count it, apart from what was emitted
    "closing",  # emitted after, or still waiting at the end of, shutdown
    "died",  # in the memory of a process that was killed, and not in its journal; perhaps stored all the same
    "damaged",  # stretches of a dead process's journal that could not be read: each held a record or more
)


_AT_ONCE: Final = 64
"""Losses that are counted together: a lock for each would cost the program that loses them more than the rest does."""
_PATIENCE: Final = 0.05
"""Seconds that a reader waits at most for whoever counts."""


class Losses:
    """Say how much was lost, by reason. Never changed: who counts more makes another one."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[Reason, int] | None = None) -> None:
        self._counts: dict[Reason, int] = {**dict.fromkeys(REASONS, 0), **(counts or {})}

    def plus(self, more: Mapping[Reason, int]) -> Losses:
        """Return these losses and some more."""
        return Losses({reason: count + more.get(reason, 0) for reason, count in self._counts.items()})

    def total(self) -> int:
        """Return how many records were lost, for whatever reason."""
        return sum(self._counts.values())

    def counts(self) -> dict[Reason, int]:
        """Return the counts of every reason, zeros included; the dict is the caller's."""
        return dict(self._counts)


class LostTraces:
    """Remember of which traces something was lost, for whoever asks about one: the latest ``most``, from any thread.

    A trace that is not remembered has lost nothing, unless it began before the latest one that had to be forgotten.
    Whoever loses something waits for nobody: it is noted in one step, and counted by whoever has the lock, or next.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._at_once = min(_AT_ONCE, most)
        self._counts: dict[tuple[str, Reason], int] = {}
        self._oldest: deque[tuple[str, Reason]] = deque()
        self._noted: deque[tuple[str, Reason]] = deque()
        self._lock = threading.Lock()
        self._forgotten_ns = 0

    def add(self, trace_id: str | None, reason: Reason) -> None:
        """Note that a record of a trace was lost."""
        if trace_id is None:
            return
        noted = self._noted
        if len(noted) >= self._most:  # somebody has the lock and is kept from going on
            self._forgotten_ns = monotonic_ns()
            return
        noted.append((trace_id, reason))
        if len(noted) >= self._at_once:
            with suppress(Busy), Turn(self._lock, 0):
                self._count(2 * _AT_ONCE)  # more may come at each step, from a signal's handler

    def _count(self, most: int) -> None:
        """Count what was noted; whoever calls has the lock."""
        try:
            some = starmap(self._noted.popleft, repeat((), min(most, len(self._noted))))
            for key, count in Counter(some).items():
                self._count_one(key, count)
        except BaseException:  # of a signal's handler: what was taken off and not counted yet is forgotten
            self._forgotten_ns = monotonic_ns()
            raise

    def _count_one(self, key: tuple[str, Reason], count: int) -> None:
        if key not in self._counts:
            self._oldest.append(key)
        self._counts[key] = self._counts.get(key, 0) + count
        if len(self._oldest) > self._most:
            self._counts.pop(self._oldest.popleft(), None)
            self._forgotten_ns = monotonic_ns()

    def of(self, trace_id: str) -> dict[str, int] | None:
        """Return how many records of a trace were lost, by reason, zeros left out.

        None where nobody can tell for now: somebody counts all the time, and what was noted is not counted yet.
        """
        try:
            with Turn(self._lock, _PATIENCE):
                self._count(self._most)
        except Busy:
            return None
        found = {reason: self._counts.get((trace_id, reason), 0) for reason in REASONS}
        return {reason: count for reason, count in found.items() if count}

    def vouches_for(self, since_ns: int) -> bool:
        """Return whether nothing was forgotten since this moment of the monotonic clock."""
        return since_ns > self._forgotten_ns
