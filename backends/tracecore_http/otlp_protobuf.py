"""OTLP as protobuf, written by hand: a span takes a fifth of what the classes of ``opentelemetry-proto`` take.

The tests hold it against those classes. The tag before a field is its number in ``trace.proto`` times eight, plus its
wire type: 0 for an integer, 1 for eight bytes, 2 for what has a length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from struct import Struct
from typing import Final

from tracecore_http.protobuf import fields, sized, varint
from tracecore_http.resources import Export
from tracecore_http.spans import Attributes, ExportedSpan, Happening, Value, exported

__all__ = ["encode_export", "rejected_in"]

_SHORT: Final = 64
"""Characters of a text that may come again, such as a name or an id: an attribute with it is kept encoded."""
_BEGINNING_AND_END: Final = Struct("<BQBQ")
_TIME: Final = Struct("<BQ")
_DOUBLE: Final = Struct("<Bd")
_OF_RESOURCE, _OF_SCOPE, _OF_SPAN, _OF_EVENT = b"\x0a", b"\x1a", b"\x4a", b"\x1a"
"""The tags of attributes, by what they are of."""
_PARTIAL_SUCCESS, _REJECTED, _REASON = 1, 1, 2


def encode_export(export: Export) -> Iterator[bytes]:
    """Yield an ``ExportTraceServiceRequest`` piece by piece: messages of one kind, one behind the other, are one."""
    dialect = export.dialect
    named = sized(b"\x0a", dialect.scope_name.encode()) + sized(b"\x12", export.scope_version.encode())
    scope = sized(b"\x0a", named + _attributes(_OF_SCOPE, export.scope_attributes))
    for attributes, observations in export.slices():
        resource = sized(b"\x0a", _attributes(_OF_RESOURCE, attributes))
        spans = [sized(b"\x12", _span(exported(record, dialect))) for record in observations]
        yield sized(b"\x0a", resource + sized(b"\x12", b"".join((scope, *spans))))


def rejected_in(body: bytes) -> tuple[int, str]:
    """Return how many spans an ``ExportTraceServiceResponse`` rejects, and why: 0 where it cannot be read."""
    try:
        parts = [value for number, value in fields(body) if number == _PARTIAL_SUCCESS and isinstance(value, bytes)]
        said = dict(fields(b"".join(parts)))
    except ValueError:
        return 0, ""
    rejected, reason = said.get(_REJECTED, 0), said.get(_REASON, b"")
    count = rejected if isinstance(rejected, int) and rejected < 2**63 else 0
    return count, reason.decode("utf-8", "replace") if isinstance(reason, bytes) else ""


def _span(span: ExportedSpan) -> bytes:
    return b"".join((
        b"\x0a\x10%b\x12\x08%b" % (bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)),
        b"" if span.parent_id is None else b"\x22\x08" + bytes.fromhex(span.parent_id),
        sized(b"\x2a", span.name.encode()),
        b"\x30" + varint(span.kind),
        _BEGINNING_AND_END.pack(0x39, span.start_ns, 0x41, span.end_ns),
        _attributes(_OF_SPAN, span.attributes),
        *[sized(b"\x5a", _event(event)) for event in span.events],
        sized(b"\x7a", _status(span)) if span.status else b"",
    ))  # fmt: skip


def _status(span: ExportedSpan) -> bytes:
    return b"%b\x18%b" % (sized(b"\x12", span.message.encode()), varint(span.status))


def _event(event: Happening) -> bytes:
    name = sized(b"\x12", event.name.encode())
    return _TIME.pack(0x09, event.time_ns) + name + _attributes(_OF_EVENT, event.attributes)


def _attributes(tag: bytes, attributes: Attributes) -> bytes:
    """Return attributes as fields, each behind its tag."""
    found = [
        (_repeated if type(value) is str and len(value) < _SHORT else _pair)(key, value) for key, value in attributes
    ]
    return tag.join((b"", *found))


def _pair(key: str, value: Value) -> bytes:
    """Return a ``KeyValue`` behind its length."""
    begun, encoded = _key(key), _value(value)
    length = varint(len(encoded))
    return b"%b%b%b%b" % (varint(len(begun) + len(length) + len(encoded)), begun, length, encoded)


_repeated: Final = lru_cache(4096)(_pair)


@lru_cache(1024)
def _key(key: str) -> bytes:
    """Return what a ``KeyValue`` begins with: its key, and the tag of its value."""
    return sized(b"\x0a", key.encode()) + b"\x12"


def _value(value: Value) -> bytes:
    """Return an ``AnyValue``."""
    if isinstance(value, str):
        return sized(b"\x0a", value.encode())
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return _DOUBLE.pack(0x21, value)
    return sized(b"\x2a", _texts(value))


def _texts(values: Iterable[str]) -> bytes:
    return b"".join([sized(b"\x0a", _value(value)) for value in values])
