"""Limits: the one table of what a payload may cost, and the budget that one payload has.

Two currencies would let a value exhaust one of them unseen, so there is one: every value is charged its bytes and the
price of a node, ``max_bytes / max_nodes``. How much of it a value may spend is decided by who contains it; each
container keeps a reserve for the values that follow. Time is looked at every 64 values; when it is over, everything is
spent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

__all__ = ["DEFAULT_LIMITS", "Budget", "Limits"]

_SPENT_ALL: Final = 1 << 62
_LOOK_EVERY: Final = 64  # values between two looks at the clock
_KEEP_FOR_EACH: Final = 256  # bytes kept back for each value that follows


class Limits(Struct, frozen=True, gc=False):
    """Bound what one payload may cost. Markers may take some hundred bytes beyond ``max_bytes``.

    Elements of long lists of numbers, and what is plain and small, cost a fraction of a node. ``room``, ``price`` and
    ``reserve`` are derived from the others.
    """

    max_bytes: int = 262_144
    """JSON of one payload, in bytes."""
    max_string: int = 65_536
    """One string, in characters; bytes, in characters of base64."""
    max_nodes: int = 5_000
    """Values of one payload."""
    max_depth: int = 32
    """Containers inside each other."""
    max_time_ns: int = 1_000_000
    """Time for one payload, in ns."""
    room: int = 0
    """What the fast path accepts, in characters (see ``tracecore.plain``)."""
    price: int = 0
    """What a value costs beside its bytes, in bytes."""
    reserve: int = 0
    """What a container keeps at most for the values that follow, in bytes."""

    def __post_init__(self) -> None:
        # In plain.py a character counts 1, an entry 16. A character takes at most 6 bytes, so what fits the room costs
        # at most 3/4 of max_bytes; 1/16 is left for markers and containers keep less than 1/8 together: the walk never
        # cuts what the fast path takes.
        derived = {
            "room": min(self.max_string, self.max_bytes // 9, self.max_nodes * 4),
            "price": max(1, self.max_bytes // max(1, self.max_nodes)),
            "reserve": self.max_bytes // (8 * max(1, self.max_depth)),
        }
        for name, value in derived.items():
            msgspec.structs.force_setattr(self, name, value)


DEFAULT_LIMITS: Final = Limits()


class Budget:
    """Keep what one payload has spent. ``stop`` is always how far a value may let ``spent`` rise."""

    __slots__ = ("_clock", "_deadline", "_keep", "_look_at", "limits", "price", "spent", "values")

    def __init__(self, limits: Limits, clock: Callable[[], int]) -> None:
        self.limits = limits
        self.price = limits.price
        self.spent: int = 0
        self.values: int = 0
        self._keep = limits.reserve
        self._clock = clock
        self._deadline = clock() + limits.max_time_ns
        self._look_at = _LOOK_EVERY

    def stop(self) -> int:
        """Return how far the whole payload may spend."""
        return self.limits.max_bytes - self.limits.max_bytes // 16

    def count(self, values: int, size: int) -> None:
        """Charge for values of ``size`` bytes together; look at the clock now and then."""
        self.spent += self.price + size
        self.values += values + (size >> 9)  # 512 bytes take about as long as one value
        if self.values >= self._look_at:
            self._look_at = self.values + _LOOK_EVERY
            if self._clock() > self._deadline:
                self.spent = _SPENT_ALL

    def share(self, stop: int, follow: int) -> int:
        """Return how far a value may spend when others follow it: they keep a reserve, but no more than half."""
        return stop - max(0, min(follow * _KEEP_FOR_EACH, self._keep, (stop - self.spent) // 2))
