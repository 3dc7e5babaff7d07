"""What the journal keeps of one record: a body of bytes, made at the end of a span and read back into its record.

A body begins with the byte that tells how it is written:

* :data:`SPAN` (a MessagePack array of thirteen): an ended span, its first fields by position, payloads as the JSON that
  they are, trace attributes and rare fields as JSON inside. Encoding a tuple so takes 0.25 µs; making the record first,
  and encoding that, takes four times as long.
* ``{``: any record, as :func:`tracecore.records.encode_record` writes it. Scores, sessions, and every record that was
  masked before it was kept.

What is the same for every span of a recorder, its :class:`Origin`, is kept once for all of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tracecore.context import NO_ATTRIBUTES
from tracecore.open_span import OpenSpan
from tracecore.prompt_stamps import with_stamps
from tracecore.records import (
    Generation,
    ObservationType,
    Provenance,
    Record,
    Status,
    Trace,
    TraceAttributes,
    decode_record,
    encode_record,
)
from tracecore.sealing import observation

__all__ = ["RECORD", "SPAN", "Origin", "record_of", "write_body"]

SPAN: Final = 0x9D
"""The first byte of a span by position: MessagePack's array of thirteen."""
RECORD: Final = ord("{")
"""The first byte of any other record: a JSON object."""


class Origin(Struct, frozen=True):
    """Hold what all spans of one recorder share."""

    project: str
    provenance: Provenance | None = None
    destination: str | None = None
    """The backend that they are meant for, as :func:`tracecore.destinations.destination_of` names it; None where nobody
    has said so."""
    masked: bool = False
    """Whether they were masked before they were kept."""


class _Body(Struct, array_like=True, gc=False):
    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    type: ObservationType
    started: int
    """As the span holds it, like the next two: what is reckoned from them is not reckoned in the program's time."""
    offset_ns: int
    ended: int
    status: Status
    input: bytes
    output: bytes
    attributes: bytes
    extra: bytes | None


_HEAD: Final = frozenset(
    ("project", "trace_id", "span_id", "name", "start_ns", "parent_id", "type", "duration_ns", "status")
)
_BY_POSITION: Final = _HEAD | {"input", "output", "trace"}
_Extra: Final = msgspec.defstruct(
    "_Extra",
    [
        (field.name, field.type | UnsetType, UNSET)
        for field in msgspec.structs.fields(Generation)
        if field.name not in _BY_POSITION
    ],
)
_encode_into = msgspec.msgpack.Encoder().encode_into
_encode_json = msgspec.json.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode
_decode_extra = msgspec.json.Decoder(_Extra).decode
_decode_attributes = msgspec.json.Decoder(TraceAttributes).decode
_remembered_attributes = lru_cache(maxsize=1024)(_decode_attributes)
_NO_PLACES: Final[dict[Any, int]] = {}
_REMEMBERED: Final = 1024
"""Bytes of the longest attributes that are remembered: a megabyte of all of them, whatever programs attach."""


def write_body(item: Any, into: bytearray, unnamed: dict[Any, int] = _NO_PLACES) -> dict[Any, int]:
    """Write the body of what the buffer takes, an ended span or anything that can be sealed, in place of what is there.

    Into memory that is there already: new memory for it, which grows while it is written, costs a fifth more.
    Return what knows the places of the item's trace (:attr:`~tracecore.context.TraceState.kept`), else ``unnamed``.

    Raises:
        Exception: a field holds what cannot be encoded; no record could be made of it either.
    """
    if type(item) is not OpenSpan:
        into[:] = encode_record(item.seal())
        return getattr(item, "kept", unnamed)
    trace = item.trace
    attributes = trace.attributes if item.attributes is NO_ATTRIBUTES else item.all_attributes
    known = trace.encoded
    if known[0] is not attributes:
        trace.encoded = known = (attributes, _encode_json(attributes))
    extra = None if item.extra is None else with_stamps(item.extra, item.type)
    _encode_into((
        trace.trace_id, item.span_id, item.parent_id, item.name, item.type, item.started, item.offset_ns,
        item.ended, item.status, item.input, item.output, known[1],
        None if extra is None else _encode_json(extra),
    ), into)  # fmt: skip
    return trace.kept


def record_of(body: bytes, origin: Origin) -> Record:
    """Return the record that a body holds.

    Raises:
        msgspec.MsgspecError: it is no body of this version.
    """
    try:
        return _record_in(body) if body.startswith(b"{") else _span_in(body, origin)
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec: of text that is not UTF-8, of endless nesting
        message = f"a body of {len(body)} bytes cannot be read: {error}"
        raise msgspec.DecodeError(message) from error


def _record_in(body: bytes) -> Record:
    record = decode_record(body)
    if isinstance(record, Trace):
        message = "a trace is no record that a sink accepts"
        raise msgspec.ValidationError(message)
    return record


def _span_in(body: bytes, origin: Origin) -> Record:
    read = _decode(body)
    head = (
        origin.project, read.trace_id, read.span_id, read.name, read.started + read.offset_ns, read.parent_id,
        read.type, 0 if read.type == "event" else max(0, read.ended - read.started), read.status,
    )  # fmt: skip
    extra = None if read.extra is None else _fields_of(read.extra)
    attributes_of = _remembered_attributes if len(read.attributes) <= _REMEMBERED else _decode_attributes
    return observation(head, read.input, read.output, attributes_of(read.attributes), extra, origin.provenance)


def _fields_of(extra: bytes) -> dict[str, Any]:
    """Return the rare fields that were given, each in its type."""
    read = _decode_extra(extra)
    return {name: value for name in read.__struct_fields__ if (value := getattr(read, name)) is not UNSET}
