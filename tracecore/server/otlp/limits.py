"""Limits: the one table of what a request of spans may cost, and the budget that one request has.

A limit of the request refuses it as a whole (413): whoever sent it sends it in parts. A limit of a span, an attribute
or a text never loses the span: what is beyond is left out and counted, in the metadata of the span and in
:class:`~tracecore.server.otlp.received.Decoded`.

The memory that a message takes may be a hundred times its bytes: an empty message of two bytes becomes an object. So
spans are taken apart one by one, and what is longer than ``small_bytes`` is made smaller before anything is built.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tracecore.limits import Limits
from tracecore.server.problems import Refusal

__all__ = ["LIMITS", "PAYLOADS", "Budget", "OtlpLimits"]


class OtlpLimits(Struct, frozen=True):
    """Bound what a request, a span and a value may cost."""

    spans: int = 10_000
    """Spans of one request."""
    values: int = 250_000
    """Attributes, elements of arrays and entries of maps of one request, and the messages around them."""
    attributes: int = 1_000
    """Attributes of one span, event, link, resource or scope; OpenTelemetry's SDKs send 128 unless told otherwise."""
    events: int = 500
    """Events of one span; OpenTelemetry's SDKs keep 128."""
    links: int = 500
    """Links of one span; OpenTelemetry's SDKs keep 128."""
    elements: int = 5_000
    """Elements of one array, entries of one map."""
    key: int = 512
    """Characters of the key of an attribute."""
    text: int = 1_048_576
    """Characters of one text: the value of an attribute, the message of a status."""
    name: int = 4_096
    """Characters of the name of a span."""
    small_bytes: int = 65_536
    """Bytes up to which a message is parsed as it is."""
    brackets: int = 500_000
    """Objects and arrays of one request in JSON: two for each attribute, as a rule."""


LIMITS: Final = OtlpLimits()

PAYLOADS: Final = Limits(
    max_bytes=4 * LIMITS.text, max_string=LIMITS.text, max_nodes=4 * LIMITS.elements, max_time_ns=1 << 60
)
"""What a value that is no text may cost as JSON. Time is not among it: equal requests make equal records."""


class Budget:
    """Count what one request has cost so far; ``cut`` counts what was left out for a limit of its own."""

    __slots__ = ("cut", "limits", "spans", "values")

    def __init__(self, limits: OtlpLimits = LIMITS) -> None:
        self.limits = limits
        self.spans = 0
        self.values = 0
        self.cut = 0

    def take_spans(self, count: int) -> None:
        """Charge for spans."""
        self.spans += count
        if self.spans > self.limits.spans:
            raise Refusal(413, "TooLarge", f"more than {self.limits.spans} spans in one request", "send fewer at once")

    def take_values(self, count: int) -> None:
        """Charge for attributes, elements or entries."""
        self.values += count
        if self.values > self.limits.values:
            detail = f"more than {self.limits.values} attributes and elements in one request"
            raise Refusal(413, "TooLarge", detail, "send fewer spans at once")
