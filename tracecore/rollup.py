"""What a trace and a session say, worked out from what they consist of: the law, in plain Python.

Stores may compute the same by other means (SQL), and are tested against these functions. The rules:

* The **root** is the earliest observation without a parent or marked ``app_root``; ties go to the smaller span id.
* A trace's **name** is its ``name`` attribute, else the name of its root.
* A single-valued **attribute** is taken from the observation that ended last among those that set it (ties go to the
  greater span id; one still running counts from its start). ``tags`` are united in that order, and so are ``metadata``
  objects, key by key: a tag or key that is said again takes the place of the last that says it. So it is enough to
  know when each set of attributes was said last. Metadata that is no object is replaced as a whole.
* **Sums** of units and USD run over generations only. An unknown cost is not zero: ``total_cost`` is None when no cost
  is known, and ``cost_known`` is False when any generation that used units has none.
* A **session** is the set of its traces: sums of their sums, the users of any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from tracecore.records import ABSENT, Generation, Observation, Session, Trace, TraceAttributes, usage_totals

__all__ = ["Saying", "failed", "roll_up", "roll_up_session", "unite_attributes"]

T = TypeVar("T")
Saying: TypeAlias = tuple[int, str, TraceAttributes]
"""When an observation ended (ns, see :func:`unite_attributes`), its span id, and the attributes it carries."""

_SINGLE: Final = ("name", "user_id", "session_id", "release", "version", "environment", "public")
_FAILED: Final = frozenset({"error", "abandoned"})


def failed(observation: Observation) -> bool:
    """Return whether an observation counts as an error: by its status or by its level."""
    return observation.status in _FAILED or observation.level == "ERROR"


def roll_up(project: str, trace_id: str, observations: Iterable[Observation]) -> Trace:
    """Return what the observations of one trace, at least one, say together."""
    spans = sorted(observations, key=lambda span: span.span_id)
    roots = [span for span in spans if span.parent_id is None or span.app_root]
    root = min(roots, key=lambda span: (span.start_ns, span.span_id), default=None)
    attributes = unite_attributes((_ended(span), span.span_id, span.trace) for span in spans)
    generations = [span for span in spans if isinstance(span, Generation)]
    totals = [usage_totals(generation.usage_details) for generation in generations]
    costs = [generation.total_cost for generation in generations if generation.total_cost is not None]
    return Trace(
        project=project,
        trace_id=trace_id,
        name=attributes.name if attributes.name is not None or root is None else root.name,
        root_id=None if root is None else root.span_id,
        start_ns=min(span.start_ns for span in spans),
        end_ns=max(_ended(span) for span in spans),
        attributes=attributes,
        observation_count=len(spans),
        running=sum(span.status == "running" for span in spans),
        error_count=sum(failed(span) for span in spans),
        input_tokens=sum(read for read, _, _ in totals),
        output_tokens=sum(written for _, written, _ in totals),
        total_tokens=sum(total for _, _, total in totals),
        total_cost=sum(costs) if costs else None,
        cost_known=not any(
            total and generation.total_cost is None
            for generation, (_, _, total) in zip(generations, totals, strict=True)
        ),
        input=root.input if root else ABSENT,
        output=root.output if root else ABSENT,
    )


def roll_up_session(own: Session, traces: Sequence[Trace]) -> Session:
    """Return a session's own record with the roll-up of its traces."""
    costs = [trace.total_cost for trace in traces if trace.total_cost is not None]
    return Session(
        project=own.project,
        session_id=own.session_id,
        environment=own.environment,
        public=own.public,
        bookmarked=own.bookmarked,
        trace_count=len(traces),
        observation_count=sum(trace.observation_count for trace in traces),
        error_count=sum(trace.error_count for trace in traces),
        user_ids=tuple(sorted({trace.attributes.user_id for trace in traces if trace.attributes.user_id is not None})),
        start_ns=min((trace.start_ns for trace in traces), default=None),
        end_ns=max((trace.end_ns for trace in traces), default=None),
        input_tokens=sum(trace.input_tokens for trace in traces),
        output_tokens=sum(trace.output_tokens for trace in traces),
        total_tokens=sum(trace.total_tokens for trace in traces),
        total_cost=sum(costs) if costs else None,
        cost_known=all(trace.cost_known for trace in traces),
    )


def unite_attributes(sayings: Iterable[Saying]) -> TraceAttributes:
    """Return the attributes of a trace from what its observations say, whatever their order."""
    values: dict[str, Any] = {}
    tags: dict[str, None] = {}
    metadata = ABSENT
    for _, _, said in sorted(sayings, key=lambda saying: saying[:2]):
        values.update({name: value for name in _SINGLE if (value := getattr(said, name)) is not None})
        tags = _with_last(tags, dict.fromkeys(said.tags))
        metadata = _unite_metadata(metadata, said.metadata)
    return TraceAttributes(**values, tags=tuple(tags), metadata=metadata)


def _ended(span: Observation) -> int:
    return span.start_ns + (span.duration_ns or 0)


def _with_last(earlier: dict[str, T], later: dict[str, T]) -> dict[str, T]:
    """Return both, what is in ``later`` at the end."""
    return {key: value for key, value in earlier.items() if key not in later} | later


def _unite_metadata(earlier: Raw, later: Raw) -> Raw:
    """Return ``later`` laid over ``earlier``, key by key, without encoding a value again."""
    if not earlier or not later or earlier == later:
        return later or earlier
    try:
        both = [msgspec.json.decode(metadata, type=dict[str, Raw]) for metadata in (earlier, later)]
        return Raw(msgspec.json.encode(_with_last(*both)))
    except (msgspec.DecodeError, UnicodeError):
        return later
