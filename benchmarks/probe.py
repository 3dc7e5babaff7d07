"""A probe of the event loop: how late it is, every millisecond. Standard library only, because rivals have it too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

__all__ = ["ticks_late", "while_probed"]

_TICK_S: Final = 0.001


def ticks_late(due: float, now: float) -> tuple[list[float], float]:
    """Return by how many ms each tick from ``due`` to ``now`` is late, and when the next is due.

    Every tick counts that was due while the loop stood still: one that only asked again after waking would see a stall
    of 15 ms once, and 14 calls that wait as long not at all.
    """
    late: list[float] = []
    while due <= now:
        late.append((now - due) * 1e3)
        due += _TICK_S
    return late, due


async def while_probed(work: Callable[[], Awaitable[object]]) -> tuple[list[float], float]:
    """Do the work and return by how many ms each tick meanwhile was late, and how many seconds the work took."""
    late: list[float] = []

    async def probe() -> None:
        due = time.perf_counter() + _TICK_S
        while True:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            missed, due = ticks_late(due, time.perf_counter())
            late.extend(missed)

    probing = asyncio.create_task(probe())
    began = time.perf_counter()
    await work()
    seconds = time.perf_counter() - began
    probing.cancel()
    return late, seconds
