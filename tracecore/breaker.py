"""The circuit breaker: when to try again what has failed, and with how much.

::

    closed ──(5 failures in a row)──► open ──(its time is up)──► half open ──(success)──► closed
                                        ▲                            │
                                        └─────────(failure)──────────┘

Closed: try; after a failure, wait for a random time up to a bound that doubles (full jitter), so that many processes do
not come back at the same moment. Open: do not try before the time is up. Half open: try with little first. Nothing here
waits, reads a clock or draws a number by itself: both are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

__all__ = ["Breaker", "BreakerState", "asked_for"]

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]

_LONGEST_ASKED_FOR: Final = 3_600.0
"""Seconds that somebody else may make us wait."""
_MOST_DOUBLINGS: Final = 30


class Breaker:
    """Count failures in a row and say when the next attempt is due. Belongs to whoever makes the attempts.

    ``clock`` returns monotonic ns, ``jitter`` a random number between two. The first failure costs up to ``first_wait``
    seconds, the next up to twice that, and none more than ``longest_wait``.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        jitter: Callable[[float, float], float],
        *,
        opens_after: int = 5,
        first_wait: float = 0.05,
        longest_wait: float = 5.0,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._opens_after = opens_after
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._failures = 0
        self._due_ns = 0

    @property
    def state(self) -> BreakerState:
        """Return how things stand at this moment."""
        if self._failures < self._opens_after:
            return "closed"
        return "half_open" if self._clock() >= self._due_ns else "open"

    def wait(self) -> float:
        """Return in how many seconds the next attempt is due; 0 where it is."""
        return max(0.0, (self._due_ns - self._clock()) / 1e9)

    def succeeded(self) -> None:
        """Note that an attempt did what it should."""
        self._failures = 0
        self._due_ns = 0

    def failed(self, retry_after: object = None) -> float:
        """Note that an attempt failed; return in how many seconds the next one is due.

        ``retry_after`` is what the other side said, in seconds: it is waited for at least that long, up to an hour.
        What is no such number is left out of account.
        """
        bound = min(self._longest_wait, self._first_wait * 2 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        wait = max(self._jitter(0, bound), asked_for(retry_after))
        self._due_ns = self._clock() + int(wait * 1e9)
        return wait


def asked_for(retry_after: object) -> float:
    """Return the seconds that somebody asked us to wait, at most an hour; 0 where that is no time at all."""
    if isinstance(retry_after, bool) or not isinstance(retry_after, int | float) or retry_after != retry_after:  # noqa: PLR0124 - NaN; math.isnan raises for an int beyond a float
        return 0.0
    return float(max(0, min(retry_after, _LONGEST_ASKED_FOR)))
