"""Records to rows, for one multi-row INSERT: flat lists of values.

:func:`list_values` and :func:`body_values` are the hot path of writing: one tuple expression per record and no loop
over fields. A dialect says what it binds for NULL, because binding None is slow in some drivers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from tracecore.records import (
    ABSENT,
    ErrorInfo,
    Event,
    Generation,
    Observation,
    Score,
    Session,
    TraceAttributes,
    usage_totals,
)
from tracecore_sql.columns import Extra, Payloads
from tracecore_sql.experiments import key_of

__all__ = [
    "attribute_values",
    "body_values",
    "list_values",
    "pack",
    "pack_tags",
    "payload_value",
    "score_values",
    "session_values",
    "storable",
]

_encode: Final = msgspec.json.Encoder().encode


def list_values(observations: Iterable[Observation], null: Any) -> list[Any]:
    """Return the values of ``LIST_COLUMNS``, row after row."""
    values: list[Any] = []
    add = values.extend
    attributes: dict[int, tuple[Any, ...]] = {}
    no_model = (null,) * 9
    for record in observations:
        trace = record.trace
        # The spans of one trace usually carry one and the same object.
        said = attributes.get(id(trace))
        if said is None:
            said = attributes[id(trace)] = attribute_values(trace, null)
        kind, model = null, no_model
        if type(record) is Generation:
            kind, model = 2, _model_values(record, null)
        elif type(record) is Event:
            kind = 1
        parent, duration, message, error = record.parent_id, record.duration_ns, record.status_message, record.error
        version, completion, received = record.version, record.completion_start_ns, record.received_ns
        add((
            record.project, record.trace_id, record.span_id, null if parent is None else parent, kind, record.type,
            record.name, record.start_ns, null if duration is None else duration, record.status,
            null if record.level == "DEFAULT" else record.level, null if message is None else message,
            1 if record.app_root else null, null if version is None else version,
            null if completion is None else completion, null if received is None else received, *said, *model,
            null if error is None else _pack_error(error), _pack_extra(record) or null,
        ))  # fmt: skip
    return values


def body_values(observations: Iterable[Observation], ids: Iterable[int], null: Any) -> list[Any]:
    """Return the values of ``id`` and ``BODY_COLUMNS`` for each observation that has a payload, row after row."""
    values: list[Any] = []
    add = values.extend
    for number, record in zip(ids, observations, strict=True):
        taken, given, metadata, error = record.input, record.output, record.metadata, record.error
        stack = null if error is None else error.stack or null
        parameters = record.model_parameters if type(record) is Generation else ABSENT
        rare = _pack_payloads(record) or null
        if taken or given or metadata or parameters or rare is not null or stack is not null:
            add((
                number, payload_value(taken) if taken else null, payload_value(given) if given else null,
                payload_value(metadata) if metadata else null, payload_value(parameters) if parameters else null,
                stack, rare,
            ))  # fmt: skip
    return values


def session_values(sessions: Iterable[Session], null: Any) -> list[Any]:
    """Return the values of project, session id, the mark of an own record, and its fields, row after row."""
    return [
        null if value is None else value
        for record in sessions
        for value in (
            record.project, record.session_id, 1, record.environment, _flag(record.public), _flag(record.bookmarked)
        )
    ]  # fmt: skip


def score_values(scores: Iterable[Score], null: Any) -> list[Any]:
    """Return the values of every field of a score in the order of the Struct, row after row."""
    return [
        null if value is None else value
        for record in scores
        for value in (
            record.project, record.score_id, record.name, record.timestamp_ns, record.data_type, record.value,
            record.string_value, record.source, record.trace_id, record.observation_id, record.session_id,
            record.experiment_id, record.comment, payload_value(record.metadata) if record.metadata else None,
            record.config_id, record.environment, record.author_user_id, record.queue_id, record.execution_trace_id,
        )
    ]  # fmt: skip


def attribute_values(said: TraceAttributes, null: Any) -> tuple[Any, ...]:
    """Return the values of the nine columns of trace attributes."""
    values = (
        said.name, said.user_id, said.session_id, pack_tags(said.tags) if said.tags else None, said.release,
        said.version, said.environment, _flag(said.public),
        payload_value(said.metadata) if said.metadata else None,
    )  # fmt: skip
    return tuple(null if value is None else value for value in values)


def _flag(value: bool | None) -> int | None:  # noqa: FBT001 - the value itself
    return None if value is None else int(value)


def _model_values(record: Generation, null: Any) -> tuple[Any, ...]:
    usage, costs, model, cost = record.usage_details, record.cost_details, record.model, record.total_cost
    name, version = record.prompt_name, record.prompt_version
    return (
        null if model is None else model,
        *((null, null, null, null) if usage is None else (pack(usage), *usage_totals(usage))),
        null if cost is None else float(cost), null if costs is None else pack(costs),
        null if name is None else name, null if version is None else version,
    )  # fmt: skip


def _pack_extra(record: Observation) -> str | None:
    """Pack the fields of lists that are rarely set, or return None when none is."""
    generation = record if type(record) is Generation else None
    if (
        record.experiment is None
        and record.provenance is None
        and not record.tool_call_names
        and (
            generation is None
            or (
                generation.model_id is None
                and generation.provided_usage_details is None
                and generation.provided_cost_details is None
                and generation.pricing_tier is None
                and generation.prompt_id is None
            )
        )
    ):
        return None
    extra = Extra(tool_call_names=record.tool_call_names, provenance=record.provenance)
    if record.experiment is not None:
        extra.experiment_key = key_of(record)
        extra.experiment = replace(
            record.experiment, metadata=ABSENT, item_expected_output=ABSENT, item_metadata=ABSENT
        )
    if generation is not None:
        extra.model_id = generation.model_id
        extra.provided_usage_details = generation.provided_usage_details
        extra.provided_cost_details = generation.provided_cost_details
        extra.pricing_tier = generation.pricing_tier
        extra.prompt_id = generation.prompt_id
    return pack(extra)


def _pack_payloads(record: Observation) -> str | bytes | None:
    """Pack the payloads that are rarely set, or return None when none is."""
    experiment = record.experiment
    if experiment is None and not record.tool_definitions and not record.tool_calls:
        return None
    payloads = Payloads(tool_definitions=record.tool_definitions or ABSENT, tool_calls=record.tool_calls or ABSENT)
    if experiment is not None:
        payloads.experiment_metadata = experiment.metadata or ABSENT
        payloads.item_expected_output = experiment.item_expected_output or ABSENT
        payloads.item_metadata = experiment.item_metadata or ABSENT
    packed = payload_value(_encode(payloads))
    return None if packed == "{}" else packed


def _pack_error(error: ErrorInfo) -> str:
    return pack({"type": error.type, "message": error.message} if error.message else {"type": error.type})


def pack_tags(tags: tuple[str, ...]) -> str:
    """Pack tags as a JSON array, each encoded by itself, so that ``,"tag"`` finds one in ``,"a","b"]``."""
    return f"[{','.join(pack(tag) for tag in tags)}]"


def payload_value(payload: Raw | bytes) -> str | bytes:
    """Return a payload as text, or as it is where it is no UTF-8."""
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        return bytes(payload)


def pack(value: object) -> str:
    """Encode a small value as JSON, escaping what UTF-8 and 64 bits cannot hold."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def storable(values: Iterable[Any]) -> list[Any]:
    """Return values with each text that UTF-8 cannot hold turned into a BLOB."""
    return [_blob_if_needed(value) if type(value) is str else value for value in values]


def _blob_if_needed(text: str) -> str | bytes:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text
