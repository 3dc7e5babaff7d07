"""Metadata: what somebody said on purpose, and whatever of a span has no field of its own.

As on Langfuse's server, the latter is under ``attributes`` (those that no field took), ``resourceAttributes`` and
``scope``; and under ``events``, ``links`` and ``otel``, which it leaves out. ``tracecore.clock`` says that a time
cannot be, ``tracecore.dropped`` how much was left out. What somebody said under one of these names stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from tracecore.records import ABSENT
from tracecore.server.otlp.messages import others_of
from tracecore.server.otlp.origins import Origin
from tracecore.server.otlp.payloads import content_of, json_of, member, members_of, payload_of
from tracecore.server.otlp.received import Happening, Link, Received
from tracecore.server.otlp.sorting import Sorted

__all__ = ["metadata_of", "trace_metadata_of"]

_encode: Final = msgspec.json.Encoder().encode


def trace_metadata_of(attributes: Sorted, origin: Origin) -> Raw:
    """Return what somebody said of the trace."""
    return _encoded(_said(attributes, "trace_metadata", "trace_metadata.*", origin))


def metadata_of(
    span: Received, attributes: Sorted, origin: Origin, *, name: str, events: list[Happening], wrong: str | None
) -> Raw:
    """Return what somebody said of an observation called ``name``, with what of the span has no field of its own."""
    found = _said(attributes, "metadata", "metadata.*", origin)
    rest = attributes.leave()
    if rest:
        found.setdefault(
            "attributes", {key: value if type(value) is str else member(value) for key, value in rest.items()}
        )
    if events:
        others = [_event(event) for event in others_of(attributes, events)]
        if others:
            found.setdefault("events", others)
    if span.links:
        found.setdefault("links", [_link(link) for link in span.links])
    if span.trace_state or name != span.name:
        found.setdefault("otel", _otel(span, name))
    if wrong is not None:
        found["tracecore.clock"] = wrong
    if span.dropped:
        found["tracecore.dropped"] = span.dropped
    if origin.resource is not None:
        found.setdefault("resourceAttributes", origin.resource)
    if origin.scope is not None:
        found.setdefault("scope", origin.scope)
    return _encoded(found)


def _encoded(found: dict[str, Any]) -> Raw:
    return Raw(_encode(found)) if found else ABSENT


def _otel(span: Received, name: str) -> dict[str, str]:
    """Return what else OpenTelemetry says: the name of a span that an attribute gives a better one, and its state."""
    said = {"name": "" if name == span.name else span.name, "traceState": span.trace_state}
    return {key: value for key, value in said.items() if value}


def _said(attributes: Sorted, field: str, group: str, origin: Origin) -> dict[str, Any]:
    """Return metadata that somebody said: whole, and key by key."""
    found: dict[str, Any] = {}
    if attributes.has(field):
        found = attributes.take(field, _whole) or found
    if group in attributes.groups:
        read: Callable[[Any], Any] = json_of if origin.metadata_is_json else payload_of
        for name, value in attributes.members(group).items():
            found[name] = read(value) if type(value) is str else member(value)
    return found


def _whole(value: Any) -> dict[str, Any] | None:
    """Return metadata that was said as a whole; what is no object is kept under ``value``."""
    payload = content_of(value)
    if payload is None:
        return None
    members = members_of(payload)
    return {"value": payload} if members is None else dict(members)


def _event(event: Happening) -> dict[str, Any]:
    found: dict[str, Any] = {"name": event.name, "timeUnixNano": event.time_ns}
    if event.attributes:
        found["attributes"] = {key: member(value) for key, value in event.attributes.items()}
    return found


def _link(link: Link) -> dict[str, Any]:
    found: dict[str, Any] = {"traceId": link.trace_id, "spanId": link.span_id}
    if link.trace_state:
        found["traceState"] = link.trace_state
    if link.attributes:
        found["attributes"] = {key: member(value) for key, value in link.attributes.items()}
    return found
