"""Reading the body of a request: inflated as it arrives, within bounds of bytes, of ratio, of time and of memory.

A body is refused at the first byte beyond a bound, whatever it says of its own length. All bodies that are being read
and written at one moment share an allowance: who comes when it is used up is asked to come again. So do answers, by one
of their own: whoever does not read his answers keeps nobody from writing.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeAlias

import anyio
from msgspec import Struct
from starlette.requests import Request

from tracecore.server.problems import Refusal
from tracecore.wire import LARGEST_BATCH, LARGEST_WINDOW_LOG

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ANSWERS_IN_HAND", "Allowance", "Limits", "Room", "body_of", "zstd"]

ANSWERS_IN_HAND: Final = 64 << 20
"""Bytes of all long answers that are being made or sent at one moment."""

_STEP: Final = 1 << 18
"""Bytes that are inflated at once."""
_LONGEST_LENGTH: Final = 20
"""Digits of a length that are read; with so many any is too long."""
_GZIP: Final = 31
"""zlib's word for a gzip header and the largest window."""


class Limits(Struct, frozen=True):
    """Say what a request may cost."""

    wire_bytes: int = LARGEST_BATCH
    """Bytes of a body as it arrives."""
    inflated_bytes: int = LARGEST_BATCH
    """Bytes of a body after inflating."""
    ratio: int = 250
    """How many times longer a body may become by inflating, once it is longer than ``free_bytes``."""
    free_bytes: int = 4 << 20
    """Bytes that a body may have whatever the ratio."""
    read_seconds: float = 30.0
    """Seconds in which a body must have arrived."""
    in_hand_bytes: int = 128 << 20
    """Bytes of all bodies that are being read or written at one moment; decoded they are some times as long."""


class Room:
    """Hold bytes that many have in hand at one moment."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._used = 0

    @property
    def used(self) -> int:
        """Return how many bytes are in hand."""
        return self._used

    @contextmanager
    def share(self) -> Generator[Callable[[int], None]]:
        """Return what takes bytes for one of them; all are given back at the end of the block.

        What is returned raises :class:`~tracecore.server.problems.Refusal` where there is no room.
        """
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            # Whoever is alone is never asked to come again: it would be for ever.
            if self._used > mine and self._used + count > self._limit:
                raise Refusal(
                    503, "BackendUnavailable", f"{self._used} bytes wait to be {self._what} already", retry_after=1.0
                )
            mine += count
            self._used += count

        try:
            yield take
        finally:
            self._used -= mine


class Allowance(Room):
    """Hold the bytes of all bodies that are being read or written at one moment, and apart from them of all answers."""

    def __init__(self, limit: int, answers: int = ANSWERS_IN_HAND) -> None:
        super().__init__(limit, "written here")
        self.answers: Final = Room(answers, "read by clients here")
        """Payloads that were read for an answer, and long answers until they are sent."""


class _Inflater(Protocol):
    """Inflate piece by piece: what ``zstd`` and ``zlib`` offer, made one."""

    def feed(self, piece: bytes) -> Iterator[bytes]: ...

    @property
    def ended(self) -> bool: ...


class _Plain:
    @property
    def ended(self) -> bool:
        return True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece


class _Zstd:
    def __init__(self) -> None:
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: LARGEST_WINDOW_LOG}
        self._inflate = zstd.ZstdDecompressor(options=options)

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if self._inflate.eof:
            raise _garbage("something follows the zstd frame")
        yield self._inflate.decompress(piece, _STEP)
        while not self._inflate.needs_input and not self._inflate.eof:
            yield self._inflate.decompress(b"", _STEP)
        if self._inflate.unused_data:
            raise _garbage("something follows the zstd frame")


class _Gzip:
    def __init__(self, window_bits: int = _GZIP) -> None:
        self._inflate = zlib.decompressobj(window_bits)

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if self._inflate.eof:
            raise _garbage("something follows the end of what is compressed")
        inflated = self._inflate.decompress(piece, _STEP)
        yield inflated
        # A piece that is as long as it may be can have more behind it although all of the input is consumed.
        while self._inflate.unconsumed_tail or (len(inflated) == _STEP and not self._inflate.eof):
            inflated = self._inflate.decompress(self._inflate.unconsumed_tail, _STEP)
            yield inflated
        if self._inflate.unused_data:
            raise _garbage("something follows the end of what is compressed")


class _Deflate(_Gzip):
    def __init__(self) -> None:
        super().__init__(zlib.MAX_WBITS)


_Maker: TypeAlias = Callable[[], _Inflater]
_INFLATERS: Final[dict[str, _Maker]] = {
    "": _Plain, "identity": _Plain, "zstd": _Zstd, "gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate,
}  # fmt: skip
"""Beside gzip, exporters of OpenTelemetry for Python can be set to ``deflate``, which is zlib's format in HTTP."""


