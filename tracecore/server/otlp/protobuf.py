"""Spans as protobuf, through the classes of ``opentelemetry-proto``: span by span, so that memory is bounded.

What takes the time is not parsing but making Python objects of it, so each value is looked at as a text first: nearly
all are, and ``WhichOneof`` takes as long as reading one. Attributes that are in many spans of a request are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

from google.protobuf import descriptor_pool  # type: ignore[import-untyped]  # protobuf brings no types
from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]  # protobuf brings no types
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf brings no types
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]  # protobuf brings no types
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tracecore.server.otlp.limits import Budget
from tracecore.server.otlp.long_texts import shortened
from tracecore.server.otlp.received import Attributes, Happening, Link, Received, Scope, Value
from tracecore.server.otlp.wire_format import RESOURCE, SCOPE, SPAN, Piece, Shape, pieces, reduced
from tracecore.wire import Malformed

__all__ = ["spans_in"]

_TRACE_BYTES, _SPAN_BYTES = 16, 8
_ZEROS: Final = frozenset({bytes(_TRACE_BYTES), bytes(_SPAN_BYTES)})
_HEAD, _ITEMS = 1, 2
"""The fields of ``ResourceSpans`` and ``ScopeSpans``: what all share, and the list of those that share it."""
_COUNTS: Final = (
    ("attributes", "dropped_attributes_count"), ("events", "dropped_events_count"), ("links", "dropped_links_count"),
)  # fmt: skip
_SHORT: Final = 128
"""Bytes of an attribute that is remembered; what repeats is short, as a rule."""
_LASTING: Final[frozenset[type]] = frozenset({str, bool, int, float})
"""What may be in several spans, since nothing changes it."""
_Known: TypeAlias = dict[bytes, tuple[str, Value]]


def _with_packed_attributes() -> Any:
    """Return the class of a ``Span`` whose attributes are left as bytes, each a ``KeyValue``.

    Most attributes of a request are in many of its spans: to look one up takes half the time that reading it takes.
    Protobuf writes a message into another as it writes bytes, so either is read from what the other wrote.
    """
    origin = Span.DESCRIPTOR.file
    proto = FileDescriptorProto(name="tracecore/packed_span.proto", package="tracecore", syntax="proto3")
    proto.dependency.extend([origin.name, *(file.name for file in origin.dependencies)])
    Span.DESCRIPTOR.CopyToProto(proto.message_type.add())
    for field in proto.message_type[0].field:
        if field.name == "attributes":
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(proto.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("tracecore.Span"))


_parse_span: Final = _with_packed_attributes().FromString
_parse_pair: Final = KeyValue.FromString


def spans_in(body: bytes, budget: Budget) -> Iterator[tuple[Scope, Iterator[Received]]]:
    """Yield the spans of an ``ExportTraceServiceRequest`` by scope.

    Raises:
        Malformed: the bytes are no such request, or a span has no ids.
        Refusal: the request is larger than a request may be.
    """
    number = 0
    known: _Known = {}
    for whole in pieces(body):
        budget.take_values(1)
        if whole.number != _HEAD or whole.start == whole.end:  # field 1 of the request: resources
            continue
        head, scopes = _split(body, whole, budget)
        resource = _attributes(_parsed(Resource, head, RESOURCE, budget, "a resource").attributes, budget)
        for scope in scopes:
            head, spans = _split(body, scope, budget)
            budget.take_spans(len(spans))
            yield _scope(resource, head, budget), _received(body, spans, budget, number, known)
            number += len(spans)


def _split(body: bytes, whole: Piece, budget: Budget) -> tuple[bytes, list[Piece]]:
    """Return what is said once, and the places of the messages that it is said of."""
    head: list[bytes] = []
    items: list[Piece] = []
    for part in pieces(body, whole.start, whole.end):
        budget.take_values(1)
        if part.number == _ITEMS:
            items.append(part)
        elif part.number == _HEAD:
            head.append(body[part.start : part.end])
    # Of a message that is there several times protobuf makes one, and so do its bytes, one behind the other.
    return b"".join(head), items


def _parsed(kind: Any, message: bytes, shape: Shape, budget: Budget, what: str) -> Any:
    try:
        return kind.FromString(reduced(message, shape, budget, {}))
    except DecodeError as error:
        raise Malformed(f"{what} is no protobuf: {error}") from error


def _scope(resource: Attributes, head: bytes, budget: Budget) -> Scope:
    said = _parsed(InstrumentationScope, head, SCOPE, budget, "a scope")
    return Scope(resource, said.name, said.version, _attributes(said.attributes, budget))


def _received(body: bytes, spans: Sequence[Piece], budget: Budget, first: int, known: _Known) -> Iterator[Received]:
    for number, piece in enumerate(spans, first):
        try:
            found = _span(body[piece.start : piece.end], budget, number, known)
        except DecodeError as error:
            raise Malformed(f"span {number} is no protobuf: {error}") from error
        yield found


def _span(message: bytes, budget: Budget, number: int, known: _Known) -> Received:
    dropped: dict[str, int] = {}
    is_long = len(message) > budget.limits.small_bytes
    said = _parse_span(reduced(message, SPAN, budget, dropped) if is_long else message)
    trace_id, span_id, parent_id, status = said.trace_id, said.span_id, said.parent_span_id, said.status
    if len(trace_id) != _TRACE_BYTES or len(span_id) != _SPAN_BYTES or trace_id in _ZEROS or span_id in _ZEROS:
        raise _without_ids(trace_id, span_id, number)
    found = Received(
        trace_id.hex(),
        span_id.hex(),
        _parent(parent_id, number) if parent_id else None,
        said.name,
        said.start_time_unix_nano,
        said.end_time_unix_nano,
        status.code,
        status.message,
        _unpacked(said.attributes, budget, dropped, known),
    )
    if said.events:
        found.events = _events(said.events, budget, dropped)
    if said.links:
        found.links = _links(said.links, budget, dropped)
    if said.trace_state:
        found.trace_state = said.trace_state
    if said.dropped_attributes_count or said.dropped_events_count or said.dropped_links_count:
        _count(said, dropped)
    found.dropped = dropped
    return shortened(found, budget) if is_long else found


def _count(said: Any, dropped: dict[str, int]) -> None:
    """Count what the exporter itself left out."""
    for name, field in _COUNTS:
        if count := getattr(said, field):
            dropped[name] = dropped.get(name, 0) + count


def _without_ids(trace_id: bytes, span_id: bytes, number: int) -> Malformed:
    """Return the error of a span that has no ids."""
    for what, value, length in (("trace", trace_id, _TRACE_BYTES), ("span", span_id, _SPAN_BYTES)):
        if len(value) != length:
            return Malformed(f"span {number}: its {what} id has {len(value)} bytes, not {length}")
        if value in _ZEROS:
            return Malformed(f"span {number}: its {what} id is all zeros")
    return Malformed(f"span {number}: it has no ids")


def _parent(value: bytes, number: int) -> str | None:
    """Return the id of the parent; one of zeros is that of a root."""
    if value in _ZEROS:
        return None
    if len(value) != _SPAN_BYTES:
        raise Malformed(f"span {number}: its parent's id has {len(value)} bytes, not {_SPAN_BYTES}")
    return value.hex()


def _events(events: Any, budget: Budget, dropped: dict[str, int]) -> list[Happening]:
    return [
        Happening(event.time_unix_nano, event.name, _attributes(event.attributes, budget, dropped))
        for event in _first(events, budget.limits.events, "events", budget, dropped)
    ]


def _links(links: Any, budget: Budget, dropped: dict[str, int]) -> list[Link]:
    return [
        Link(link.trace_id.hex(), link.span_id.hex(), link.trace_state, _attributes(link.attributes, budget, dropped))
        for link in _first(links, budget.limits.links, "links", budget, dropped)
    ]


def _unpacked(packed: Any, budget: Budget, dropped: dict[str, int], known: _Known) -> Attributes:
    """Return attributes of a span by key: the hottest loop of the server."""
    packed = _first(packed, budget.limits.attributes, "attributes", budget, dropped)
    budget.take_values(len(packed))
    found: Attributes = {}
    for pair in packed:
        key, value = known.get(pair) or _pair(pair, budget, known)
        found[key] = value
    return found


def _pair(packed: bytes, budget: Budget, known: _Known) -> tuple[str, Value]:
    """Read an attribute, and remember it if it may be repeated as it is."""
    said = _parse_pair(packed)
    value = said.value.string_value or _other(said.value, budget)
    if len(packed) <= _SHORT and type(value) in _LASTING:
        known[packed] = said.key, value
    return said.key, value


def _attributes(pairs: Any, budget: Budget, dropped: dict[str, int] | None = None) -> Attributes:
    """Return attributes by key, of what has few."""
    limit = budget.limits.attributes
    if len(pairs) > limit:
        pairs = _first(pairs, limit, "attributes", budget, dropped if dropped is not None else {})
    budget.take_values(len(pairs))
    found: Attributes = {}
    for pair in pairs:
        value = pair.value
        found[pair.key] = value.string_value or _other(value, budget)
    return found


def _first(items: Any, limit: int, name: str, budget: Budget, dropped: dict[str, int]) -> Any:
    """Return no more items than are kept, counting the others."""
    if len(items) <= limit:
        return items
    dropped[name] = dropped.get(name, 0) + len(items) - limit
    budget.cut += len(items) - limit
    return items[:limit]


def _other(value: Any, budget: Budget) -> Value:
    """Return what a value holds that is no text, or an empty one."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "array_value":
        return _array(held.values, budget)
    if kind == "kvlist_value":
        return _map(held.values, budget)
    return cast("Value", held)


def _array(values: Any, budget: Budget) -> list[Any]:
    kept = _first(values, budget.limits.elements, "elements", budget, {})
    budget.take_values(len(kept))
    found: list[Any] = [value.string_value or _other(value, budget) for value in kept]
    return found if len(kept) == len(values) else [*found, {"$omitted": len(values) - len(kept)}]


def _map(pairs: Any, budget: Budget) -> dict[str, Any]:
    kept = _first(pairs, budget.limits.elements, "entries", budget, {})
    budget.take_values(len(kept))
    found: dict[str, Any] = {pair.key: pair.value.string_value or _other(pair.value, budget) for pair in kept}
    return found if len(kept) == len(pairs) else {**found, "$omitted": len(pairs) - len(kept)}
