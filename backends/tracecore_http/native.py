"""A tracecore server as a backend: batches and questions go to its own endpoint (:mod:`tracecore.wire`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio.to_thread
from msgspec.structs import replace

from tracecore.backend import Access, Batch, Capabilities, Receipt
from tracecore.clock import monotonic_ns
from tracecore.errors import BackendRejected
from tracecore.records import LedgerEntry
from tracecore.wire import BASE, About, Slice, Written, encode
from tracecore_http.address import Address
from tracecore_http.answers import understood
from tracecore_http.batches import check, in_parts
from tracecore_http.compressing import CONTENT_ENCODING, compressed
from tracecore_http.meaning import printable, receipt_for
from tracecore_http.prompts import RemotePrompts
from tracecore_http.reading import (
    RemoteLedger,
    RemoteMeasures,
    RemoteObservations,
    RemoteScores,
    RemoteSessions,
    RemoteTraces,
)
from tracecore_http.remote import Remote
from tracecore_http.transport import Connect, HttpxTransport

__all__ = ["NativeBackend"]

_LOOK_EVERY_NS: Final = 60 * 10**9
"""How often the server is asked to do work that it has put off."""
_SLICE: Final = 200
"""Records that are encoded at once: a call into C that long holds up no other thread for long."""
_FEW: Final = 4
"""Records that are not worth a thread."""
_JSON: Final = [("content-type", "application/json")]


_CAN: Final = Capabilities(
    durable=True, traces=True, observations=True, sessions=True, scores=True, search=True, ledger=True, measures=True,
    level="received",
)  # fmt: skip
_CAN_NOT_MEASURE: Final = replace(_CAN, measures=False)


class NativeBackend:
    """Keep records on a tracecore server; see :class:`tracecore.backend.Backend` for what each member means."""

    sql: Final = None

    def __init__(
        self,
        address: Address,
        *,
        access: Access,
        connect: Connect = HttpxTransport,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._address = address
        self._access: Access = access
        self._connect = connect
        self._clock = clock
        self._remote = remote = Remote(address, connect)
        self._keeps_ledger = True
        """Whether the server's own backend does."""
        self._measures = True
        """Likewise."""
        self._next_look = 0
        self._headers = [*_JSON, *CONTENT_ENCODING[address.compression]]
        self.location: Final = address.location
        self.asks_as: Final = address.credentials.mark
        """Tells from others who asks, and with that which project is read."""
        self.traces: Final = RemoteTraces(remote)
        self.observations: Final = RemoteObservations(remote)
        self.sessions: Final = RemoteSessions(remote)
        self.scores: Final = RemoteScores(remote)
        self.ledger: Final = RemoteLedger(remote)
        self.prompts: Final = RemotePrompts(remote, access)
        self.measures: Final = RemoteMeasures(remote)

    @property
    def capabilities(self) -> Capabilities:
        """Return what this backend can do: all that a server does whose backend measures, until it says otherwise."""
        return _CAN if self._measures else _CAN_NOT_MEASURE

    def another(self) -> NativeBackend:
        """Return an unopened backend of the same server, wherever the program has gone."""
        return NativeBackend(self._address, access=self._access, connect=self._connect, clock=self._clock)

    async def open(self) -> None:
        """Ask the server what it can do: it is there, and lets us in."""
        if not self._remote.is_open:
            await self._remote.open(self._greet)
            self._next_look = self._clock()

    async def facts(self) -> dict[str, str]:
        """Return which server this is, which project is reached, and what matters on the way."""
        return await self._remote.facts(self._greet)

    async def write(self, batch: Batch) -> Receipt | None:
        """Keep every record of the batch, or none of it; returns after the server has written it.

        Where the server finds it too large it is written in parts.
        """
        check(batch, self.location, access=self._access, is_open=self._remote.is_open)
        if not self._keeps_ledger and any(isinstance(record, LedgerEntry) for record in batch):
            raise BackendRejected(f"the backend behind {self.location} keeps no ledger", "write records only")
        return await in_parts(batch, self._send) if batch else None

    async def maintain(self) -> bool:
        """Let the server do a slice of what it has put off, now and then; return whether more remains."""
        if not self._remote.is_open or self._access == "read" or self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + _LOOK_EVERY_NS
        more = understood(await self._remote.ask(f"{BASE}/maintain"), Slice, self.location).more
        if more:
            self._next_look = self._clock()
        return more

    async def close(self) -> None:
        """Let go of every connection."""
        await self._remote.close()

    async def _greet(self) -> dict[str, str]:
        """Ask the server what it can do; return what it says of itself."""
        answer = await self._remote.ask(f"{BASE}/capabilities", method="GET")
        about = understood(answer, About, self.location)
        self._keeps_ledger, self._measures = about.ledger, about.measures
        version, behind = printable(about.version) or "of an unknown version", printable(about.backend) or "something"
        reached = printable(about.project) or "each that is asked for"
        protocol = f"tracecore's own, compression {self._address.compression}"
        return {"tracecore": f"{version}, before {behind}", "project": reached, "protocol": protocol}

    async def _send(self, batch: Batch) -> Receipt | None:
        pack = self._packed
        body = await anyio.to_thread.run_sync(pack, batch) if len(batch) > _FEW else pack(batch)
        answer = await self._remote.ask(f"{BASE}/batch", body, headers=self._headers)
        written = understood(answer, Written, self.location)
        return receipt_for(written.rejected, written.reason, self._remote.key.hide)

    def _packed(self, batch: Batch) -> bytes:
        return compressed(_pieces(batch), self._address.compression)


def _pieces(batch: Batch) -> Iterator[bytes]:
    """Yield an array of records, piece by piece."""
    for start in range(0, len(batch), _SLICE):
        yield b"," if start else b"["
        yield encode(list(batch[start : start + _SLICE]))[1:-1]
    yield b"]"
