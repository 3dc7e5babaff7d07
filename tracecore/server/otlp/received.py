"""What an exporter says of a span, before anything is made of it: the same from protobuf and from JSON.

Names are those of ``opentelemetry/proto/trace/v1/trace.proto``. Ids are lower-case hexadecimal, times ns since 1970.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Raw, Struct

from tracecore.records import Observation

__all__ = ["Attributes", "Decoded", "Destination", "Encoding", "Happening", "Link", "Received", "Scope", "Value"]

Encoding: TypeAlias = Literal["protobuf", "json"]
"""The two encodings of OTLP/HTTP."""

Value: TypeAlias = str | bool | int | float | bytes | Raw | list[Any] | dict[str, Any] | None
"""What an ``AnyValue`` holds; ``Raw`` is the mark of a text that was too long."""
Attributes: TypeAlias = dict[str, Value]
"""Attributes by key; of two with one key the later one."""


class Destination(Struct, frozen=True):
    """Say whose spans these are: what the credential and the headers say, and the moment."""

    project: str
    api_key: str | None = None
    """What the key is shown as."""
    received_ns: int = 0
    source: str = "otel"
    sdk_name: str | None = None
    sdk_version: str | None = None


class Decoded(Struct):
    """Hold what a request became: a record for every span of it, or of all but ``rejected``, which ``reason`` explains.

    ``cut`` counts texts, attributes, events and links that were left out of records, each of which says so itself.
    """

    records: list[Observation]
    rejected: int = 0
    reason: str = ""
    cut: int = 0


class Scope(Struct, frozen=True):
    """Name who made spans: the attributes of the resource, and the instrumentation scope."""

    resource: Attributes
    name: str = ""
    version: str = ""
    attributes: Attributes = {}


class Happening(Struct, frozen=True):
    """Hold an event of a span."""

    time_ns: int
    name: str
    attributes: Attributes


class Link(Struct, frozen=True):
    """Hold a link of a span to another."""

    trace_id: str
    span_id: str
    trace_state: str
    attributes: Attributes


class Received(Struct):
    """Hold what is said of one span; ``dropped`` counts what is missing, by what it is of."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: int
    message: str
    attributes: Attributes
    events: list[Happening] = []
    links: list[Link] = []
    trace_state: str = ""
    dropped: dict[str, int] = {}
