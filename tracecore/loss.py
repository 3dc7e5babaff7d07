"""Loss: what was not kept, by reason. Everything that is not stored is counted here, once.

At quiescence ``emitted == delivered + lost``, exactly, from any number of threads. Producers count in their own lane
(one writer each); the pump counts in a :class:`Losses` of its own; readers add both up.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ["REASONS", "Losses", "Reason"]

Reason: TypeAlias = Literal["ring_full", "unencodable", "rejected", "unavailable", "disk_full", "sampled", "closing"]

REASONS: Final[tuple[Reason, ...]] = (
    "ring_full",  # the buffer held its maximum of items or bytes
    "unencodable",  # a record could not be made or masked at all
    "rejected",  # the backend refused the record, also alone and in its barest form
    "unavailable",  # the backend was away until the deadline
    "disk_full",  # there was no space until the deadline
    "sampled",  # left out by the sampling rate, on purpose: lanes count it, apart from what was emitted
    "closing",  # emitted after, or still waiting at the end of, shutdown
)


class Losses:
    """Count what one writer lost, by reason."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Reason, int] = dict.fromkeys(REASONS, 0)

    def add(self, reason: Reason, count: int = 1) -> None:
        """Count ``count`` records as lost for ``reason``."""
        self._counts[reason] += count

    def total(self) -> int:
        """Return how many records were lost, for whatever reason."""
        return sum(self._counts.values())

    def counts(self) -> dict[Reason, int]:
        """Return the counts of every reason, zeros included; the dict is the caller's."""
        return dict(self._counts)
