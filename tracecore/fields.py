"""What may be said about a span and about a trace: the keyword arguments of the whole capturing API, typed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

__all__ = ["SpanChanges", "SpanFields", "TraceFields"]


class SpanFields(TypedDict, total=False):
    """Name the fields of a span. Every one is optional; None leaves a field as it is, except for input and output."""

    input: object
    output: object
    metadata: object
    """Merged key by key with what was set before."""
    version: str | None
    level: str | None
    """DEBUG, DEFAULT, WARNING or ERROR, or a common alias."""
    status_message: str | None
    model: str | None
    model_parameters: Mapping[str, Any] | None
    usage_details: Mapping[str, Any] | None
    """Units per bucket: ``{"input": 12, "output": 5}``, or a provider's usage object as a mapping."""
    cost_details: Mapping[str, float] | float | None
    """USD per bucket, or one total."""
    prompt: object
    """A (name, version) pair, a mapping with both, or a prompt object."""
    completion_start_ns: int | datetime | None
    """Time of the first token: ns since the epoch, or a datetime."""
    tool_definitions: object
    tool_calls: object
    tool_call_names: Iterable[str] | None


class SpanChanges(SpanFields, total=False):
    """Name what may be changed of an open span: its fields and its name."""

    name: str | None


class TraceFields(TypedDict, total=False):
    """Name the attributes of a trace. Every one is optional; None leaves an attribute as it is."""

    name: str | None
    user_id: str | None
    session_id: str | None
    tags: Iterable[str] | None
    """Joined with what was set before."""
    metadata: object
    """Merged key by key with what was set before."""
    release: str | None
    version: str | None
    environment: str | None
    public: bool | None
