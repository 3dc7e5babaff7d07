"""The frame of a request as protobuf, taken apart by hand: who parses a span at a time needs memory for one.

A request is resources, each of which is scopes, each of which is spans (``trace_service.proto``, ``trace.proto``).
Everything below is left to the classes of ``opentelemetry-proto``, once it is small enough: see :func:`reduced`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tracecore.server.otlp.limits import Budget
from tracecore.wire import Malformed

__all__ = ["RESOURCE", "SCOPE", "SPAN", "Piece", "Shape", "number_field", "pieces", "reduced", "sized_field"]

_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
_ONE_BYTE: Final = 0x7F
_LONGEST_SHIFT: Final = 63
_KEY, _VALUE, _STRING = 1, 2, 1
_LARGE_VALUE: Final = b'{"$omitted":{"type":"value","reason":"budget"}}'


class Piece(Struct, frozen=True, gc=False):
    """Name a field of a message: its number, where it begins, and where its content begins and ends, in bytes.

    A field without content of its own (a number) has an empty one at its end.
    """

    number: int
    at: int
    start: int
    end: int


class Part(Struct, frozen=True):
    """Describe a field that repeats: what it is called, which limit holds, and what is in it."""

    name: str
    limit: str
    shape: Shape | None
    """None is an attribute, a ``KeyValue``."""


class Shape(Struct, frozen=True):
    """Describe the fields of a message that repeat, by number."""

    parts: dict[int, Part]


_ATTRIBUTES: Final = Part("attributes", "attributes", None)
RESOURCE: Final = Shape({1: _ATTRIBUTES})
SCOPE: Final = Shape({3: _ATTRIBUTES})
SPAN: Final = Shape({
    9: _ATTRIBUTES,
    11: Part("events", "events", Shape({3: _ATTRIBUTES})),
    13: Part("links", "links", Shape({4: _ATTRIBUTES})),
})  # fmt: skip


def pieces(message: bytes, start: int = 0, end: int | None = None) -> Iterator[Piece]:
    """Yield the fields of a message, in order.

    Raises:
        Malformed: the bytes are no message, or hold groups, which nobody sends any more.
    """
    at, stop = start, len(message) if end is None else end
    while at < stop:
        begun = at
        tag, at = _varint(message, at, stop)
        kind = tag & 7
        if kind == _SIZED:
            size, at = _varint(message, at, stop)
            content, at = at, at + size
        elif kind == _VARINT:
            _, at = _varint(message, at, stop)
            content = at
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            at += 8 if kind == _EIGHT_BYTES else 4
            content = at
        else:
            raise Malformed(f"no protobuf: wire type {kind} at byte {begun}")
        if at > stop:
            raise Malformed(f"the protobuf ends in the middle: field {tag >> 3} at byte {begun} wants {at - stop} more")
        yield Piece(tag >> 3, begun, content, at)


def reduced(message: bytes, shape: Shape, budget: Budget, dropped: dict[str, int]) -> bytes:
    """Return a message without what its limits forbid, so that parsing it takes little memory.

    ``dropped`` counts what is left out. A message that is small, or within its limits, says the same afterwards.
    """
    if len(message) <= budget.limits.small_bytes:
        return message
    kept: list[bytes] = []
    counts: dict[int, int] = {}
    for piece in pieces(message):
        budget.take_values(1)
        part = shape.parts.get(piece.number)
        if part is not None:
            counts[piece.number] = counts.get(piece.number, 0) + 1
            if counts[piece.number] > getattr(budget.limits, part.limit):
                dropped[part.name] = dropped.get(part.name, 0) + 1
                budget.cut += 1
                continue
        kept.append(_kept(message, piece, part, budget, dropped))
    return b"".join(kept)


def _kept(message: bytes, piece: Piece, part: Part | None, budget: Budget, dropped: dict[str, int]) -> bytes:
    if part is None or piece.end - piece.start <= budget.limits.small_bytes:
        return message[piece.at : piece.end]
    content = message[piece.start : piece.end]
    smaller = _attribute(content, budget) if part.shape is None else reduced(content, part.shape, budget, dropped)
    return sized_field(piece.number, smaller)


def _attribute(pair: bytes, budget: Budget) -> bytes:
    """Return a long ``KeyValue``: as it is if it holds a text, else with a mark instead of its value."""
    kept: list[bytes] = []
    for piece in pieces(pair):
        if piece.number == _VALUE and not _is_text(pair, piece):
            budget.cut += 1
            kept.append(sized_field(_VALUE, sized_field(_STRING, _LARGE_VALUE)))
        else:
            kept.append(pair[piece.at : piece.end])
    return b"".join(kept)


def _is_text(pair: bytes, value: Piece) -> bool:
    """Return whether an ``AnyValue`` is one text and nothing else."""
    inside = pieces(pair, value.start, value.end)
    first = next(inside, None)
    return first is None or (first.number == _STRING and next(inside, None) is None)


def number_field(number: int, value: int) -> bytes:
    """Return a field that is an integer."""
    return _as_varint(number << 3) + _as_varint(value)


def sized_field(number: int, content: bytes) -> bytes:
    """Return a field that is a text or a message."""
    return b"%b%b%b" % (_as_varint(number << 3 | _SIZED), _as_varint(len(content)), content)


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > _ONE_BYTE:
        found.append(value & _ONE_BYTE | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _varint(message: bytes, at: int, stop: int) -> tuple[int, int]:
    """Return the integer that begins at a place, and the place behind it."""
    value = shift = 0
    while at < stop and shift <= _LONGEST_SHIFT:
        byte = message[at]
        value |= (byte & _ONE_BYTE) << shift
        at, shift = at + 1, shift + 7
        if byte <= _ONE_BYTE:
            return value, at
    raise Malformed(f"no protobuf: an integer at byte {at} has no end")
