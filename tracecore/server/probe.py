"""The probe behind the health check: an entry of the catalog that is written and read again.

A backend that answers reads from memory while nothing can be written is not well, and neither is one that takes writes
and loses them. However often it is asked, the backend is probed at most once a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
from msgspec import Raw

from tracecore.catalog import INSTALLATION, CatalogStore, Entry, Put
from tracecore.errors import BackendError, BackendUnavailable

__all__ = ["Probe"]

_FOR_NS: Final = 1_000_000_000
_WAIT_S: Final = 5.0


class Probe:
    """Write and read one entry."""

    def __init__(self, catalog: CatalogStore, *, wall: Callable[[], int], clock: Callable[[], int]) -> None:
        self._catalog = catalog
        self._wall = wall
        self._clock = clock
        self._lock = anyio.Lock()
        self._until = 0
        self._error: BackendError | None = None

    async def check(self) -> None:
        """Raise what goes wrong.

        Raises:
            BackendError: it could not be written, or what was read is older.
        """
        async with self._lock:
            if self._clock() >= self._until:
                self._error = await self._found()
                self._until = self._clock() + _FOR_NS
        if self._error is not None:
            raise self._error

    async def _found(self) -> BackendError | None:
        written = Raw(str(self._wall()).encode())
        try:
            with anyio.fail_after(_WAIT_S):
                await self._catalog.commit([Put(Entry(project=INSTALLATION, kind="probe", id="probe", body=written))])
                entry = await self._catalog.get(INSTALLATION, "probe", "probe")
        except BackendError as error:
            return error
        except TimeoutError:
            return BackendUnavailable(f"the backend did not answer within {_WAIT_S:g} s")
        # Another process may have written since; a wall clock that was set back does not make a backend ill.
        return None if entry is not None else BackendUnavailable("what was written could not be read again")
