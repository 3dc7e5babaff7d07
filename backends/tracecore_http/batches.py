"""What is done with a batch before it is sent: looking at what is in it, and halving it where it is too large."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from tracecore.backend import Access, Batch, Receipt
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import Event, Generation, LedgerEntry, Score, Session, Span
from tracecore_http.meaning import TooLarge, united

__all__ = ["Send", "check", "in_parts"]

Send: TypeAlias = Callable[[Batch], Awaitable[Receipt | None]]

_KINDS: Final[frozenset[type]] = frozenset({Span, Generation, Event, Session, Score, LedgerEntry})


def check(batch: Batch, location: str, *, access: Access, is_open: bool) -> None:
    """Refuse to write what cannot be written.

    Raises:
        BackendUnavailable: the backend is not open.
        BackendRejected: it was opened for reading, or the batch holds something that is no record.
    """
    if access == "read":
        raise BackendRejected(f"{location} was opened for reading", 'open it with access="write"')
    if not is_open:
        raise BackendUnavailable(f"{location} is not open", "open it first")
    kinds: set[type[Any]] = set(map(type, batch))
    for stranger in kinds - _KINDS:
        raise BackendRejected(f"a batch cannot hold a {stranger.__name__}", "write records only")


async def in_parts(batch: Batch, send: Send) -> Receipt | None:
    """Send a batch, in halves where the other side finds it too large, and return what became of all of it.

    What comes last, the entry of the ledger, is sent last.

    Raises:
        BackendRejected: a single record is too large. Whoever halves the batch finds out which.
    """
    try:
        return await send(batch)
    except TooLarge:
        if sum(not isinstance(record, LedgerEntry) for record in batch) <= 1:
            raise
    middle = len(batch) // 2
    return united([await in_parts(part, send) for part in (batch[:middle], batch[middle:])])
