"""The other side: where it is, who asks, and how long it may take. Every backend of this package asks through it."""

from __future__ import annotations

import sys
from typing import Final

import anyio
import anyio.to_thread

from tracecore.errors import BackendUnavailable
from tracecore_http.address import Address
from tracecore_http.credentials import Key
from tracecore_http.drivers import load
from tracecore_http.meaning import error_in
from tracecore_http.transport import Answer, Connect, HttpxTransport, Request, Transport

__all__ = ["ANSWER_BYTES", "Remote"]

ANSWER_BYTES: Final = 64 << 10
"""Bytes of an answer to a write that are read, whatever it says of its length."""
_REFUSED: Final = frozenset({401, 403})


class Remote:
    """Send requests to one address, each with our credentials and within its time."""

    def __init__(self, address: Address, connect: Connect = HttpxTransport) -> None:
        self.location: Final = address.location
        self.key: Final = Key(address.credentials)
        self.is_open = False
        self._base: Final = address.base
        self._timeout: Final = address.timeout
        self._drivers: Final = _drivers(address)
        self._transport: Final[Transport] = connect(address.location)

    async def open(self) -> None:
        """Make ready to send; opening twice is once."""
        await anyio.to_thread.run_sync(load, *self._drivers)
        await self._transport.open()
        self.is_open = True

    async def close(self) -> None:
        """Let go of every connection; closing twice is once."""
        self.is_open = False
        await self._transport.close()

    async def ask(
        self,
        path: str,
        body: bytes = b"",
        *,
        method: str = "POST",
        headers: list[tuple[str, str]] | None = None,
        most: int = ANSWER_BYTES,
    ) -> Answer:
        """Send one request and return the answer to it, which says that it was done.

        Raises:
            BackendUnavailable: nobody answered in time, or the answer means that.
            BackendRejected: the answer means that.
        """
        request = Request(method, self._base + path, [*self.key.headers(), *(headers or [])], body, most)
        with anyio.move_on_after(self._timeout):
            return self._done(await self._transport.exchange(request))
        raise BackendUnavailable(
            f"{self.location} did not answer within {self._timeout:g} s", "raise ?timeout= if it takes that long"
        )

    def _done(self, answer: Answer) -> Answer:
        error = error_in(answer, self.location, self.key.hide)
        if answer.status in _REFUSED:
            self.key.forget()
        if error is not None:
            raise error
        return answer


def _drivers(address: Address) -> list[str]:
    """Return the names of the modules that are needed to speak to an address."""
    names = ["httpx2"]
    if address.compression == "zstd":
        names.append("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    if address.protocol != "native" and address.encoding == "protobuf":
        names.append("tracecore_http.otlp_protobuf")
    return names
