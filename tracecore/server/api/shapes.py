"""Observations as Langfuse's API shows them: in groups of fields (``/v2/observations``), or whole (``/observations``).

Sources: Langfuse's public API, server 4.16 (``ObservationV2``, ``Observation``). Times are UTC, ``latency`` and
``timeToFirstToken`` seconds, costs USD. A member that was not asked for is not there; one that is not known is null.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import UNSET, Raw, Struct, UnsetType

from tracecore.records import ABSENT, Generation, Observation, usage_totals
from tracecore.rollup import failed
from tracecore.server.api.payloads import members_of, shown, value_of, within
from tracecore.server.api.times import iso, iso_or_none
from tracecore.services.synthetic import parent_shown

__all__ = [
    "DEFAULT_ENVIRONMENT", "DEFAULT_GROUPS", "GROUPS", "READ_PAYLOADS", "Group", "LegacyObservation",
    "LegacyUsage", "ObservationAnswer", "level_of", "message_of", "shape", "whole",
]  # fmt: skip

Group: TypeAlias = Literal[
    "core", "basic", "time", "io", "metadata", "model", "usage", "prompt", "metrics", "trace_context"
]
GROUPS: Final[frozenset[Group]] = frozenset(get_args(Group))
DEFAULT_GROUPS: Final[frozenset[Group]] = frozenset({"core", "basic"})
READ_PAYLOADS: Final[frozenset[Group]] = frozenset({"io", "metadata", "model"})
"""Groups for which payloads have to be read: parameters of models are some, too."""
DEFAULT_ENVIRONMENT: Final = "default"
"""The environment of what names none."""
_METADATA_CHARS: Final = 200
"""Characters of a metadata value, unless its key is in ``expandMetadata``."""
_NS: Final = 1_000_000_000

Text: TypeAlias = str | Raw | None


class ObservationAnswer(Struct, kw_only=True, rename="camel"):
    """Show the groups of an observation that were asked for."""

    id: str
    trace_id: str
    start_time: str
    end_time: str | None
    project_id: str
    parent_observation_id: str | None
    type: str
    name: str | UnsetType = UNSET
    level: str | UnsetType = UNSET
    status_message: str | UnsetType | None = UNSET
    version: str | UnsetType | None = UNSET
    environment: str | UnsetType = UNSET
    bookmarked: bool | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    user_id: str | UnsetType | None = UNSET
    session_id: str | UnsetType | None = UNSET
    is_root_observation: bool | UnsetType = UNSET
    completion_start_time: str | UnsetType | None = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET
    input: Any | UnsetType = UNSET
    """Text, or null."""
    output: Any | UnsetType = UNSET
    """Text, or null."""
    metadata: dict[str, Any] | UnsetType = UNSET
    """Texts: a value that is no JSON string is shown as its JSON."""
    model: str | UnsetType | None = UNSET
    provided_model_name: str | UnsetType | None = UNSET
    internal_model_id: str | UnsetType | None = UNSET
    model_parameters: Any | UnsetType = UNSET
    usage_details: dict[str, int] | UnsetType = UNSET
    cost_details: dict[str, float] | UnsetType = UNSET
    total_cost: float | UnsetType | None = UNSET
    input_usage: int | UnsetType = UNSET
    output_usage: int | UnsetType = UNSET
    total_usage: int | UnsetType = UNSET
    input_cost: float | UnsetType | None = UNSET
    output_cost: float | UnsetType | None = UNSET
    usage_pricing_tier_name: str | UnsetType | None = UNSET
    prompt_id: str | UnsetType | None = UNSET
    prompt_name: str | UnsetType | None = UNSET
    prompt_version: int | UnsetType | None = UNSET
    latency: float | UnsetType | None = UNSET
    time_to_first_token: float | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    release: str | UnsetType | None = UNSET
    trace_name: str | UnsetType | None = UNSET
    model_id: str | None = None
    input_price: str | None = None
    output_price: str | None = None
    total_price: str | None = None


def shape(observation: Observation, groups: Collection[Group], expanded: Collection[str] = ()) -> ObservationAnswer:
    """Return the groups of an observation; metadata under ``expanded`` keys is not cut."""
    fields: dict[str, Any] = {}
    for group in groups:
        if group == "metadata":
            fields["metadata"] = _metadata(observation, expanded)
        elif group in _OF_GROUP:
            fields.update(_OF_GROUP[group](observation))
    return ObservationAnswer(
        id=observation.span_id,
        trace_id=observation.trace_id,
        start_time=iso(observation.start_ns),
        end_time=iso_or_none(observation.end_ns),
        project_id=observation.project,
        parent_observation_id=observation.parent_id,
        type=observation.type.upper(),
        **fields,
    )


def level_of(observation: Observation) -> str:
    """Return the level; what ended in an error is one, whatever it says."""
    return "ERROR" if failed(observation) else observation.level


def message_of(observation: Observation) -> str | None:
    """Return the status message; of what ended in an exception and has none, that exception's."""
    if observation.status_message is None and observation.error is not None:
        return observation.error.message
    return observation.status_message


