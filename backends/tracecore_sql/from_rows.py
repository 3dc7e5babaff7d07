"""Rows to records: the way back from ``to_rows``, for rows of list columns alone and of both tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from tracecore.records import ABSENT, ErrorInfo, Observation, Trace, TraceAttributes
from tracecore_sql.columns import KINDS, LIST_COLUMNS, Extra, Payloads

__all__ = ["TRACE_COLUMNS", "Row", "observation_of", "payload_of", "text_of", "trace_of", "unpack", "unpack_tags"]

Row: TypeAlias = Sequence[Any]
T = TypeVar("T")

TRACE_COLUMNS: Final = (
    "project", "trace_id", "name", "root_id", "start_ns", "end_ns", "observation_count", "running", "error_count",
    "input_tokens", "output_tokens", "total_tokens", "total_cost", "cost_known", "trace_name", "user_id", "session_id",
    "tags", "release", "version", "environment", "public", "metadata",
)  # fmt: skip
"""The columns of ``traces`` from which a record is made."""

_LISTED: Final = len(LIST_COLUMNS)
_extra = msgspec.json.Decoder(Extra)
_payloads = msgspec.json.Decoder(Payloads)
_error = msgspec.json.Decoder(ErrorInfo)
_usage = msgspec.json.Decoder(dict[str, int])
_costs = msgspec.json.Decoder(dict[str, float])
_json = json.JSONDecoder()
_nothing_rare: Final = Extra()


def observation_of(row: Row) -> Observation:
    """Return the record of a row of ``LIST_COLUMNS``, or of those and ``BODY_COLUMNS``."""
    (
        project, trace_id, span_id, parent_id, kind, type_, name, start_ns, duration_ns, status, level, status_message,
        app_root, version, completion_start_ns, received_ns, trace_name, user_id, session_id, tags, release,
        trace_version, environment, public, trace_metadata, model, usage, _, _, _, total_cost, costs, prompt_name,
        prompt_version, error, extra,
    ) = _texts(row[:_LISTED])  # fmt: skip
    rare = unpack(_extra, extra) if extra else _nothing_rare
    fields: dict[str, Any] = {
        "project": project, "trace_id": trace_id, "span_id": span_id, "name": name, "start_ns": start_ns,
        "parent_id": parent_id, "type": type_, "duration_ns": duration_ns, "status": status,
        "level": level or "DEFAULT", "status_message": status_message,
        "trace": TraceAttributes(
            trace_name, user_id, session_id, unpack_tags(tags), payload_of(trace_metadata), release, trace_version,
            environment, None if public is None else bool(public),
        ),
        "error": unpack(_error, error) if error else None,
        "version": version, "app_root": bool(app_root), "completion_start_ns": completion_start_ns,
        "tool_call_names": rare.tool_call_names, "experiment": rare.experiment, "provenance": rare.provenance,
        "received_ns": received_ns,
    }  # fmt: skip
    if kind == 2:  # noqa: PLR2004 - a generation, see KINDS
        fields.update(
            model=model,
            model_id=rare.model_id,
            usage_details=unpack(_usage, usage) if usage else None,
            provided_usage_details=rare.provided_usage_details,
            cost_details=unpack(_costs, costs) if costs else None,
            provided_cost_details=rare.provided_cost_details,
            total_cost=total_cost,
            pricing_tier=rare.pricing_tier,
            prompt_id=rare.prompt_id,
            prompt_name=prompt_name,
            prompt_version=prompt_version,
        )
    if len(row) > _LISTED:
        _add_payloads(fields, row[_LISTED:])
    return KINDS[kind](**fields)


def trace_of(row: Row, input: Raw = ABSENT, output: Raw = ABSENT) -> Trace:  # noqa: A002 - the names of the fields
    """Return the record of a row of ``TRACE_COLUMNS`` with the payloads of its root."""
    (
        project, trace_id, name, root_id, start_ns, end_ns, observation_count, running, error_count, input_tokens,
        output_tokens, total_tokens, total_cost, cost_known, trace_name, user_id, session_id, tags, release, version,
        environment, public, metadata,
    ) = _texts(row)  # fmt: skip
    return Trace(
        project=project, trace_id=trace_id, name=name, root_id=root_id, start_ns=start_ns, end_ns=end_ns,
        attributes=TraceAttributes(
            trace_name, user_id, session_id, tuple(dict.fromkeys(unpack_tags(tags))), payload_of(metadata), release,
            version, environment, None if public is None else bool(public),
        ),
        observation_count=observation_count, running=running, error_count=error_count, input_tokens=input_tokens,
        output_tokens=output_tokens, total_tokens=total_tokens, total_cost=total_cost, cost_known=bool(cost_known),
        input=input, output=output,
    )  # fmt: skip


def unpack_tags(packed: str | None) -> tuple[str, ...]:
    """Return the tags that ``pack_tags`` packed."""
    return tuple(json.loads(packed)) if packed else ()


def payload_of(value: str | bytes | None) -> Raw:
    """Return a stored payload as it was recorded."""
    if value is None:
        return ABSENT
    return Raw(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)


def text_of(value: Any) -> Any:
    """Return a stored value, a text that was kept as a BLOB as text again."""
    return value.decode("utf-8", "surrogatepass") if type(value) is bytes else value


def _texts(row: Row) -> Row:
    return [text_of(value) for value in row] if bytes in map(type, row) else row


def _add_payloads(fields: dict[str, Any], body: Row) -> None:
    input_, output, metadata, parameters, stack, packed = body
    fields.update(input=payload_of(input_), output=payload_of(output), metadata=payload_of(metadata))
    if parameters is not None:
        fields["model_parameters"] = payload_of(parameters)
    if stack is not None:
        fields["error"] = replace(fields["error"], stack=text_of(stack))
    if packed is None:
        return
    rare = _unpack_payloads(packed)
    fields.update(tool_definitions=rare.tool_definitions, tool_calls=rare.tool_calls)
    if fields["experiment"] is not None:
        fields["experiment"] = replace(
            fields["experiment"],
            metadata=rare.experiment_metadata,
            item_expected_output=rare.item_expected_output,
            item_metadata=rare.item_metadata,
        )


def _unpack_payloads(packed: str | bytes) -> Payloads:
    """Decode packed payloads; where one holds a lone surrogate, which msgspec refuses, cut them out as they are."""
    try:
        return _payloads.decode(packed)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        text = packed if isinstance(packed, str) else packed.decode("utf-8", "surrogatepass")
    found: dict[str, Raw] = {}
    at = 1
    while at < len(text):
        # Packed as {"name":payload,"name":payload} with nothing between.
        name, at = _json.raw_decode(text, at)
        _, end = _json.raw_decode(text, at + 1)
        found[name] = payload_of(text[at + 1 : end])
        at = end + 1
    return Payloads(**found)


def unpack(decoder: msgspec.json.Decoder[T], packed: str | bytes) -> T:
    """Decode packed JSON, also with lone surrogates (which msgspec refuses) and with numbers that JSON has not."""
    try:
        return decoder.decode(packed)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return msgspec.convert(_without_nulls(json.loads(packed)), decoder.type)


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = cast("dict[str, Any]", value).items()
    return {key: _without_nulls(inner) for key, inner in items if inner is not None}
