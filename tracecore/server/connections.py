"""Connections of clients that are slow or long-winded on purpose.

uvicorn bounds neither how long the head of a request may take nor how long it may be: a thousand connections that send
a byte a minute would stay for ever, and one that sends headers without end would take all memory. Nor does it bound for
how long an answer may wait to be read: each that waits takes its length in memory. The time and the size of a body are
bounded where it is read (:mod:`tracecore.server.bodies`).
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tracecore.server.ending import ending_of

__all__ = ["HEAD_SECONDS", "LARGEST_HEAD", "UNREAD_SECONDS", "Connection"]

HEAD_SECONDS: Final = 10.0
"""In which the head of a request must have arrived, and after which a connection without one is closed."""
LARGEST_HEAD: Final = 64 << 10
"""Bytes of request line and headers, give or take what arrives at once."""
UNREAD_SECONDS: Final = 120.0
"""In which a client must have read more of its answer, or of what the system holds of it, which may be a megabyte."""
_ANSWER: Final = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """Speak HTTP/1.1 with a client, and with none for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._heads = 0
        """How many there were."""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._expect_nothing()
        self._expect_no_reading()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait until the client reads."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Go on: it has read most of what there was."""
        self._expect_no_reading()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head is too long."""
        heads, in_head = self._heads, self._in_head
        if in_head and self._deadline is None:
            self._expect_head()
        super().data_received(data)
        if in_head and self._heads == heads:  # a whole request, and the beginning of the next, may arrive at once
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._in_head = False
        self._heads += 1
        self._head_bytes = 0
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Go on to the next request."""
        self._in_head = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """End what is left to be answered: a request that waits is told so."""
        super().shutdown()
        if self._answering():
            ending_of(cast("MutableMapping[str, Any]", self.cycle.scope)).begin()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._check_reading, unread)

    def _expect_no_reading(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _check_reading(self, before: int) -> None:
        """Close a connection whose client does not read; what it did not read is forgotten."""
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._expect_reading()

    def _answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request, whatever its type says
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: bytes) -> None:
        """Answer where nothing else is being answered, and close."""
        self._expect_nothing()
        if self.transport.is_closing():
            return
        if not self._answering():
            self.transport.write(_ANSWER % status)
        self.transport.close()
