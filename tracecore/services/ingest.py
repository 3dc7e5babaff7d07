"""Writing what clients send: one batch after the other, several of them in one transaction.

A batch that waits while another is written joins all others that wait: a transaction costs as much as some hundred
records, and a thousand small requests need not make a thousand. Whoever sent it is answered when that write is done; a
write that is refused as a whole is repeated request by request, so that nobody is answered for what another sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias, TypeVar

import anyio
from msgspec import Struct

from tracecore.backend import Batch, Receipt, Sink
from tracecore.errors import BackendRejected, TracecoreError
from tracecore.records import Record
from tracecore.reporting import report

__all__ = ["BatchWriter", "Gone"]

T = TypeVar("T")
Wanted: TypeAlias = Callable[[], Awaitable[bool]]
_MOST_AT_ONCE: Final = 4096
"""Records of one transaction, unless one request has more."""


class Gone(Exception):
    """Report that nobody waited any more when it was a batch's turn: it was not written."""


class _Waiting(Struct, eq=False):
    batch: Batch
    wanted: Wanted
    done: anyio.Event
    receipt: Receipt | None = None
    error: Exception | None = None


class BatchWriter:
    """Write the batches of all clients of one backend, on one event loop."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = anyio.Lock()
        self._waiting: list[_Waiting] = []
        self.records_written = 0
        self.transactions = 0
        self.failures = 0

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is written or waits."""
        return not self._waiting and not self._lock.locked()

    @property
    def waiting(self) -> int:
        """Return how many records wait for their turn."""
        return sum(len(one.batch) for one in self._waiting)

    async def write(self, batch: Batch, wanted: Wanted | None = None) -> Receipt | None:
        """Write a batch; returns when it is durable.

        Args:
            batch: the records.
            wanted: asked when it is the batch's turn; says whether anybody still waits for the answer.

        Raises:
            Gone: nobody did.
            BackendUnavailable, BackendRejected: as :meth:`tracecore.backend.Sink.write` does.
        """
        mine = _Waiting(batch, wanted or _always, anyio.Event())
        self._waiting.append(mine)
        try:
            async with self._lock:
                if not mine.done.is_set():
                    await self._write_some(mine)
        finally:
            mine.done.set()  # also where this is cancelled: nobody writes it then
            if mine in self._waiting:
                self._waiting.remove(mine)
        if mine.error is not None:
            raise mine.error
        return mine.receipt

    async def alone(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something that must not happen beside a write."""
        async with self._lock:
            return await work()

    async def _write_some(self, mine: _Waiting) -> None:
        """Write my batch, and with it those that wait."""
        chosen = self._chosen(mine)
        try:
            wanted = [one for one in chosen if await _is_wanted(one)]
            if len(wanted) > 1:
                await self._write_together(wanted)
            for one in wanted:
                if not one.done.is_set():
                    await self._write_one(one)
        finally:
            # Who was chosen and not written, because this was cancelled, takes the next turn.
            self._waiting[:0] = [one for one in chosen if one is not mine and not one.done.is_set()]

    def _chosen(self, mine: _Waiting) -> list[_Waiting]:
        chosen, size = [mine], len(mine.batch)
        self._waiting.remove(mine)
        while self._waiting and size + len(self._waiting[0].batch) <= _MOST_AT_ONCE:
            chosen.append(self._waiting.pop(0))
            size += len(chosen[-1].batch)
        return chosen

    async def _write_together(self, several: Sequence[_Waiting]) -> None:
        together: list[Record] = [record for one in several for record in one.batch]
        try:
            receipt = await self._through(together)
        except Exception:  # noqa: BLE001 - each is written by itself, and fails by itself
            return
        if receipt is None:  # else nobody knows whose records were rejected: each is written by itself
            for one in several:
                one.done.set()

    async def _through(self, batch: Batch) -> Receipt | None:
        try:
            receipt = await self._sink.write(batch)
        except Exception:
            self.failures += 1
            raise
        self.transactions += 1
        self.records_written += len(batch)
        return receipt

    async def _write_one(self, one: _Waiting) -> None:
        try:
            one.receipt = await self._through(one.batch)
        except (TracecoreError, MemoryError) as error:
            one.error = error
        except Exception as error:  # noqa: BLE001 - sent again, it would hold up all behind it
            report("tracecore's server could not write a batch of %d records", len(one.batch), severe=True, error=error)
            one.error = BackendRejected("the server's backend broke on the batch; its log says how")
            one.error.__cause__ = error
        one.done.set()


async def _always() -> bool:
    return True


async def _is_wanted(one: _Waiting) -> bool:
    if await one.wanted():
        return True
    one.error = Gone()
    one.done.set()
    return False
