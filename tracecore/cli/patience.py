"""Asking again while a backend is away: after longer and longer pauses, and not for ever.

Invariants: only what may pass is asked again; the last answer is what is raised; a call that takes too long is
cancelled, and counts as one that may succeed later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from tracecore.cli.figures import duration
from tracecore.errors import BackendUnavailable

__all__ = ["Patience"]

T = TypeVar("T")
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


class Patience:
    """Call something until it succeeds, at most ``retries`` times more; ``timeout`` in seconds, None for ever."""

    def __init__(
        self,
        retries: int,
        timeout: float | None,
        *,
        tell: Callable[[str], object] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        self._retries = retries
        self._timeout = timeout
        self._tell = tell
        self._sleep = sleep

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call returns.

        Raises:
            BackendUnavailable: it was so the last time, too.
        """
        for attempt in range(self._retries):
            try:
                return await self._once(call)
            except BackendUnavailable as error:
                pause = max(error.retry_after or 0.0, min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE))
                self._tell(f"{error}; trying again in {duration(round(pause * 1e9))}")
            await self._sleep(pause)
        return await self._once(call)

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        with anyio.move_on_after(self._timeout):
            return await call()
        raise BackendUnavailable(
            f"there was no answer within {duration(round((self._timeout or 0.0) * 1e9))}",
            "give it more time with write_timeout_ms",
        )
