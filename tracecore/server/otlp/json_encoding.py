"""Spans as JSON (OTLP specification, "JSON Protobuf Encoding"): names in camel case, ids in hexadecimal.

Accepted beyond that, as by protobuf's own JSON: names as the ``.proto`` files have them, 64-bit integers as numbers or
text, enumerations by number or name, ``null`` for what is not there. Unknown names are ignored. Half of a surrogate
pair, which JavaScript writes when it cuts a text in the middle, becomes a visible escape.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from tracecore.server.otlp.limits import Budget
from tracecore.server.otlp.long_texts import shortened
from tracecore.server.otlp.received import Attributes, Happening, Link, Received, Scope, Value
from tracecore.server.otlp.surrogates import without_halves
from tracecore.server.problems import Refusal
from tracecore.wire import Malformed

__all__ = ["spans_in"]

T = TypeVar("T")
_LEAST, _MOST = -(2**63), 2**63 - 1
_LARGEST_TIME: Final = 2**64 - 1
_LONGEST_NUMBER: Final = 40
"""Characters of a number as text; 64 bits have 20 digits."""
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_PARTS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]', re.DOTALL)
"""A text, or what begins an object or an array outside of one."""
_STATUS_CODES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_PROTO_NAMES: Final = (b'"resource_spans"', b'"scope_spans"', b'"span_id"')
"""Names by which a request shows that it has those of the ``.proto`` files; no text can hold them so quoted."""
_PROTO_NAME: Final = re.compile(rb'"([a-z]+(?:_[a-z]+)+)"(?=\s*:)')
_HALF: Final = rb"\ud"
_PARTIAL: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Any(Struct, rename="camel", gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | float | str | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: _Map | None = None
    bytes_value: str | None = None


class _Pair(Struct, gc=False):
    key: str = ""
    value: _Any | None = None


class _Array(Struct, gc=False):
    values: list[_Any | None] | None = None


class _Map(Struct, gc=False):
    values: list[_Pair] | None = None


class _Status(Struct):
    code: int | str | None = None
    message: str | None = None


class _Event(Struct, rename="camel"):
    time_unix_nano: int | float | str | None = None
    name: str | None = None
    attributes: list[_Pair] | None = None


class _Link(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    attributes: list[_Pair] | None = None


class _Span(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | float | str | None = None
    end_time_unix_nano: int | float | str | None = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    links: list[_Link] | None = None
    status: _Status | None = None
    trace_state: str | None = None
    dropped_attributes_count: int | None = None
    dropped_events_count: int | None = None
    dropped_links_count: int | None = None


class _Resource(Struct):
    attributes: list[_Pair] | None = None


class _Scope(Struct):
    name: str | None = None
    version: str | None = None
    attributes: list[_Pair] | None = None


class _ScopeSpans(Struct):
    scope: _Scope | None = None
    spans: list[Raw] | None = None


class _ResourceSpans(Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


_requests: Final = msgspec.json.Decoder(_Request)
_spans: Final = msgspec.json.Decoder(_Span)


def spans_in(body: bytes, budget: Budget) -> Iterator[tuple[Scope, Iterator[Received]]]:
    """Yield the spans of an ``ExportTraceServiceRequest`` by scope.

    Raises:
        Malformed: the bytes are no such request, or a span has no ids.
        Refusal: the request is larger than a request may be.
    """
    _check_brackets(body, budget.limits.brackets)
    if any(name in body for name in _PROTO_NAMES):
        body = _PROTO_NAME.sub(_as_camel, body)
    number = 0
    for resource in _request(body).resource_spans or ():
        said = _attributes(resource.resource.attributes if resource.resource else None, budget)
        for scope in resource.scope_spans or ():
            spans = scope.spans or []
            budget.take_spans(len(spans))
            yield _scope(said, scope.scope, budget), _received(spans, budget, number)
            number += len(spans)


def _check_brackets(body: bytes, most: int) -> None:
    """Refuse a request that would become too many objects, before any is made: those within texts do not count."""
    if body.count(b"{") + body.count(b"[") <= most:
        return
    found = 0
    for part in _PARTS.finditer(body):
        if body[part.start()] != 0x22:  # noqa: PLR2004 - a quotation mark
            found += 1
            if found > most:
                detail = f"more than {most} objects and arrays in one request"
                raise Refusal(413, "TooLarge", detail, "send fewer spans at once")


def _as_camel(found: re.Match[bytes]) -> bytes:
    first, *others = found[1].split(b"_")
    return b'"%b"' % b"".join((first, *map(bytes.capitalize, others)))


def _request(body: bytes) -> _Request:
    try:
        return _read(body)
    except _PARTIAL as error:
        raise Malformed(f"no ExportTraceServiceRequest: {_why(error)}") from error


def _read(body: bytes) -> _Request:
    try:
        return _requests.decode(body)
    except msgspec.DecodeError:
        # There may be half a surrogate pair in it; a text that is wrong in another way is wrong afterwards, too.
        if _HALF not in body.lower():
            raise
        return _requests.decode(without_halves(body))


def _received(spans: list[Raw], budget: Budget, first: int) -> Iterator[Received]:
    for number, raw in enumerate(spans, first):
        try:
            said = _spans.decode(raw)
        except _PARTIAL as error:
            raise Malformed(f"span {number}: {_why(error)}") from error
        yield _span(said, budget, number, is_long=len(raw) > budget.limits.small_bytes)


def _why(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _scope(resource: Attributes, said: _Scope | None, budget: Budget) -> Scope:
    if said is None:
        return Scope(resource)
    return Scope(resource, said.name or "", said.version or "", _attributes(said.attributes, budget))


def _span(said: _Span, budget: Budget, number: int, *, is_long: bool) -> Received:
    dropped: dict[str, int] = {}
    status = said.status
    found = Received(
        _id(said.trace_id, _TRACE_DIGITS, "trace id", number),
        _id(said.span_id, _SPAN_DIGITS, "span id", number),
        _parent(said.parent_span_id, number),
        said.name or "",
        _time(said.start_time_unix_nano, number),
        _time(said.end_time_unix_nano, number),
        0 if status is None else _code(status.code, number),
        "" if status is None else status.message or "",
        _attributes(said.attributes, budget, dropped),
    )
    if said.events:
        found.events = [
            Happening(
                _time(event.time_unix_nano, number), event.name or "", _attributes(event.attributes, budget, dropped)
            )
            for event in _first(said.events, budget.limits.events, "events", budget, dropped)
        ]
    if said.links:
        found.links = [
            Link(
                (link.trace_id or "").lower(), (link.span_id or "").lower(), link.trace_state or "",
                _attributes(link.attributes, budget, dropped),
            )
            for link in _first(said.links, budget.limits.links, "links", budget, dropped)
        ]  # fmt: skip
    found.trace_state = said.trace_state or ""
    found.dropped = _with_counts(said, dropped)
    return shortened(found, budget) if is_long else found


def _with_counts(said: _Span, dropped: dict[str, int]) -> dict[str, int]:
    counts = (
        ("attributes", said.dropped_attributes_count), ("events", said.dropped_events_count),
        ("links", said.dropped_links_count),
    )  # fmt: skip
    for name, count in counts:
        if count:
            dropped[name] = dropped.get(name, 0) + count
    return dropped


def _id(value: str | None, digits: int, what: str, number: int) -> str:
    if value is None or len(value) != digits or _HEX.fullmatch(value) is None:
        shown = "missing" if not value else f"{value[:40]!r}, not {digits} hexadecimal digits"
        raise Malformed(f"span {number}: its {what} is {shown}")
    if not value.strip("0"):
        raise Malformed(f"span {number}: its {what} is all zeros")
    return value.lower()


def _parent(value: str | None, number: int) -> str | None:
    """Return the id of the parent; none, or one of zeros, is that of a root."""
    return _id(value, _SPAN_DIGITS, "parent's id", number) if value and value.strip("0") else None


def _time(value: float | str | None, number: int) -> int:
    found = 0 if value is None or value == "" else _whole(value)
    if found is None or not 0 <= found <= _LARGEST_TIME:
        raise Malformed(f"span {number}: {str(value)[:_LONGEST_NUMBER]!r} is no time in ns since 1970")
    return found


def _code(value: int | str | None, number: int) -> int:
    if value is None or isinstance(value, int):
        return value or 0
    found = _STATUS_CODES.get(value)
    if found is None:
        raise Malformed(f"span {number}: {value[:_LONGEST_NUMBER]!r} is no status code")
    return found


def _whole(value: float | str) -> int | None:
    """Return a whole number, however it is written, or None."""
    if isinstance(value, int):
        return value
    try:
        if isinstance(value, str):
            return int(value) if len(value) <= _LONGEST_NUMBER else None
        return int(value) if value.is_integer() else None
    except ValueError:
        return None


def _attributes(pairs: list[_Pair] | None, budget: Budget, dropped: dict[str, int] | None = None) -> Attributes:
    if not pairs:
        return {}
    kept = _first(pairs, budget.limits.attributes, "attributes", budget, dropped if dropped is not None else {})
    budget.take_values(len(kept))
    found: Attributes = {}
    for pair in kept:
        value = pair.value
        if value is None:
            found[pair.key] = None
        else:
            text = value.string_value
            found[pair.key] = text if text is not None else _other(value, budget)
    return found


def _first(items: list[T], limit: int, name: str, budget: Budget, dropped: dict[str, int]) -> list[T]:
    """Return no more items than are kept, counting the others."""
    if len(items) <= limit:
        return items
    dropped[name] = dropped.get(name, 0) + len(items) - limit
    budget.cut += len(items) - limit
    return items[:limit]


def _value(value: _Any | None, budget: Budget) -> Value:
    if value is None:
        return None
    return value.string_value if value.string_value is not None else _other(value, budget)


def _other(value: _Any, budget: Budget) -> Value:
    """Return what a value holds that is no text."""
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        return _double(value.double_value)
    if value.array_value is not None:
        return _array(value.array_value.values or [], budget)
    if value.kvlist_value is not None:
        return _map(value.kvlist_value.values or [], budget)
    return None if value.bytes_value is None else _bytes(value.bytes_value)


def _integer(value: float | str) -> Value:
    """Return a 64-bit integer; a text that is none, or one that has more bits, stays a text."""
    found = _whole(value)
    return found if found is not None and _LEAST <= found <= _MOST else str(value)


def _double(value: float | str) -> Value:
    try:
        return float(value)
    except ValueError:
        return str(value)


def _bytes(value: str) -> Value:
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return value


def _array(values: list[_Any | None], budget: Budget) -> list[Any]:
    kept = _first(values, budget.limits.elements, "elements", budget, {})
    budget.take_values(len(kept))
    found: list[Any] = [_value(value, budget) for value in kept]
    return found if len(kept) == len(values) else [*found, {"$omitted": len(values) - len(kept)}]


def _map(pairs: list[_Pair], budget: Budget) -> dict[str, Any]:
    kept = _first(pairs, budget.limits.elements, "entries", budget, {})
    budget.take_values(len(kept))
    found: dict[str, Any] = {pair.key: _value(pair.value, budget) for pair in kept}
    return found if len(kept) == len(pairs) else {**found, "$omitted": len(pairs) - len(kept)}
