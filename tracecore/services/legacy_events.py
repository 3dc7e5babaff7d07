"""Events of Langfuse's older ingestion, read: what each says of a trace or of an observation.

Source: ``POST /ingestion`` of Langfuse's public API (SDKs for Python before the third generation and for JavaScript
before the fourth; scores of newer ones for JavaScript). An event has an id and a time of its own; its body has the id
of what it is about, free text, and whatever is new of it. What cannot be read refuses its event and no other; a level
that is not known is the usual one, and too long texts are cut as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from tracecore.attributes import MAX_NAME, cost_of, environment_of, level_of, text_of, texts_of
from tracecore.errors import ConfigError
from tracecore.records import OBSERVATION_TYPES, ObservationType, TraceAttributes
from tracecore.services.legacy_changes import Change
from tracecore.services.moments import ns_of_moment
from tracecore.services.scores import NewScore, check_id
from tracecore.services.synthetic import synthetic_id
from tracecore.services.usage import normalized_usage

__all__ = ["KINDS", "Event", "Said", "event_of", "said_by"]

_LARGEST: Final = 2**63 - 1
_TYPES: Final[dict[str, ObservationType]] = {kind.upper(): kind for kind in OBSERVATION_TYPES}
KINDS: Final[dict[str, tuple[str, bool]]] = {
    "trace-create": ("trace", False),
    "score-create": ("score", False),
    "sdk-log": ("log", False),
    **{f"{kind}-create": (kind, False) for kind in (*OBSERVATION_TYPES, "observation")},
    **{f"{kind}-update": (kind, True) for kind in (*OBSERVATION_TYPES, "observation")},
}
"""Types of events: what each is about, and whether it adds to what was made before."""
_OF_MONEY: Final = {"inputCost": "input", "outputCost": "output", "totalCost": "total"}
"""Members of ``usage`` that are USD, and the bucket of each."""

Payload: TypeAlias = Raw | UnsetType
Text: TypeAlias = str | None


class Event(Struct, frozen=True):
    """Hold one event as it came."""

    id: str
    type: str
    body: Raw
    timestamp: datetime | None = None


class _TraceBody(Struct, frozen=True, kw_only=True, rename="camel"):
    id: Text = None
    timestamp: datetime | None = None
    name: Text = None
    user_id: Text = None
    session_id: Text = None
    input: Payload = UNSET
    output: Payload = UNSET
    metadata: Payload = UNSET
    release: Text = None
    version: Text = None
    environment: Text = None
    public: bool | None = None
    tags: list[str] | None = None


class _ObservationBody(Struct, frozen=True, kw_only=True, rename="camel"):
    id: Text = None
    trace_id: Text = None
    type: Text = None
    name: Text = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    completion_start_time: datetime | None = None
    parent_observation_id: Text = None
    input: Payload = UNSET
    output: Payload = UNSET
    metadata: Payload = UNSET
    level: Text = None
    status_message: Text = None
    version: Text = None
    environment: Text = None
    model: Text = None
    model_parameters: Payload = UNSET
    usage: dict[str, Any] | None = None
    usage_details: dict[str, Any] | None = None
    cost_details: dict[str, Any] | None = None
    prompt_name: Text = None
    prompt_version: Annotated[int, Meta(ge=-_LARGEST, le=_LARGEST)] | None = None


Said: TypeAlias = Change | NewScore | None
"""What an event says: of a trace or an observation, or a score; None where there is nothing to keep."""

_event: Final = msgspec.json.Decoder(Event)
_trace: Final = msgspec.json.Decoder(_TraceBody)
_observation: Final = msgspec.json.Decoder(_ObservationBody)
_score: Final = msgspec.json.Decoder(NewScore)


def event_of(data: Raw) -> Event:
    """Return an event.

    Raises:
        MsgspecError: it is none.
    """
    return _event.decode(data)


def said_by(event: Event, *, now_ns: int) -> Said:
    """Return what an event says. What has no id of its own has that of the event: sent again, it is the same.

    Raises:
        ConfigError, MsgspecError: the type is not known, or the body not what it should be.
    """
    if event.type not in KINDS:
        raise ConfigError("type", event.type[:100], "the event", f"one of {', '.join(KINDS)}")
    about, is_update = KINDS[event.type]
    at_ns = now_ns if event.timestamp is None else min(_ns(event.timestamp), now_ns)
    if about == "trace":
        return _of_trace(event, _trace.decode(event.body), at_ns)
    if about == "score":
        score = _score.decode(event.body)
        return replace(score, id=score.id or event.id, timestamp=score.timestamp or event.timestamp)
    if about == "log":
        return None
    return _of_observation(event, _observation.decode(event.body), about, at_ns, is_update=is_update)


def _of_trace(event: Event, body: _TraceBody, at_ns: int) -> Change:
    trace_id = check_id("id", body.id or event.id)
    attributes = TraceAttributes(
        name=text_of(body.name, max_length=MAX_NAME) or None,
        user_id=text_of(body.user_id) or None,
        session_id=text_of(body.session_id) or None,
        tags=tuple(sorted(set(texts_of(body.tags)))),
        release=text_of(body.release) or None,
        version=text_of(body.version) or None,
        environment=environment_of(body.environment),
        public=body.public,
        **_payloads(metadata=body.metadata),
    )
    return Change(
        trace_id=trace_id,
        span_id=synthetic_id(trace_id),
        at_ns=at_ns,
        is_update=True,  # it may have been made before: events of traces have no other name
        start_ns=at_ns if body.timestamp is None else _ns(body.timestamp),
        fields={**_set(name=attributes.name), **_payloads(input=body.input, output=body.output)},
        attributes=attributes,
    )


def _of_observation(
    event: Event, body: _ObservationBody, about: str, at_ns: int, *, is_update: bool
) -> Change:  # fmt: skip
    span_id = check_id("id", body.id or event.id)
    named = body.start_time
    start_ns = _ns(named) if named is not None else None if is_update else at_ns
    return Change(
        trace_id=check_id("traceId", body.trace_id) if body.trace_id else None,
        span_id=span_id,
        at_ns=at_ns,
        is_update=is_update,
        start_ns=start_ns,
        end_ns=None if body.end_time is None else _ns(body.end_time),
        fields=_fields_of(body, _type_of(body, about), span_id),
        attributes=TraceAttributes(environment=environment_of(body.environment)),
    )


def _type_of(body: _ObservationBody, about: str) -> ObservationType:
    name = (body.type or "") if about == "observation" else about
    found = _TYPES.get(name.upper())
    if found is None:
        raise ConfigError("type", name[:100], "the body", f"one of {', '.join(_TYPES)}")
    return found


def _fields_of(body: _ObservationBody, kind: ObservationType, span_id: str) -> dict[str, Any]:
    """Return the fields of a record that a body sets; nothing is its own parent."""
    completion, parent = body.completion_start_time, body.parent_observation_id
    return _set(
        type=kind,
        name=text_of(body.name, max_length=MAX_NAME),
        parent_id=check_id("parentObservationId", parent) if parent and parent != span_id else None,
        completion_start_ns=None if completion is None else _ns(completion),
        level=None if body.level is None else level_of(body.level),
        status_message=body.status_message,
        version=text_of(body.version),
        model=text_of(body.model, max_length=MAX_NAME),
        prompt_name=text_of(body.prompt_name, max_length=MAX_NAME),
        prompt_version=body.prompt_version,
        **_used(body),
        **_payloads(
            input=body.input, output=body.output, metadata=body.metadata, model_parameters=body.model_parameters
        ),
    )


def _ns(moment: datetime) -> int:
    """Return a time in ns; nothing that is observed began before 1970, and no duration is longer than since then."""
    return max(0, ns_of_moment(moment))


def _set(**found: Any) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _used(body: _ObservationBody) -> dict[str, Any]:
    """Return units and USD; ``usageDetails`` and ``costDetails`` come before ``usage``, which has both."""
    older = body.usage or {}
    money = {bucket: amount for name, bucket in _OF_MONEY.items() if (amount := older.get(name)) is not None}
    units: Mapping[str, object] = body.usage_details or {
        name: amount for name, amount in older.items() if name not in _OF_MONEY and name != "unit"
    }
    usage, provided = normalized_usage(units)
    costs, total = cost_of(body.cost_details or money)
    return {
        "usage_details": usage, "provided_usage_details": provided, "cost_details": costs, "total_cost": total,
    }  # fmt: skip


def _payloads(**given: Payload) -> dict[str, Raw]:
    """Return the payloads that there are; null is none."""
    return {
        name: payload for name, payload in given.items() if payload is not UNSET and bytes(payload).strip() != b"null"
    }
