"""What kind of observation a span is: what somebody says it is, or what it looks like."""

from __future__ import annotations

from typing import Any

from tracecore.records import ObservationType
from tracecore.server.otlp.mapping import MODEL_NAMES, OPERATIONS, SPAN_NAMES, TYPES, VERCEL_OPERATIONS
from tracecore.server.otlp.names import GenAI, Genkit, LiveKit, Vercel
from tracecore.server.otlp.origins import Origin
from tracecore.server.otlp.received import Received
from tracecore.server.otlp.sorting import Sorted

__all__ = ["kind_of"]

_OF_GENERATIONS = ("model", "usage", "cost", "parameters", "completion_start", "prompt_name", "prompt_version")


def kind_of(span: Received, attributes: Sorted, origin: Origin) -> ObservationType:
    """Return the kind of a span; the first that says it is right."""
    said: ObservationType | None = attributes.take("type", _type)
    if said is not None:
        if said == "span" and origin.hides_generations and any(map(attributes.has, _OF_GENERATIONS)):
            return "generation"
        return said
    values = span.attributes
    for key in (GenAI.OPERATION, Genkit.SUBTYPE):
        if (found := _operation(values.get(key))) is not None:
            return found
    return _of_vercel(span) or _by_looks(span, attributes, origin)


def _type(value: Any) -> ObservationType | None:
    return TYPES.get(value.lower()) if isinstance(value, str) else None


def _operation(value: Any) -> ObservationType | None:
    return OPERATIONS.get(value) if isinstance(value, str) else None


def _of_vercel(span: Received) -> ObservationType | None:
    for key in (Vercel.OPERATION_NAME, Vercel.OPERATION):
        operation = span.attributes.get(key)
        if isinstance(operation, str) and operation.startswith("ai."):
            return next((kind for name, kind in VERCEL_OPERATIONS if operation.startswith(name)), None)
    return None


def _by_looks(span: Received, attributes: Sorted, origin: Origin) -> ObservationType:
    values = span.attributes
    if values.get(GenAI.TOOL_NAME) or values.get(GenAI.TOOL_CALL_ID):
        return "tool"
    if origin.scope_name == LiveKit.SCOPE and span.name in SPAN_NAMES:
        return SPAN_NAMES[span.name]
    return "generation" if attributes.has("model") and any(map(values.get, MODEL_NAMES)) else "span"
