"""Opening spans by hand, and speaking of the current one from anywhere below it.

Everything here captures: it never raises and never blocks. Where nothing is recorded the calls take the same arguments
and do nothing.
"""

from __future__ import annotations

from typing import Unpack

from tracecore.attributes import MAX_NAME, text_of, type_of
from tracecore.context import POSITION
from tracecore.default import route
from tracecore.fields import SpanChanges, SpanFields, TraceFields
from tracecore.open_span import Muted, OpenSpan, open_child, open_root
from tracecore.records import ObservationType

__all__ = [
    "current_span",
    "current_span_id",
    "current_trace_id",
    "event",
    "generation",
    "open_here",
    "span",
    "update_current_generation",
    "update_current_span",
    "update_current_trace",
]


def open_here(name: str, type_: ObservationType = "span") -> OpenSpan | Muted:
    """Open a span below the current position, or a new trace, without making it current."""
    name = text_of(name, max_length=MAX_NAME) or type_
    position = POSITION.get()
    if position is None:
        return open_root(route(), name, type_)
    trace = position.trace
    return Muted(position.trace_id) if trace is None else open_child(trace, position.span_id, name, type_)


def span(name: str, *, as_type: str = "span", **fields: Unpack[SpanFields]) -> OpenSpan | Muted:
    """Open a span: for a ``with`` or ``async with`` block, or to be ended by hand with ``end()``.

    ``as_type`` is one of span, generation, agent, tool, chain, retriever, embedding, evaluator, guardrail. ``fields``
    are those of :meth:`OpenSpan.update`. Only inside ``with`` it is the parent of what is opened in the same context.
    """
    opened = open_here(name, type_of(as_type))
    return opened.update(**fields) if fields else opened


def generation(name: str, **fields: Unpack[SpanFields]) -> OpenSpan | Muted:
    """Open a span of a model call: like :func:`span`, with the fields ``model``, ``usage_details`` and their kin."""
    opened = open_here(name, "generation")
    return opened.update(**fields) if fields else opened


def event(name: str, **fields: Unpack[SpanFields]) -> None:
    """Record that something happened now, below the current span."""
    opened = open_here(name, "event")
    opened.update(**fields)
    opened.end()


def current_span() -> OpenSpan | None:
    """Return the innermost open span of this context, or None."""
    position = POSITION.get()
    return position if isinstance(position, OpenSpan) else getattr(position, "span", None)


def current_trace_id() -> str | None:
    """Return the trace id of this context, also of a trace that sampling left out; None outside a trace."""
    position = POSITION.get()
    return None if position is None else position.trace_id


def current_span_id() -> str | None:
    """Return the id of the innermost open span of this context, or None."""
    opened = current_span()
    return None if opened is None else opened.span_id


def update_current_span(**fields: Unpack[SpanChanges]) -> None:
    """Set fields of the current span, as :meth:`OpenSpan.update` does; do nothing outside one."""
    opened = current_span()
    if opened is not None:
        opened.update(**fields)


update_current_generation = update_current_span
"""The same under the name that Langfuse users know."""


def update_current_trace(**fields: Unpack[TraceFields]) -> None:
    """Set attributes of the current trace, on this span and on every span of the trace that ends from now on."""
    position = POSITION.get()
    if position is not None and position.trace is not None:
        position.trace.update(fields)
