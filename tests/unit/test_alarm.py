"""Sleeping until the time is up, somebody rings, hurries or stops: in every event loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from tests.fakes import EVENT_LOOPS
from tracecore.alarm import Alarm
from tracecore.clock import monotonic_ns

pytestmark = pytest.mark.parametrize("event_loop", EVENT_LOOPS)

LONG = 3_600.0


def slept(event_loop: str, sleep: Callable[[Alarm], Awaitable[None]], wake: Callable[[Alarm], None]) -> float:
    """Return for how many seconds a sleep lasted that was disturbed once it had begun."""
    alarm = Alarm(monotonic_ns)
    took: list[float] = []

    async def sleeper() -> None:
        began = time.monotonic()
        await sleep(alarm)
        took.append(time.monotonic() - began)

    async def host() -> None:
        alarm.arm()
        await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.2):
            async with anyio.create_task_group() as group:
                group.start_soon(sleeper)
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                waking = threading.Thread(target=wake, args=(alarm,))
                waking.start()
                waking.join()

    anyio.run(host, backend=event_loop)
    return took[0] if took else LONG


async def settled(alarm: Alarm) -> None:
    """Take note of the ring that arming is, so that the next sleep is one."""
    await alarm.sleep(0.001)


async def until_rung(alarm: Alarm) -> None:
    """Sleep until somebody rings."""
    await settled(alarm)
    await alarm.sleep(LONG)


async def through(alarm: Alarm) -> None:
    """Sleep whoever rings."""
    await settled(alarm)
    await alarm.sleep_through(LONG, at_least=0.05)


def test_a_ring_from_another_thread(event_loop: str) -> None:
    """A ring ends a sleep, and does not end one that goes through rings."""
    assert slept(event_loop, until_rung, Alarm.ring) < LONG
    assert slept(event_loop, through, Alarm.ring) == LONG


def test_a_hurry_from_another_thread(event_loop: str) -> None:
    """Whoever is in a hurry makes a sleep as short as it may be, and no shorter."""
    assert 0.049 < slept(event_loop, through, Alarm.hurry) < LONG


def test_a_stop_from_another_thread(event_loop: str) -> None:
    """Being told to stop ends every sleep."""
    in_an_hour = monotonic_ns() + int(LONG * 1e9)
    assert slept(event_loop, until_rung, lambda alarm: alarm.stop(in_an_hour)) < LONG
    assert slept(event_loop, through, lambda alarm: alarm.stop(in_an_hour)) < LONG


def test_a_stop_ends_one_sleep_only(event_loop: str) -> None:
    """After it has been told to stop a sleeper still waits before it tries again, until its deadline."""

    async def twice(alarm: Alarm) -> None:
        await alarm.sleep_through(LONG, at_least=LONG)
        await alarm.sleep_through(LONG, at_least=LONG)

    in_an_hour = monotonic_ns() + int(LONG * 1e9)
    assert slept(event_loop, twice, lambda alarm: alarm.stop(in_an_hour)) == LONG
    assert slept(event_loop, twice, lambda alarm: alarm.stop(monotonic_ns() + 50_000_000)) < LONG


def test_before_and_after_its_loop(event_loop: str) -> None:
    """Whoever rings a sleeper that has no loop yet, or none any more, disturbs nobody and is not kept waiting."""
    alarm = Alarm(monotonic_ns)
    alarm.ring()
    alarm.hurry()

    async def host() -> None:
        alarm.arm()
        await anyio.lowlevel.checkpoint()

    anyio.run(host, backend=event_loop)
    alarm.ring()
    alarm.disarm()
    alarm.stop(monotonic_ns())
    assert alarm.stopping


def test_every_answer_is_a_sign(event_loop: str) -> None:
    """A loop that runs answers each ring; one that is kept from running does not."""
    alarm = Alarm(monotonic_ns)
    signs: list[int] = []

    async def host() -> None:
        alarm.arm()
        before = alarm.signs
        ringing = threading.Thread(target=alarm.ring)
        ringing.start()
        ringing.join()  # the loop stands still
        signs.append(alarm.signs - before)
        with anyio.fail_after(10):
            while alarm.signs == before:
                await anyio.lowlevel.checkpoint()

    anyio.run(host, backend=event_loop)
    assert signs == [0]