def _basic(observation: Observation) -> dict[str, Any]:
    trace = observation.trace
    return {
        "name": observation.name, "level": level_of(observation), "status_message": message_of(observation),
        "version": observation.version or trace.version, "environment": trace.environment or DEFAULT_ENVIRONMENT,
        "bookmarked": False, "public": bool(trace.public), "user_id": trace.user_id, "session_id": trace.session_id,
        "is_root_observation": observation.parent_id is None or observation.app_root,
    }  # fmt: skip


def _time(observation: Observation) -> dict[str, Any]:
    return {
        "completion_start_time": iso_or_none(observation.completion_start_ns),
        "created_at": _received(observation),
        "updated_at": _received(observation),
    }


def _received(observation: Observation) -> str:
    return iso(observation.start_ns if observation.received_ns is None else observation.received_ns)


def _io(observation: Observation) -> dict[str, Any]:
    return {"input": shown(observation.input), "output": shown(observation.output)}


def _metadata(observation: Observation, expanded: Collection[str]) -> dict[str, Text]:
    """Return metadata as texts; the trace's come over the observation's own."""
    members = members_of(observation.metadata, observation.trace.metadata)
    return {
        name: shown(value) if name in expanded else within(value, _METADATA_CHARS) for name, value in members.items()
    }


def _model(observation: Observation) -> dict[str, Any]:
    if not isinstance(observation, Generation):
        return dict.fromkeys(("model", "provided_model_name", "internal_model_id", "model_parameters"))
    return {
        "model": observation.model, "provided_model_name": observation.model, "model_id": observation.model_id,
        "internal_model_id": observation.model_id, "model_parameters": value_of(observation.model_parameters),
    }  # fmt: skip


def _usage(observation: Observation) -> dict[str, Any]:
    generation = observation if isinstance(observation, Generation) else None
    usage = generation.usage_details if generation else None
    read, written, total = usage_totals(usage)
    costs = (generation.cost_details if generation else None) or {}
    total_cost = generation.total_cost if generation else None
    return {
        "usage_details": _with_total(usage, total), "input_usage": read, "output_usage": written, "total_usage": total,
        "cost_details": _with_total(costs, total_cost), "total_cost": total_cost, "input_cost": _part(costs, "input"),
        "output_cost": _part(costs, "output"),
        "usage_pricing_tier_name": generation.pricing_tier if generation else None,
    }  # fmt: skip


def _with_total(details: dict[str, Any] | None, total: float | None) -> dict[str, Any]:
    """Return buckets with their sum, as Langfuse keeps them."""
    if not details or total is None:
        return details or {}
    return {**details, "total": total}


def _part(costs: dict[str, float], word: str) -> float | None:
    """Return the sum of the costs whose buckets count as input, or as output (see ``usage_totals``)."""
    parts = [cost for bucket, cost in costs.items() if _counts_as(bucket) == word]
    return sum(parts) if parts else None


def _counts_as(bucket: str) -> str:
    return next((word for word in ("input", "output") if word in bucket), "")


