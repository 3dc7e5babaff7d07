"""What every backend is that hands records on and gives nothing back: all of it but what is spoken with the other side.

Who speaks a protocol says how to ask whether somebody is there who lets us in, and how to send a batch; this does the
rest of what :class:`tracecore.backend.Backend` promises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final, Self

from tracecore.backend import Access, Batch, Capabilities, Receipt
from tracecore.errors import BackendRejected
from tracecore.records import LedgerEntry
from tracecore_http.address import Address
from tracecore_http.batches import check, in_parts
from tracecore_http.remote import Remote
from tracecore_http.transport import Connect, HttpxTransport

__all__ = ["Exporter"]


class Exporter(ABC):
    """Send records to a server; see :class:`tracecore.backend.Backend` for what each member means."""

    traces: Final = None
    observations: Final = None
    sessions: Final = None
    scores: Final = None
    ledger: Final = None
    sql: Final = None
    capabilities: Final = Capabilities(level="received")
    takes: ClassVar[str]
    """What may be written, in words."""

    def __init__(self, address: Address, *, access: Access, connect: Connect = HttpxTransport) -> None:
        self._address: Final = address
        self._access: Final[Access] = access
        self._connect: Final = connect
        self._remote: Final = Remote(address, connect)
        self.location: Final = address.location

    def another(self) -> Self:
        """Return an unopened backend of the same server, wherever the program has gone."""
        return type(self)(self._address, access=self._access, connect=self._connect)

    async def open(self) -> None:
        """Ask the server whether it is there, and lets us in."""
        await self._remote.open(self._greet)

    async def facts(self) -> dict[str, str]:
        """Return what is spoken with whom, and how long it takes to be answered."""
        return await self._remote.facts(self._greet)

    async def write(self, batch: Batch) -> Receipt | None:
        """Send what the other side can take of a batch; return what it has rejected."""
        check(batch, self.location, access=self._access, is_open=self._remote.is_open)
        if any(isinstance(record, LedgerEntry) for record in batch):
            raise BackendRejected(f"{self.location} keeps no ledger", f"write {self.takes} only")
        return await in_parts(batch, self._send) if batch else None

    async def maintain(self) -> bool:
        """Do nothing: the server looks after itself."""
        return False

    async def close(self) -> None:
        """Let go of every connection."""
        await self._remote.close()

    @abstractmethod
    async def _greet(self) -> dict[str, str]:
        """Ask whether somebody is there who lets us in; return what they say of themselves."""

    @abstractmethod
    async def _send(self, batch: Batch) -> Receipt | None:
        """Send one batch that is not empty and holds no entries of the ledger."""
