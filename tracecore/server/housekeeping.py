"""What a server does when nobody asks: deferred work of the backend, and noting when keys were used."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from tracecore.errors import BackendError
from tracecore.reporting import report
from tracecore.server.state import ServerState

__all__ = ["Housekeeping"]

_PAUSE_S: Final = 0.25
"""Between two looks for deferred work, while there is none."""
_LOOK_AGAIN_S: Final = 0.005
"""Until the next look for a moment at which nothing is written."""
_LATEST_NS: Final = 200_000_000
"""After which a slice of deferred work has its turn among the writes, however many there are."""
_IDLE_SHARE: Final = 3
_BUSY_SHARE: Final = 19
"""Between two slices as many times as long as the first took is left for others, where nobody has written meanwhile and
where somebody has. The search index then falls behind while much is written, and catches up afterwards; until it has,
searches look through what is missing in it."""
_NOTE_EVERY_NS: Final = 30_000_000_000


class Housekeeping:
    """Keep house on the loop that serves, from :meth:`begin` to :meth:`end`."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._task: asyncio.Task[None] | None = None
        self._next_note = 0
        self._last_slice = 0
        self._written = 0

    def begin(self) -> None:
        """Begin, on the running loop."""
        self._next_note = self._state.clock() + _NOTE_EVERY_NS
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="tracecore-housekeeping")

    async def end(self) -> None:
        """End, and note what there is to note."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(BackendError):
            await self.note_use()

    async def note_use(self) -> None:
        """Write down when each key was used last."""
        used = dict(self._state.gate.used)
        self._state.gate.used.clear()
        for key, when_ns in used.items():
            await self._state.keys.used(key, now_ns=when_ns)

    async def _keep(self) -> None:
        while True:
            try:
                pause = await self._slice()
            except BackendError:
                pause = _PAUSE_S  # writes say it to those who write
            except Exception as error:  # noqa: BLE001 - one slice that fails must not be the last
                report("tracecore's server could not keep house", severe=True, error=error)
                pause = _PAUSE_S
            await asyncio.sleep(pause)

    async def _slice(self) -> float:
        """Do a slice of what there is to do; return after how many seconds to look again."""
        now = self._state.clock()
        if now >= self._next_note:
            self._next_note = now + _NOTE_EVERY_NS
            await self.note_use()
        if not self._state.writer.is_idle and now < self._last_slice + _LATEST_NS:
            return _LOOK_AGAIN_S
        more, took_ns = await self._state.writer.alone(self._timed)
        self._last_slice = self._state.clock()
        written, self._written = self._written, self._state.writer.transactions
        share = _IDLE_SHARE if written == self._written else _BUSY_SHARE
        return share * took_ns / 1e9 if more else _PAUSE_S

    async def _timed(self) -> tuple[bool, int]:
        began = self._state.clock()
        more = await self._state.backend.maintain()
        return more, self._state.clock() - began
