"""What events say of one observation, laid one over the other: the same record, in whatever order they came.

* Changes are laid in the order of their times, one that makes before one that adds; what is stored has the time of the
  latest change it is made of (``received_ns``). So an event that is late, or sent again, fills what is not set and
  takes back nothing. One time is kept, not one for each field: of several late events the first to come wins.
* The start is the earliest that was named, as in Langfuse, where it never changes. An update that comes before what it
  updates has none: its end, or its own time, stands for it until then. A trace begins no later than what is below it.
* Members of ``metadata`` are united, and so are tags. A span becomes the generation that a later event says it is.
* What has an end has ended; an event, and the span that stands for a trace, always has, at its start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import fields as fields_of
from msgspec.structs import replace

from tracecore.records import (
    ABSENT,
    GENERATION_TYPES,
    Event,
    Generation,
    Observation,
    Provenance,
    Span,
    TraceAttributes,
)
from tracecore.services.synthetic import synthetic_id

__all__ = ["SOURCE", "Change", "folded", "is_ours", "needs_payloads", "passed_on"]

SOURCE: Final = "ingestion"
"""``provenance.source`` of what came this way."""
_OF_GENERATIONS: Final = frozenset(field.name for field in fields_of(Generation)) - frozenset(
    field.name for field in fields_of(Span)
)
_MADE_ANEW: Final = frozenset({
    "project", "trace_id", "span_id", "start_ns", "duration_ns", "status", "trace", "provenance", "received_ns",
})  # fmt: skip
"""Fields that are not laid over each other, but follow from all changes."""
_OF_PRICES: Final = frozenset({"cost_details", "total_cost", "model_id", "pricing_tier"})
"""What follows from usage, model and prices where a price definition made it."""
_PRICED_BY: Final = frozenset({"usage_details", "cost_details", "model", "model_parameters"})
_PAYLOADS: Final = frozenset({"input", "output", "metadata", "model_parameters"})


class Change(Struct, frozen=True, kw_only=True):
    """Hold what one event says of an observation; None, and fields that are not there, say nothing."""

    trace_id: str | None
    span_id: str
    at_ns: int
    """When it was said."""
    is_update: bool
    """It adds to what another has made."""
    start_ns: int | None = None
    end_ns: int | None = None
    fields: dict[str, Any] = {}
    attributes: TraceAttributes = TraceAttributes()


def folded(
    project: str, trace_id: str, stored: Observation | None, changes: Sequence[Change], provenance: Provenance
) -> Observation:
    """Return the observation that changes, at least one, make of what is stored."""
    ordered = _in_order(stored, changes)
    fields: dict[str, Any] = {}
    for change in ordered:
        fields = _laid(fields, change.fields)
    span_id, root_id = changes[0].span_id, synthetic_id(trace_id)
    if span_id != root_id and "parent_id" not in fields and (stored is None or is_ours(stored)):
        fields["parent_id"] = root_id
    start_ns, end_ns = _times(ordered, is_point=fields.get("type") == "event" or span_id == root_id)
    return _kind_of(fields)(
        project=project,
        trace_id=trace_id,
        span_id=span_id,
        name=fields.pop("name", ""),
        start_ns=start_ns,
        duration_ns=None if end_ns is None else max(0, end_ns - start_ns),
        status="running" if end_ns is None else "ok",
        trace=_united(change.attributes for change in ordered),
        provenance=provenance if stored is None else stored.provenance,
        received_ns=max(change.at_ns for change in ordered) or None,
        **fields,
    )


def is_ours(observation: Observation) -> bool:
    """Return whether an observation came this way, and no other."""
    return observation.provenance is not None and observation.provenance.source == SOURCE


def needs_payloads(stored: Observation, changes: Iterable[Change]) -> bool:
    """Return whether changes cannot be laid over an observation as lists show it, without payloads.

    They can where all they do is to put new ones in their place: a record keeps those that the next does not have.
    """
    at_ns = _said_ns(stored)
    return (
        not is_ours(stored)
        or _changes_the_price(changes)
        or any(
            "metadata" in change.fields or (change.at_ns <= at_ns and not _PAYLOADS.isdisjoint(change.fields))
            for change in changes
        )
    )


def passed_on(said: TraceAttributes, own: TraceAttributes) -> TraceAttributes:
    """Return what an observation carries of its trace: everything but metadata and environment, which are its own."""
    return replace(said, metadata=own.metadata, environment=own.environment)


def _in_order(stored: Observation | None, changes: Sequence[Change]) -> list[Change]:
    """Return changes and what is stored; at one moment what makes comes first, and what adds last."""
    every = [(change.at_ns, 2 if change.is_update else 0, change) for change in changes]
    if stored is not None:
        known = _of_stored(stored, keep_price=not _changes_the_price(changes))
        every.append((known.at_ns, 1, known))
    return [change for _, _, change in sorted(every, key=lambda one: one[:2])]


def _times(ordered: Sequence[Change], *, is_point: bool) -> tuple[int, int | None]:
    """Return the start, and the end if there is one."""
    ends = [change.end_ns for change in ordered if change.end_ns is not None]
    starts = [change.start_ns for change in ordered if change.start_ns is not None]
    start_ns = min(starts) if starts else ends[-1] if ends else ordered[0].at_ns
    return start_ns, start_ns if is_point else ends[-1] if ends else None


def _changes_the_price(changes: Iterable[Change]) -> bool:
    return any(not _PRICED_BY.isdisjoint(change.fields) for change in changes)


def _of_stored(stored: Observation, *, keep_price: bool) -> Change:
    """Return what is stored as a change; a parent that nobody named says nothing."""
    fields = {
        field.name: value
        for field in fields_of(type(stored))
        if field.name not in _MADE_ANEW
        and (value := getattr(stored, field.name)) != field.default
        and value != ""
        and not (isinstance(value, Raw) and not value)
    }
    if fields.get("parent_id") == synthetic_id(stored.trace_id):
        del fields["parent_id"]
    if "model_id" in fields and not keep_price:
        fields = {name: value for name, value in fields.items() if name not in _OF_PRICES}
    return Change(
        trace_id=stored.trace_id,
        span_id=stored.span_id,
        at_ns=_said_ns(stored),
        is_update=True,
        start_ns=stored.start_ns,
        end_ns=None if stored.status == "running" else stored.end_ns,
        fields=fields,
        attributes=stored.trace,
    )


def _said_ns(stored: Observation) -> int:
    """Return when the latest change was said of which an observation is made; 0 where nobody has said anything."""
    if stored.received_ns is not None:
        return stored.received_ns
    return 0 if is_ours(stored) else stored.start_ns


def _laid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    if "metadata" in below and "metadata" in above:
        both["metadata"] = _united_objects(below["metadata"], above["metadata"])
    if above.get("type") == "span" and "type" in below:
        both["type"] = below["type"]
    if "usage_details" in above and "provided_usage_details" not in above:
        both.pop("provided_usage_details", None)
    return both


def _united(said: Iterable[TraceAttributes]) -> TraceAttributes:
    values: dict[str, Any] = {}
    tags: set[str] = set()
    metadata = ABSENT
    for one in said:
        values.update(
            (name, value)
            for name in ("name", "user_id", "session_id", "release", "version", "environment", "public")
            if (value := getattr(one, name)) is not None
        )
        tags.update(one.tags)
        metadata = _united_objects(metadata, one.metadata)
    return TraceAttributes(**values, tags=tuple(sorted(tags)), metadata=metadata)


def _united_objects(below: Raw, above: Raw) -> Raw:
    """Return the members of two objects; the same bytes again where one has nothing new to say."""
    if not below or not above:
        return above or below
    try:
        under, over = [msgspec.json.decode(payload, type=dict[str, Raw]) for payload in (below, above)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return above
    if under.keys() <= over.keys():
        return above
    return Raw(msgspec.json.encode({**under, **over}))


def _kind_of(fields: dict[str, Any]) -> type[Span]:
    if fields.get("type") in GENERATION_TYPES or not _OF_GENERATIONS.isdisjoint(fields):
        return Generation
    return Event if fields.get("type") == "event" else Span
