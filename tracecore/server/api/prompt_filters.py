"""Filters of lists of prompts: Langfuse's JSON array of ``{type, column, operator, value, key?}``, met by versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from tracecore.prompts import Prompt
from tracecore.server.api.payloads import members_of, shown
from tracecore.server.api.times import ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.services.text_conditions import TEXT_OPERATORS, OptionOperator, TextOperator

__all__ = ["filter_of"]

Meets: TypeAlias = Callable[[Prompt], bool]
_MOST: Final = 50
_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "id": ("string", "stringOptions"), "name": ("string", "stringOptions"), "type": ("string", "stringOptions"),
    "version": ("number",), "createdAt": ("datetime",), "updatedAt": ("datetime",), "labels": ("arrayOptions",),
    "tags": ("arrayOptions",), "config": ("stringObject",),
}  # fmt: skip
"""Columns, and the types of the conditions on each."""
_ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": lambda one, other: one == other, ">": lambda one, other: one > other, "<": lambda one, other: one < other,
    ">=": lambda one, other: one >= other, "<=": lambda one, other: one <= other,
}  # fmt: skip
_SETS: Final[dict[str, Callable[[set[str], set[str]], bool]]] = {
    "any of": lambda have, wanted: not have.isdisjoint(wanted), "none of": lambda have, wanted: have.isdisjoint(wanted),
    "all of": lambda have, wanted: have >= wanted,
}  # fmt: skip


class _Texts(Struct, tag_field="type", tag="string"):
    column: str
    operator: TextOperator
    value: str


class _Member(_Texts, tag="stringObject"):
    key: str


class _Options(Struct, tag_field="type", tag="stringOptions"):
    column: str
    operator: OptionOperator
    value: list[str]


class _Array(Struct, tag_field="type", tag="arrayOptions"):
    column: str
    operator: Literal["any of", "none of", "all of"]
    value: list[str]


class _Number(Struct, tag_field="type", tag="number"):
    column: str
    operator: Literal["=", ">", "<", ">=", "<="]
    value: float


class _Time(Struct, tag_field="type", tag="datetime"):
    column: str
    operator: Literal[">", "<", ">=", "<="]
    value: str


_Condition: TypeAlias = _Texts | _Member | _Options | _Array | _Number | _Time
_decode: Final = msgspec.json.Decoder(list[_Condition]).decode


def filter_of(text: str) -> Meets:
    """Return what says whether a version meets a filter.

    Raises:
        InvalidRequest: it is no filter; the message says what is wrong with it.
    """
    try:
        conditions = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"filter is no JSON array of {{type, column, operator, value, key}}: {error}") from error
    if len(conditions) > _MOST:
        raise InvalidRequest(f"filter has {len(conditions)} conditions: send at most {_MOST}")
    tests = [_test(condition) for condition in conditions]
    return lambda prompt: all(test(prompt) for test in tests)


def _test(condition: _Condition) -> Meets:
    column, kind = condition.column, str(type(condition).__struct_config__.tag)
    known = _COLUMNS.get(column)
    if known is None:
        raise InvalidRequest(f"filter has no column {column[:100]!r}; use some of {', '.join(_COLUMNS)}")
    if kind not in known:
        raise InvalidRequest(f"filter has no condition of type {kind} on {column}; use {' or '.join(known)}")
    match condition:
        case _Member():
            compare, value, key = TEXT_OPERATORS[condition.operator], condition.value, condition.key
            return lambda prompt: compare(_member(prompt.config, key), value)
        case _Texts():
            compare, value = TEXT_OPERATORS[condition.operator], condition.value
            return lambda prompt: compare(getattr(prompt, column), value)
        case _Options():
            within, wanted = _SETS[condition.operator], set(condition.value)
            return lambda prompt: within({getattr(prompt, column)}, wanted)
        case _Array():
            within, wanted = _SETS[condition.operator], set(condition.value)
            return lambda prompt: within(set(getattr(prompt, column)), wanted)
        case _Number():
            order, number = _ORDERS[condition.operator], condition.value
            return lambda prompt: order(prompt.version, number)
        case _Time():
            order, moment = _ORDERS[condition.operator], ns_of(condition.value)
            field = "created_ns" if column == "createdAt" else "updated_ns"
            return lambda prompt: order(getattr(prompt, field), moment)


def _member(config: Raw, key: str) -> str:
    """Return a member of a configuration as text; what is not there is empty."""
    found: Any = members_of(config).get(key)
    text = None if found is None else shown(found)
    return msgspec.json.decode(text) if isinstance(text, Raw) else text or ""
