"""An OTLP/HTTP collector as a backend: it takes observations, and gives nothing back.

OTLP carries spans that have ended. A running one counts as written, since its end follows; sessions and scores are
rejected, with a reason; entries of the ledger are refused, and none is sent because ``Capabilities.ledger`` is False.
A collector that keeps whatever it is sent has a span twice when an answer was lost: the same ids, for it to unite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio.to_thread

from tracecore.backend import Access, Batch, Receipt
from tracecore.errors import BackendRejected
from tracecore.records import Span
from tracecore_http import otlp_json, otlp_protobuf
from tracecore_http.address import Address, Compression, Encoding
from tracecore_http.compressing import CONTENT_ENCODING, compressed
from tracecore_http.conventions import OTHERS
from tracecore_http.exporting import Exporter
from tracecore_http.meaning import receipt_for, united
from tracecore_http.remote import Remote
from tracecore_http.resources import Export, grouped
from tracecore_http.spans import Attributes
from tracecore_http.transport import Answer, Connect, HttpxTransport

__all__ = ["OtlpBackend", "SpanSender"]


_NO_ATTRIBUTES: Final[Attributes] = []
_CONTENT_TYPES: Final[dict[Encoding, str]] = {"protobuf": "application/x-protobuf", "json": "application/json"}


class SpanSender:
    """Send observations to one path of a server, as OTLP in one of its encodings."""

    def __init__(self, remote: Remote, address: Address, path: str = "") -> None:
        self._remote = remote
        self._path = path
        self._compression: Compression = address.compression
        self._encoding: Encoding = address.encoding
        self._headers = [("content-type", _CONTENT_TYPES[address.encoding]), *CONTENT_ENCODING[address.compression]]

    @property
    def protocol(self) -> str:
        """Return what is spoken, in words."""
        return f"OTLP over HTTP, as {self._encoding}, compression {self._compression}"

    async def send(self, export: Export, extra: list[tuple[str, str]] | None = None) -> Receipt | None:
        """Send what is exported; return what of it was rejected."""
        receipts: list[Receipt | None] = []
        if export.resources:
            body = await anyio.to_thread.run_sync(self._packed, export)
            answer = await self._remote.ask(self._path, body, headers=[*self._headers, *(extra or [])])
            receipts.append(self._receipt_of(answer))
        if export.impossible:
            receipts.append(Receipt(export.impossible, "OTLP cannot hold their ids or times"))
        return united(receipts)

    async def probe(self) -> None:
        """Ask whether anybody is there who lets us in, with a request for nothing."""
        try:
            await self._remote.ask(self._path, self._packed(Export(OTHERS, [], [])), headers=self._headers)
        except BackendRejected:
            return  # it is there, and does not like to be sent nothing

    def _packed(self, export: Export) -> bytes:
        return compressed(_encoded(export, self._encoding), self._compression)

    def _receipt_of(self, answer: Answer) -> Receipt | None:
        """Return what an answer says was rejected, in whichever encoding it is, if that is one that we have."""
        rejected, reason = _rejected_in(answer, self._encoding)
        return receipt_for(rejected, reason, self._remote.key.hide)


def _rejected_in(answer: Answer, encoding: Encoding) -> tuple[int, str]:
    if answer.headers.get("content-type", "").startswith("application/json"):
        return otlp_json.rejected_in(answer.body)
    if encoding == "json":
        return 0, ""
    return otlp_protobuf.rejected_in(answer.body)


def _encoded(export: Export, encoding: Encoding) -> Iterator[bytes]:
    return otlp_json.encode_export(export) if encoding == "json" else otlp_protobuf.encode_export(export)


class OtlpBackend(Exporter):
    """Send observations to a collector."""

    takes = "observations"

    def __init__(self, address: Address, *, access: Access, connect: Connect = HttpxTransport) -> None:
        super().__init__(address, access=access, connect=connect)
        self._sender = SpanSender(self._remote, address)

    async def _greet(self) -> dict[str, str]:
        """Send nothing: who takes that is a collector."""
        await self._sender.probe()
        return {"protocol": self._sender.protocol}

    async def _send(self, batch: Batch) -> Receipt | None:
        """Send every observation of the batch that has ended."""
        observations = [record for record in batch if isinstance(record, Span)]
        export = await anyio.to_thread.run_sync(grouped, observations, OTHERS, _NO_ATTRIBUTES)
        left_out = len(batch) - len(observations)
        others = Receipt(left_out, "OTLP carries neither sessions nor scores") if left_out else None
        return united([await self._sender.send(export), others])
