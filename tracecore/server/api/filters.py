"""Langfuse's filter language: a JSON array of ``{type, column, operator, value, key?}``, as typed conditions.

All conditions must hold. Columns, types and operators are those of ``GET /api/public/v2/observations`` (parameter
``filter``); what is not among them is refused by name, with what is. Nothing else of the text goes any further.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from tracecore.conditions import KINDS, MOST_CONDITIONS, BadCondition, Column, Condition, Kind, Operator
from tracecore.measures import SCORE_KINDS, ScoreColumn, ScoreCondition
from tracecore.server.api.times import ns_of
from tracecore.server.langfuse_errors import InvalidRequest

__all__ = ["conditions_of", "score_conditions_of"]

_COLUMNS: Final[dict[str, Column]] = {
    "id": "id", "type": "type", "name": "name", "traceId": "trace_id", "parentObservationId": "parent_id",
    "startTime": "start_time", "endTime": "end_time", "environment": "environment", "level": "level",
    "statusMessage": "status_message", "version": "version", "release": "release", "traceRelease": "release",
    "traceVersion": "version", "userId": "user_id",
    "sessionId": "session_id", "isRootObservation": "is_root", "traceName": "trace_name", "traceTags": "tags",
    "tags": "tags", "latency": "latency", "timeToFirstToken": "time_to_first_token",
    "tokensPerSecond": "tokens_per_second", "inputTokens": "input_tokens", "outputTokens": "output_tokens",
    "totalTokens": "total_tokens", "tokens": "total_tokens", "inputCost": "input_cost", "outputCost": "output_cost",
    "totalCost": "total_cost", "model": "model", "providedModelName": "model", "promptName": "prompt_name",
    "promptVersion": "prompt_version", "input": "input", "output": "output", "metadata": "metadata",
}  # fmt: skip
_SCORE_COLUMNS: Final[dict[str, ScoreColumn]] = {
    "id": "id", "name": "name", "source": "source", "dataType": "data_type", "environment": "environment",
    "configId": "config_id", "traceId": "trace_id", "observationId": "observation_id", "sessionId": "session_id",
    "experimentId": "experiment_id", "userId": "user_id", "timestamp": "timestamp", "value": "value",
    "stringValue": "string_value", "booleanValue": "boolean_value", "traceName": "trace_name", "tags": "tags",
    "traceRelease": "release", "traceVersion": "trace_version", "observationName": "observation_name",
    "observationModelName": "observation_model", "observationPromptName": "observation_prompt_name",
    "observationPromptVersion": "observation_prompt_version",
}  # fmt: skip
_TEXT: Final[tuple[Operator, ...]] = ("=", "contains", "does not contain", "starts with", "ends with", "matches")
_AMONG: Final[tuple[Operator, ...]] = ("any of", "none of")
_TYPES: Final[dict[str, tuple[Operator, ...]]] = {
    "datetime": (">", "<", ">=", "<="),
    "string": _TEXT,
    "stringOptions": _AMONG,
    "categoryOptions": _AMONG,
    "arrayOptions": (*_AMONG, "all of"),
    "number": ("=", ">", "<", ">=", "<="),
    "stringObject": (*_TEXT, "is set", "is not set"),
    "numberObject": ("=", ">", "<", ">=", "<="),
    "boolean": ("=", "<>"),
    "null": ("is null", "is not null"),
}
"""The operators of each type of condition."""
_TYPES_OF: Final[dict[Kind, tuple[str, ...]]] = {
    "time": ("datetime", "null"),
    "text": ("string", "stringOptions", "categoryOptions", "null"),
    "body": ("string", "null"),
    "tags": ("arrayOptions",),
    "number": ("number", "null"),
    "flag": ("boolean",),
    "member": ("stringObject", "numberObject"),
}
_BODIES: Final = frozenset(("input", "output"))
_LEADING: Final = frozenset(("=", "matches"))


class _Given(Struct):
    """Hold one condition as it was sent."""

    type: str
    column: str
    operator: str
    value: Any = None
    key: str | None = None


_decode: Final = msgspec.json.Decoder(list[_Given]).decode


def conditions_of(text: str | bytes) -> tuple[Condition, ...]:
    """Return the conditions of a filter.

    Raises:
        InvalidRequest: it is no filter; the message says what is wrong with it, and what would do.
    """
    found = tuple(_condition(f"filter[{number}]", one) for number, one in enumerate(_given(text)))
    _check_bodies(found)
    return found


def score_conditions_of(text: str | bytes) -> tuple[ScoreCondition, ...]:
    """Return the conditions on scores of a filter.

    Raises:
        InvalidRequest: as above.
    """
    return tuple(_score_condition(f"filter[{number}]", one) for number, one in enumerate(_given(text)))


def _given(text: str | bytes) -> list[_Given]:
    try:
        given = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"filter is no JSON array of {{type, column, operator, value, key}}: {error}") from error
    if len(given) > MOST_CONDITIONS:
        raise InvalidRequest(f"filter has {len(given)} conditions: send at most {MOST_CONDITIONS}")
    return given


def _condition(place: str, given: _Given) -> Condition:
    column = _COLUMNS.get(given.column)
    if column is None:
        raise _refusal(place, "column", given.column, _COLUMNS)
    _check_type(place, given, KINDS[column])
    key = given.key if KINDS[column] == "member" else None
    if KINDS[column] == "member" and key is None:
        raise InvalidRequest(f"{place}: {given.column} needs a key: the name of a member of the metadata")
    try:
        value = _value(place, given)
        return Condition(column, cast("Operator", given.operator), _lowered(value) if column == "type" else value, key)
    except BadCondition as error:
        raise InvalidRequest(f"{place}: {error}") from error


def _score_condition(place: str, given: _Given) -> ScoreCondition:
    column = _SCORE_COLUMNS.get(given.column)
    if column is None:
        raise _refusal(place, "column", given.column, _SCORE_COLUMNS)
    _check_type(place, given, SCORE_KINDS[column])
    try:
        return ScoreCondition(column, cast("Operator", given.operator), _value(place, given))
    except BadCondition as error:
        raise InvalidRequest(f"{place}: {error}") from error


def _check_type(place: str, given: _Given, kind: Kind) -> None:
    """Refuse a type that a kind of column does not have, and an operator that the type does not."""
    operators = _TYPES.get(given.type)
    if operators is None:
        raise _refusal(place, "type", given.type, _TYPES)
    types = _TYPES_OF[kind]
    if given.type not in types:
        raise _refusal(place, f"type for {given.column}", given.type, types)
    if given.operator not in operators:
        raise _refusal(place, f"operator for type {given.type}", given.operator, operators)


def _value(place: str, given: _Given) -> Any:
    """Return what a condition compares with: a value that is not needed is left out, as clients send one always."""
    value: Any = given.value
    if given.type == "null" or given.operator in {"is set", "is not set"}:
        return None
    if given.type == "datetime":
        if not isinstance(value, str):
            raise InvalidRequest(f"{place}: {given.column} {given.operator} needs an ISO 8601 time, not {value!r:.200}")
        return ns_of(value)
    if isinstance(value, list):
        texts = cast("list[object]", value)
        if not all(isinstance(text, str) for text in texts):
            raise InvalidRequest(f"{place}: {given.column} {given.operator} needs an array of texts")
        value = tuple(cast("list[str]", texts))
    if given.type in {"string", "stringObject"} and not isinstance(value, str):
        raise InvalidRequest(f"{place}: {given.column} {given.operator} needs a text, not {value!r:.200}")
    if given.type == "numberObject" and not isinstance(value, int | float):
        raise InvalidRequest(f"{place}: {given.column} {given.operator} needs a number, not {value!r:.200}")
    return value


def _lowered(value: Any) -> Any:
    """Return the name of a type, or several, as records have them."""
    if isinstance(value, tuple):
        return tuple(text.lower() for text in cast("tuple[str, ...]", value))
    return value.lower() if isinstance(value, str) else value


def _check_bodies(conditions: tuple[Condition, ...]) -> None:
    """Refuse to look through all payloads: one condition on them has to lead to few, by the words that it names."""
    on_bodies = [condition for condition in conditions if condition.column in _BODIES]
    if on_bodies and not any(condition.operator in _LEADING for condition in on_bodies):
        raise InvalidRequest(
            "filter on input or output needs at least one condition on them with = or matches; add one, or leave out "
            f"{on_bodies[0].column} {on_bodies[0].operator}"
        )


def _refusal(place: str, noun: str, given: str, allowed: Any) -> InvalidRequest:
    return InvalidRequest(f"{place}: there is no {noun} {given[:200]!r}; use one of {', '.join(allowed)}")
