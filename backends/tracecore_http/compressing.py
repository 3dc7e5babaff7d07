"""Compressing bodies, piece by piece: C code lets go of the interpreter meanwhile, so this belongs on a thread."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from typing import Final, Protocol

from tracecore_http.address import Compression

__all__ = ["CONTENT_ENCODING", "compressed"]

CONTENT_ENCODING: Final[dict[Compression, list[tuple[str, str]]]] = {
    "zstd": [("content-encoding", "zstd")],
    "gzip": [("content-encoding", "gzip")],
    "none": [],
}
"""The header that says how a body was compressed."""

_ZSTD_LEVEL: Final = 1
_GZIP_LEVEL: Final = 1
_GZIP: Final = 31
"""zlib's word for a gzip header and the largest window."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def compressed(pieces: Iterable[bytes], compression: Compression) -> bytes:
    """Return the pieces as one body."""
    if compression == "none":
        return b"".join(pieces)
    compressor: _Compressor = _zstd() if compression == "zstd" else zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    found = [compressor.compress(piece) for piece in pieces]
    return b"".join((*found, compressor.flush()))


def _zstd() -> _Compressor:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - a program that sends nothing does not pay for it
    else:
        from backports import zstd  # noqa: PLC0415 - as above
    return zstd.ZstdCompressor(_ZSTD_LEVEL)