async def body_of(request: Request, limits: Limits, take: Callable[[int], None]) -> bytes:
    """Return the inflated body of a request; ``take`` is told of every byte that is kept.

    Raises:
        Refusal: the body is too large, too slow, garbage, or there is no memory for it now.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    make = _INFLATERS.get(encoding)
    if make is None:
        raise Refusal(415, "Unsupported", f"content-encoding {encoding[:40]!r}", "use zstd, gzip, deflate or none")
    arriving = request.stream()
    declared = request.headers.get("content-length", "")[:_LONGEST_LENGTH]
    if declared.isdecimal() and int(declared) > limits.wire_bytes:  # what is to be refused need not be held first
        with anyio.move_on_after(limits.read_seconds):
            await _pass_over(arriving, limits)
        raise _too_long(limits)
    with anyio.move_on_after(limits.read_seconds):
        try:
            return await _read(arriving, make(), limits, take)
        except (zstd.ZstdError, zlib.error, EOFError) as error:
            await _pass_over(arriving, limits)
            raise _garbage(str(error)) from error
        except Refusal:
            await _pass_over(arriving, limits)
            raise
    raise Refusal(408, "Timeout", f"the body did not arrive within {limits.read_seconds:g} s")


async def _read(
    arriving: AsyncIterator[bytes], inflater: _Inflater, limits: Limits, take: Callable[[int], None]
) -> bytes:
    arrived, pieces, length = 0, list[bytes](), 0
    async for piece in arriving:
        if not piece:
            continue
        arrived += len(piece)
        if arrived > limits.wire_bytes:
            raise _too_long(limits)
        for inflated in inflater.feed(piece):
            length += len(inflated)
            _check(length, arrived, limits)
            take(len(inflated))
            pieces.append(inflated)
    if arrived and not inflater.ended:
        raise _garbage("the body ends in the middle")
    return b"".join(pieces)


async def _pass_over(arriving: AsyncIterator[bytes], limits: Limits) -> None:
    """Read what is left of a body, within bounds: many a client looks for the answer only when it has sent all."""
    passed = 0
    async for piece in arriving:
        passed += len(piece)
        if passed > limits.wire_bytes:
            return


def _check(length: int, arrived: int, limits: Limits) -> None:
    if length > limits.inflated_bytes:
        raise _too_large(f"the body is longer than {limits.inflated_bytes} bytes after inflating")
    if length > max(limits.free_bytes, arrived * limits.ratio):
        raise _too_large(f"the body becomes more than {limits.ratio} times longer by inflating")


def _too_long(limits: Limits) -> Refusal:
    return _too_large(f"the body is longer than {limits.wire_bytes} bytes")


def _too_large(detail: str) -> Refusal:
    return Refusal(413, "TooLarge", detail, "send less at once")


def _garbage(detail: str) -> Refusal:
    return Refusal(400, "Malformed", f"the body cannot be inflated: {detail}")