def _prompt(observation: Observation) -> dict[str, Any]:
    if not isinstance(observation, Generation):
        return dict.fromkeys(("prompt_id", "prompt_name", "prompt_version"))
    return {
        "prompt_id": observation.prompt_id, "prompt_name": observation.prompt_name,
        "prompt_version": observation.prompt_version,
    }  # fmt: skip


def _metrics(observation: Observation) -> dict[str, Any]:
    begun = observation.completion_start_ns
    return {
        "latency": None if observation.duration_ns is None else observation.duration_ns / _NS,
        "time_to_first_token": None if begun is None else (begun - observation.start_ns) / _NS,
    }


def _trace_context(observation: Observation) -> dict[str, Any]:
    trace = observation.trace
    return {"tags": trace.tags, "release": trace.release, "trace_name": trace.name}


_OF_GROUP: Final = {
    "basic": _basic, "time": _time, "io": _io, "model": _model, "usage": _usage, "prompt": _prompt,
    "metrics": _metrics, "trace_context": _trace_context,
}  # fmt: skip


class LegacyUsage(Struct, frozen=True):
    """Show units as Langfuse did before it had buckets."""

    input: int
    output: int
    total: int
    unit: str = "TOKENS"


class LegacyObservation(Struct, kw_only=True, rename="camel"):
    """Show an observation whole, with JSON values where there were some."""

    id: str
    project_id: str
    trace_id: str
    parent_observation_id: str | None
    name: str
    type: str
    environment: str
    start_time: str
    end_time: str | None
    version: str | None
    created_at: str
    updated_at: str
    input: Any
    output: Any
    metadata: Any
    level: str
    status_message: str | None
    model: str | None
    model_parameters: Any
    completion_start_time: str | None
    prompt_id: str | None
    prompt_name: str | None
    prompt_version: int | None
    usage_details: dict[str, int]
    cost_details: dict[str, float]
    usage: LegacyUsage
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    usage_pricing_tier_name: str | None
    model_id: str | None
    calculated_input_cost: float | None
    calculated_output_cost: float | None
    calculated_total_cost: float | None
    latency: float | None
    time_to_first_token: float | None
    unit: str = "TOKENS"
    usage_pricing_tier_id: str | None = None
    input_price: float | None = None
    output_price: float | None = None
    total_price: float | None = None


def whole(observation: Observation) -> LegacyObservation:
    """Return an observation as the older operations show it."""
    model, usage = _model(observation), _usage(observation)
    read, written, total = usage["input_usage"], usage["output_usage"], usage["total_usage"]
    return LegacyObservation(
        id=observation.span_id,
        project_id=observation.project,
        trace_id=observation.trace_id,
        parent_observation_id=parent_shown(observation),
        name=observation.name,
        type=observation.type.upper(),
        environment=observation.trace.environment or DEFAULT_ENVIRONMENT,
        start_time=iso(observation.start_ns),
        end_time=iso_or_none(observation.end_ns),
        version=observation.version or observation.trace.version,
        input=value_of(observation.input),
        output=value_of(observation.output),
        metadata=_whole_metadata(observation),
        level=level_of(observation),
        status_message=message_of(observation),
        model=model["model"],
        model_id=model.get("model_id"),
        model_parameters=model["model_parameters"],
        usage_details=usage["usage_details"],
        cost_details=usage["cost_details"],
        usage=LegacyUsage(read, written, total),
        prompt_tokens=read,
        completion_tokens=written,
        total_tokens=total,
        usage_pricing_tier_name=usage["usage_pricing_tier_name"],
        calculated_input_cost=usage["input_cost"],
        calculated_output_cost=usage["output_cost"],
        calculated_total_cost=usage["total_cost"],
        **_time(observation),
        **_prompt(observation),
        **_metrics(observation),
    )


def _whole_metadata(observation: Observation) -> Any:
    """Return metadata as JSON: the object that it is, with the trace's over it, or whatever else it is."""
    if observation.trace.metadata is ABSENT:
        return value_of(observation.metadata)
    return members_of(observation.metadata, observation.trace.metadata)
