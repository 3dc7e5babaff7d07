"""The other side: where it is, who asks, and how long it may take. Every backend of this package asks through it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from tracecore.clock import monotonic_ns
from tracecore.errors import BackendUnavailable, TracecoreError
from tracecore_http.address import Address
from tracecore_http.credentials import Key
from tracecore_http.drivers import load
from tracecore_http.meaning import error_in
from tracecore_http.transport import Answer, Connect, HttpxTransport, Request, Transport

__all__ = ["ANSWER_BYTES", "Explain", "Greet", "Remote", "drivers_of"]

Greet: TypeAlias = Callable[[], Awaitable[dict[str, str]]]
"""Asks whether somebody is there who lets us in, and returns what they say of themselves, by name."""
Explain: TypeAlias = Callable[[Answer], TracecoreError | None]
"""Returns the error that an answer means, or None for the one that such an answer always means."""

ANSWER_BYTES: Final = 64 << 10
"""Bytes of an answer to a write that are read, whatever it says of its length."""
_REFUSED: Final = frozenset({401, 403})


class Remote:
    """Send requests to one address, each with our credentials and within its time."""

    def __init__(self, address: Address, connect: Connect = HttpxTransport) -> None:
        self.location: Final = address.location
        self.key: Final = Key(address.credentials)
        self.has_zstd: Final = address.compression == "zstd"
        """Whether what that needs is there."""
        self.is_open = False
        self._address: Final = address
        self._drivers: Final = drivers_of(address)
        self._transport: Final[Transport] = connect(address.location)

    async def open(self, greet: Greet) -> None:
        """Make ready to send, and ask whether somebody is there who lets us in; opening twice is once."""
        if self.is_open:
            return
        await anyio.to_thread.run_sync(load, *self._drivers)
        await self._transport.open()
        self.is_open = True
        try:
            await greet()
        except BaseException:
            await self.close()
            raise

    async def facts(self, greet: Greet) -> dict[str, str]:
        """Return what somebody says who is asked now, how long that takes, and what of ours matters on the way."""
        began_ns = monotonic_ns()
        said = await greet()
        took_ms = (monotonic_ns() - began_ns) / 1e6
        proxy = await anyio.to_thread.run_sync(_proxy_to, self._address.base)
        ours = {"request": f"took {took_ms:.1f} ms", "credentials": self.key.kind, "proxy": proxy}
        return {**said, **ours}

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
        patience: float = 0.0,
        explain: Explain | None = None,
    ) -> Answer:
        """Send one request and return the answer to it, which says that it was done.

        ``patience`` is how many seconds the other side was asked to wait before it answers. ``explain`` is asked first
        what an answer means that says that it was not done.

        Raises:
            BackendUnavailable: nobody answered in time, or the answer means that.
            BackendRejected: the answer means that.
        """
        request = Request(method, self._address.base + path, [*self.key.headers(), *(headers or [])], body, most)
        with anyio.move_on_after(self._address.timeout + patience):
            return self._done(await self._exchange(request), explain)
        within = f"{self._address.timeout + patience:g} s"
        raise BackendUnavailable(
            f"{self.location} did not answer within {within}", "raise ?timeout= if it takes that long"
        )

    async def _exchange(self, request: Request) -> Answer:
        try:
            return await self._transport.exchange(request)
        except BackendUnavailable as error:  # it may quote what came back instead of an answer
            what = self.key.hide(error.what)
            raise BackendUnavailable(what, error.remedy, retry_after=error.retry_after) from error.__cause__

    def _done(self, answer: Answer, explain: Explain | None) -> Answer:
        error = None if explain is None or answer.status < HTTPStatus.MULTIPLE_CHOICES else explain(answer)
        error = error or error_in(answer, self.location, self.key.hide, is_native=self._address.protocol == "native")
        if answer.status in _REFUSED:
            self.key.forget()
        if error is not None:
            raise error
        return answer


def _proxy_to(base: str) -> str:
    """Return the proxy that the environment puts before an address, without its credentials, in words."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow to import, for whoever looks for mistakes

    parts, known = urlsplit(base), getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return "none"
    return f"{proxy.rpartition('@')[2].rpartition('//')[2]}, of the environment"


def drivers_of(address: Address) -> list[str]:
    """Return the names of the modules that are needed to speak to an address."""
    zstd = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return ["httpx2", zstd] if address.compression == "zstd" else ["httpx2"]
