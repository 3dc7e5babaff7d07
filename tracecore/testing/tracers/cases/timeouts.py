"""Timeouts: what runs out of time is stopped, and who waited for it goes on in its own span."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import anyio
import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trial import Trial

__all__ = ["TIMEOUTS"]

TIMEOUTS: Final = Group("timeouts")

_SOON_S: Final = 0.001
_LATE_S: Final = 60.0


@TIMEOUTS.case("""
    request
      work: cancelled
      later
""")
async def asyncio_timeout(trial: Trial) -> None:
    """``asyncio.timeout`` around observed work."""

    @trial.observed
    async def work() -> None:
        await asyncio.Event().wait()

    @trial.observed
    async def request() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await work()
        trial.here("request")
        with trial.span("later"):
            pass

    await request()


@TIMEOUTS.case("""
    request
      work: error
""")
async def asyncio_timeout_inside(trial: Trial) -> None:
    """Work that runs out of time by its own ``asyncio.timeout`` fails with TimeoutError."""

    @trial.observed
    async def work() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    @trial.observed
    async def request() -> None:
        with suppress(TimeoutError):
            await work()
        trial.here("request")

    await request()


@TIMEOUTS.case("""
    request
      work: cancelled
""")
async def asyncio_wait_for(trial: Trial) -> None:
    """``asyncio.wait_for`` around observed work."""

    @trial.observed
    async def work() -> None:
        await asyncio.Event().wait()

    @trial.observed
    async def request() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(work(), _SOON_S)
        trial.here("request")

    await request()


@TIMEOUTS.case("""
    request
      work
""")
async def asyncio_wait_for_in_time(trial: Trial) -> None:
    """``asyncio.wait_for`` around work that ends in time."""

    @trial.observed
    async def work() -> str:
        await asyncio.sleep(0)
        trial.here("work")
        return "in time"

    @trial.observed
    async def request() -> str:
        return await asyncio.wait_for(work(), _LATE_S)

    trial.equal("the result", await request(), "in time")


@TIMEOUTS.anywhere("""
    request
      work: cancelled
      later
""")
async def anyio_move_on_after(trial: Trial) -> None:
    """``anyio.move_on_after`` around observed work."""

    @trial.observed
    async def work() -> None:
        await anyio.sleep_forever()

    @trial.observed
    async def request() -> None:
        with anyio.move_on_after(0) as scope:
            await work()
        trial.equal("whether it ran out of time", scope.cancelled_caught, expected=True)
        trial.here("request")
        with trial.span("later"):
            pass

    await request()


@TIMEOUTS.anywhere("""
    request: error
      work: cancelled
""")
async def anyio_fail_after(trial: Trial) -> None:
    """``anyio.fail_after`` around observed work, inside of a span that it makes fail."""

    @trial.observed
    async def work() -> None:
        await anyio.sleep_forever()

    @trial.observed
    async def request() -> None:
        with anyio.fail_after(0):
            await work()

    with suppress(TimeoutError):
        await request()
    trial.here(None)


@TIMEOUTS.anywhere("""
    request
      patient
        hasty: cancelled
        inside
""")
async def timeouts_inside_of_each_other(trial: Trial) -> None:
    """The inner one runs out, the outer one does not."""

    @trial.observed
    async def hasty() -> None:
        await anyio.sleep_forever()

    @trial.observed
    async def patient() -> None:
        with anyio.move_on_after(0):
            await hasty()
        trial.here("patient")
        with trial.span("inside"):
            await anyio.lowlevel.checkpoint()

    @trial.observed
    async def request() -> None:
        with anyio.fail_after(_LATE_S):
            await patient()
        trial.here("request")

    await request()


@TIMEOUTS.anywhere("""
    request
      attempt: cancelled * 2
      attempt
""")
async def tried_again_after_a_timeout(trial: Trial) -> None:
    """Each attempt has a span of its own."""

    @trial.observed
    async def attempt(*, waits: bool) -> str:
        if waits:
            await anyio.sleep_forever()
        trial.here("attempt")
        return "done"

    @trial.observed
    async def request() -> str:
        for number in range(3):
            with anyio.move_on_after(0 if number < 2 else _LATE_S):  # noqa: PLR2004 - the third one succeeds
                return await attempt(waits=number < 2)  # noqa: PLR2004 - as above
        return "never"

    trial.equal("the result", await request(), "done")
