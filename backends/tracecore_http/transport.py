"""The way to the other side: one request at a time becomes an answer. httpx2 behind three methods.

Whatever has these three methods can take its place. Invariants of the one here:

* httpx2 is imported when it is opened, not before, and at a moment when nobody forks.
* It follows no redirect, keeps no cookie and inflates nothing; unless a request asks for it, no answer is compressed.
* It says nothing to the program's log, where httpx2 would report every request.
* Of an answer no more is read than was asked for; the connection of one that is longer is closed.
* A forked child never uses, closes or collects what the parent opened: it makes a client of its own when it first
  needs one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import anyio.to_thread
from msgspec import Struct

from tracecore.errors import BackendUnavailable
from tracecore.forks import watch
from tracecore_http.drivers import unforked

if TYPE_CHECKING:
    from logging import LogRecord

    import httpx2

__all__ = ["Answer", "Connect", "HttpxTransport", "Request", "Transport"]

_KEPT_OPEN: Final = 20.0
"""Seconds for which a connection that nobody uses is kept."""
_MOST_CONNECTIONS: Final = 8
_STEP: Final = 1 << 16
_MENDED: Final = 30.0
"""Seconds after which is tried again what somebody has to mend."""
_VARIABLES: Final = "see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE"


class Request(Struct, frozen=True):
    """Say what to send."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    most: int = 1 << 16
    """Bytes of the answer's body that are read."""


class Answer(Struct, frozen=True):
    """Say what came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool = True
    """Whether that is all of the body."""


class Transport(Protocol):
    """Send requests. Errors are ``BackendUnavailable``; deadlines are the caller's, who cancels."""

    async def open(self) -> None:
        """Make ready, without connecting."""
        ...

    async def exchange(self, request: Request) -> Answer:
        """Send one request and return the answer to it."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


Connect: TypeAlias = Callable[[str], Transport]
"""Makes a transport that is not open, for a location to name in errors."""


class HttpxTransport:
    """Send requests through an ``httpx2.AsyncClient``."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._client: httpx2.AsyncClient | None = None
        self._is_open = False

    async def open(self) -> None:
        """Make the client."""
        self._is_open = True
        if self._client is None:
            try:  # it reads certificates, which takes tens of milliseconds
                client = await anyio.to_thread.run_sync(unforked, _new_client)
            except Exception as error:  # its words may hold a password, which is why they are not repeated
                what = f"what the environment says of proxies and certificates is of no use ({type(error).__name__})"
                raise BackendUnavailable(
                    f"{self._location} cannot be reached: {what}", _VARIABLES, retry_after=_MENDED
                ) from error
            if self._client is None:  # nobody else was faster
                self._client = client
            _open.add(self)

    async def exchange(self, request: Request) -> Answer:
        """Send one request and return the answer to it.

        Raises:
            BackendUnavailable: nobody answered, or nothing that is HTTP.
        """
        try:
            if self._is_open:
                await self.open()  # in a forked child there is no client yet
            return await self._exchange(request)
        except BackendUnavailable:
            raise
        # What a connection that breaks raises depends on the moment, the event loop and the proxy: no record is to be
        # refused for it.
        except Exception as error:
            what = str(error) or type(error).__name__
            what = f"{self._location} cannot be reached: {what[:200]}"
            raise BackendUnavailable(what, "start the server, or correct the address or the network") from error

    async def close(self) -> None:
        """Close the client."""
        client, self._client, self._is_open = self._client, None, False
        _open.discard(self)
        if client is not None:
            with suppress(OSError, RuntimeError):  # a connection that is broken, or whose loop is gone, is closed
                await client.aclose()

    def leave(self) -> None:
        """Forget the client without touching it: it is the parent's."""
        _of_the_parent.append(self._client)
        self._client = None

    async def _exchange(self, asked: Request) -> Answer:
        if self._client is None:
            raise RuntimeError("it was closed meanwhile")
        request = self._client.build_request(asked.method, asked.url, headers=asked.headers, content=asked.body or None)
        token = _is_ours.set(True)
        try:
            response = await self._client.send(request, stream=True)
        finally:
            _is_ours.reset(token)
        try:
            body, is_whole = await _read(response, asked.most)
        finally:
            await response.aclose()
        headers = {name: response.headers[name] for name in _WANTED if name in response.headers}
        return Answer(response.status_code, headers, body, is_whole)


_is_ours: Final = ContextVar("tracecore_http_request", default=False)
"""Whether a request that is being sent is one of ours."""


def _is_theirs(_: LogRecord) -> bool:
    """Let the program's own requests be reported."""
    return not _is_ours.get()


_WANTED: Final = ("content-type", "content-encoding", "location", "retry-after")
_open: Final[weakref.WeakSet[HttpxTransport]] = weakref.WeakSet()
_of_the_parent: Final[list[object]] = []
"""What a forked child has inherited: kept for ever, so that nobody closes it."""


def _leave_to_the_parent() -> None:
    for transport in list(_open):
        transport.leave()
    _open.clear()


def _new_client() -> httpx2.AsyncClient:
    import logging  # noqa: PLC0415 - as below
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415 - as below

    import httpx2  # noqa: PLC0415 - a program that sends nothing does not pay for it

    logging.getLogger("httpx2").addFilter(_is_theirs)  # twice is once
    watch(in_child=_leave_to_the_parent)
    return httpx2.AsyncClient(
        timeout=None,  # whoever asks has a deadline, which cancels
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(max_connections=_MOST_CONNECTIONS, keepalive_expiry=_KEPT_OPEN),
        headers={"user-agent": "tracecore", "accept-encoding": "identity"},
    )


async def _read(response: httpx2.Response, most: int) -> tuple[bytes, bool]:
    """Return the body of a response as it was sent, up to so many bytes, and whether that is all."""
    pieces, length = list[bytes](), 0
    async for piece in response.aiter_raw(_STEP):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            return b"".join(pieces)[:most], False
    return b"".join(pieces), True
