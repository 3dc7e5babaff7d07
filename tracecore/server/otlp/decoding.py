"""From the bytes of a request to records: one pass, span by span."""

from __future__ import annotations

from itertools import islice
from typing import Final

from tracecore.server.otlp import json_encoding, protobuf
from tracecore.server.otlp.limits import LIMITS, Budget, OtlpLimits
from tracecore.server.otlp.origins import Origin
from tracecore.server.otlp.received import Decoded, Destination, Encoding
from tracecore.server.otlp.spans import record_of

__all__ = ["decode"]

_AT_ONCE: Final = 64
"""Spans that are read before records are made of them: taking turns would take a fifth longer."""


def decode(body: bytes, encoding: Encoding, into: Destination, limits: OtlpLimits = LIMITS) -> Decoded:
    """Return the records of an ``ExportTraceServiceRequest``; all of its spans, or none.

    Raises:
        Malformed: the bytes are no such request, or a span has no ids: says which, and what is wrong.
        Refusal: the request is larger than a request may be (413).
    """
    budget = Budget(limits)
    read = json_encoding.spans_in if encoding == "json" else protobuf.spans_in
    found = Decoded([])
    for scope, spans in read(body, budget):
        origin = Origin(scope, into)
        while some := list(islice(spans, _AT_ONCE)):
            found.records += [record_of(span, origin, into) for span in some]
    found.cut = budget.cut
    return found
