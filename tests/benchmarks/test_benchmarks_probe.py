"""The probe counts every tick that was due, not only those for which it woke."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.probe import ticks_late, while_probed


@pytest.mark.parametrize(
    ("due", "now", "late"), [(1.0, 0.9995, []), (1.0, 1.0002, [0.2]), (1.0, 1.0031, [3.1, 2.1, 1.1, 0.1])]
)
def test_each_tick_of_a_stall_is_late_by_its_own_time(due: float, now: float, late: list[float]) -> None:
    """A stall of three ms makes four ticks late, and the next is in the future."""
    found, following = ticks_late(due, now)
    assert found == pytest.approx(late)
    assert now < following <= now + 0.001
    assert ticks_late(following, now) == ([], following)


def test_a_loop_that_stands_still_is_found() -> None:
    """Work that blocks the loop for a while is late by all of it, however seldom the probe can ask."""

    async def blocking() -> None:
        await asyncio.sleep(0.005)
        end = asyncio.get_running_loop().time() + 0.02
        while asyncio.get_running_loop().time() < end:
            pass
        await asyncio.sleep(0.005)

    late, seconds = asyncio.run(while_probed(blocking))
    assert seconds >= 0.03
    assert max(late) > 15
    assert sum(ms > 10 for ms in late) >= 8
