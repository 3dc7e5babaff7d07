"""Compressing bodies, piece by piece, as they are made, which belongs on a thread; and inflating one.

Between two pieces other threads are let in. CPython hands its lock to a thread that waits for it after 5 ms only: on
two cores a thread that wished to run every millisecond waited for 5 to 7 ms (median) beside one that encoded without a
pause, and for 0.1 ms beside one that slept between pieces, whether for 50 µs or for no time at all.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from tracecore.clock import monotonic_ns
from tracecore.wire import LARGEST_WINDOW_LOG
from tracecore_http.address import Compression

__all__ = ["CONTENT_ENCODING", "compressed", "inflated", "yielding"]

CONTENT_ENCODING: Final[dict[Compression, list[tuple[str, str]]]] = {
    "zstd": [("content-encoding", "zstd")],
    "gzip": [("content-encoding", "gzip")],
    "none": [],
}
"""The header that says how a body was compressed."""

_A_WHILE_NS: Final = 500_000
_MOMENT_S: Final = 50e-6
"""Enough for a thread that waits to wake up, and little beside the work of a piece."""
_ZSTD_LEVEL: Final = 1
_GZIP_LEVEL: Final = 1
_GZIP: Final = 31
"""zlib's word for a gzip header and the largest window."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def yielding(
    pieces: Iterable[bytes], *, clock: Callable[[], int] = monotonic_ns, sleep: Callable[[float], None] = time.sleep
) -> Iterator[bytes]:
    """Yield the pieces; whenever making and using them has taken a while, let other threads run first."""
    since = clock()
    for piece in pieces:
        yield piece
        if clock() - since >= _A_WHILE_NS:
            sleep(_MOMENT_S)
            since = clock()


def compressed(pieces: Iterable[bytes], compression: Compression) -> bytes:
    """Return the pieces as one body."""
    if compression == "none":
        return b"".join(yielding(pieces))
    is_gzip = compression == "gzip"
    compressor: _Compressor
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP) if is_gzip else _zstd().ZstdCompressor(_ZSTD_LEVEL)
    found = [compressor.compress(piece) for piece in yielding(pieces)]
    return b"".join((*found, compressor.flush()))


def inflated(body: bytes, most: int) -> tuple[bytes, bool]:
    """Return what a body was before zstd, up to so many bytes, and whether that is all of it.

    Raises:
        ValueError: it is no such body.
    """
    zstd = _zstd()
    inflater = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: LARGEST_WINDOW_LOG})
    try:
        found: bytes = inflater.decompress(body, most + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(found) > most:
        return found[:most], False
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it is not one zstd frame")
    return found, True


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - a program that sends nothing does not pay for it
    else:
        from backports import zstd  # noqa: PLC0415 - as above
    return zstd
