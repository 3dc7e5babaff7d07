"""The host program at its worst: a thread that computes in pure Python and never waits."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

__all__ = ["BusyHost", "speed_alone"]

_STEPS_AT_ONCE: Final = 200
_ALONE_S: Final = 0.25


class BusyHost:
    """Compute in a thread for the length of a block, and know how fast that went."""

    def __init__(self) -> None:
        self._stop = False
        self._rounds = 0
        self._thread = threading.Thread(target=self._compute, name="busy-host", daemon=True)

    def _compute(self) -> None:
        state = 1
        while not self._stop:
            for _ in range(_STEPS_AT_ONCE):
                state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
            self._rounds += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop = True
        self._thread.join()

    def mark(self) -> tuple[int, float]:
        """Return a point to measure from."""
        return self._rounds, time.perf_counter()

    def speed_since(self, mark: tuple[int, float]) -> float:
        """Return rounds per second of wall clock since the mark."""
        rounds, at = mark
        return (self._rounds - rounds) / (time.perf_counter() - at)


def speed_alone() -> float:
    """Return how fast the host computes when every other thread of this process waits."""
    with BusyHost() as host:
        mark = host.mark()
        time.sleep(_ALONE_S)
        return host.speed_since(mark)
