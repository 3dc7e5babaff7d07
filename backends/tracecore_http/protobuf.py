"""Protocol Buffers' wire format, as much of it as OTLP needs: fields to bytes, and back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

__all__ = ["fields", "sized", "varint"]

_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
_FIXED: Final = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_LONGEST_SHIFT: Final = 63


@lru_cache(4096)
def varint(value: int) -> bytes:
    """Return an integer of 64 bits, 7 bits a byte; nearly all are lengths of short texts, hence the cache."""
    rest, found = value & (2**64 - 1), bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - what one byte holds
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def sized(tag: bytes, content: bytes) -> bytes:
    """Return a field that is a text or a message: its tag (number and wire type), its length and its bytes."""
    return b"%b%b%b" % (tag, varint(len(content)), content)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field of a message, in order.

    Raises:
        ValueError: the bytes are no message, or hold groups, which nobody sends any more.
    """
    at = 0
    while at < len(message):
        key, at = _varint_at(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint_at(message, at)
            yield key >> 3, value
            continue
        length, at = _varint_at(message, at) if kind == _SIZED else (_FIXED.get(kind, -1), at)
        if not 0 <= length <= len(message) - at:
            raise ValueError(f"field {key >> 3} of wire type {kind} does not fit the message")
        yield key >> 3, message[at : at + length]
        at += length


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    """Return the integer that begins at a place, and the place behind it."""
    value = shift = 0
    while at < len(message) and shift <= _LONGEST_SHIFT:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] <= 0x7F:  # noqa: PLR2004 - the last byte of an integer lacks the highest bit
            return value & (2**64 - 1), at
    raise ValueError("an integer has no end")
