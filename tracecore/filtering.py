"""What a condition says of an observation: the law, in plain Python.

Backends may find the same by other means (SQL), and are tested against :func:`meets`. The rules:

* **Texts.** Case counts. An observation without a text has the empty one: it meets ``= ""`` and ``is null``, and each
  ``does not contain`` and ``none of`` that the empty text meets. Without an environment it is in ``default``. Its
  ``version`` is its own, else that of its trace. ``type`` and ``status`` are those of :mod:`tracecore.records`.
* **Times and numbers.** What is not known (the end of what runs, the cost of what has no price) meets ``is null`` only.
  ``latency`` and ``time_to_first_token`` are compared as the decimal number of seconds that was asked for, to the
  nanosecond. ``tokens_per_second`` are units of output by seconds of duration. ``input_cost`` is the sum of the known
  costs whose bucket has ``input`` in its name, ``output_cost`` of those with ``output``.
* **Flags.** An observation is a root when it has no parent or is marked ``app_root``. One that does not say that it is
  public is not.
* **Tags.** One that has no tags has none of any.
* **Bodies.** A payload that is a JSON string is compared as the text it stands for, any other as its JSON, as it was
  recorded; none at all is the empty text. ``matches`` holds when the value stands in the text, whatever the case, and
  its words are words of the text (:mod:`tracecore.phrase`), so that an index of words leads there.
* **Members.** The metadata of an observation is what it says itself and, laid over that, what is said of its trace. The
  member ``key``, on the first level, is compared as a body is, but case counts in ``matches``, too. With a number it is
  compared as one, if it is a JSON number or a text that reads like one. A member that is not there meets ``is not set``
  only. Metadata that is no object is its own only member, with the name ``metadata``; ``null`` has none.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from tracecore.conditions import KINDS, Column, Comparison, Condition, Kind
from tracecore.phrase import Phrase
from tracecore.records import Generation, Observation, usage_totals

__all__ = [
    "WHOLE", "amount_meets", "body_meets", "cost_of", "costs_meet", "meets", "metadata_meets", "number_meets",
    "seconds", "tags_meet", "text_meets", "tokens_per_second",
]  # fmt: skip

WHOLE: Final = "metadata"
"""The name of metadata that is no object, as the only member of itself."""
Number: TypeAlias = int | float | Fraction

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_SECOND: Final = 10**9
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_scan: Final = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_BLANKS: Final = " \t\n\r"


def meets(span: Observation, condition: Condition) -> bool:
    """Return whether an observation meets a condition."""
    return _OF_KIND[KINDS[condition.column]](span, condition)


def body_meets(payload: bytes | str, condition: Condition) -> bool:
    """Return whether an encoded payload, empty where there is none, meets a condition on a body."""
    text = _text_of(_decoded(payload))
    return _matches(text, condition, any_case=True) if condition.operator == "matches" else text_meets(text, condition)


def metadata_meets(own: bytes | str, of_trace: bytes | str, condition: Condition) -> bool:
    """Return whether the metadata of an observation and of its trace, encoded, meet a condition on them."""
    key = condition.key
    if key is None:
        return (not own and not of_trace) == (condition.operator == "is null")
    member = _member(_decoded(of_trace), key)
    return _member_meets(_member(_decoded(own), key) if member is None else member, condition)


def costs_meet(costs: Mapping[str, float] | None, condition: Condition) -> bool:
    """Return whether the costs of an observation, by bucket, meet a condition on ``input_cost`` or ``output_cost``."""
    return number_meets(cost_of(costs, condition.column.removesuffix("_cost")), condition)


def cost_of(costs: Mapping[str, float] | None, direction: str) -> float | None:
    """Return the USD of the buckets with ``input`` or ``output`` in their names, or None where no cost is known."""
    if costs is None:
        return None
    total = 0.0
    for bucket, cost in costs.items():
        if direction in bucket:
            total += cost
    return total


def tokens_per_second(tokens: int | None, duration_ns: int | None) -> float | None:
    """Return units by seconds, or None where either is unknown or no time has passed."""
    return tokens * 1e9 / duration_ns if tokens is not None and duration_ns else None


def seconds(value: float) -> Fraction:
    """Return the ns of a number of seconds that was written down: 0.1 is a tenth, not the float next to it."""
    return Fraction(repr(value)) * _SECOND


def number_meets(number: Number | None, condition: Condition) -> bool:
    """Return whether a number, None where it is unknown, meets a condition; seconds are compared as ns."""
    wanted: Any = condition.value
    if wanted is not None and condition.column in {"latency", "time_to_first_token"}:
        return number is not None and _COMPARE[condition.operator](number, seconds(wanted))
    return amount_meets(number, condition)


def amount_meets(number: Number | None, condition: Comparison) -> bool:
    """Return whether a number, None where it is unknown, meets a condition; a float is compared with a float."""
    wanted: Any = condition.value
    if wanted is None:
        return (number is None) == (condition.operator == "is null")
    if number is None:
        return False
    return _COMPARE[condition.operator](number, float(wanted) if isinstance(number, float) else wanted)


def text_meets(text: str, condition: Comparison) -> bool:  # noqa: PLR0911 - one return for each operator
    """Return whether a text, the empty one where there is none, meets a condition on a text."""
    value: Any = condition.value
    match condition.operator:
        case "=":
            return bool(text == value)
        case "contains":
            return bool(value in text)
        case "does not contain":
            return bool(value not in text)
        case "starts with":
            return text.startswith(value)
        case "ends with":
            return text.endswith(value)
        case "any of":
            return bool(text in value)
        case "none of":
            return bool(text not in value)
        case _:
            return (not text) == (condition.operator == "is null")


def tags_meet(tags: tuple[str, ...], condition: Comparison) -> bool:
    """Return whether tags meet a condition on tags."""
    wanted: Any = condition.value
    found = set(wanted) & set(tags)
    return found == set(wanted) if condition.operator == "all of" else bool(found) == (condition.operator == "any of")


def _matches(text: str, condition: Condition, *, any_case: bool) -> bool:
    value = str(condition.value)
    held = value.casefold() in text.casefold() if any_case else value in text
    return held and _phrase(value).stands_in(text)


def _member_meets(encoded: str | None, condition: Condition) -> bool:
    """Return whether a member, as JSON, meets a condition on it."""
    if condition.operator in {"is set", "is not set"}:
        return (encoded is None) == (condition.operator == "is not set")
    if encoded is None:
        return False
    text = _text_of(encoded)
    if not isinstance(condition.value, str):
        number = _number_in(text)
        return number is not None and _COMPARE[condition.operator](number, condition.value)
    return _matches(text, condition, any_case=False) if condition.operator == "matches" else text_meets(text, condition)


@lru_cache(maxsize=64)
def _phrase(text: str) -> Phrase:
    return Phrase(text)


def _of_model(field: str) -> Callable[[Observation], Any]:
    return lambda span: getattr(span, field) if isinstance(span, Generation) else None


_TEXTS: Final[dict[Column, Callable[[Observation], str | None]]] = {
    "id": lambda span: span.span_id,
    "type": lambda span: span.type,
    "name": lambda span: span.name,
    "trace_id": lambda span: span.trace_id,
    "parent_id": lambda span: span.parent_id,
    "environment": lambda span: "default" if span.trace.environment is None else span.trace.environment,
    "level": lambda span: span.level,
    "status": lambda span: span.status,
    "status_message": lambda span: span.status_message,
    "version": lambda span: span.trace.version if span.version is None else span.version,
    "release": lambda span: span.trace.release,
    "user_id": lambda span: span.trace.user_id,
    "session_id": lambda span: span.trace.session_id,
    "trace_name": lambda span: span.trace.name,
    "model": _of_model("model"),
    "prompt_name": _of_model("prompt_name"),
}
_NUMBERS: Final[dict[Column, Callable[[Observation], Number | None]]] = {
    "latency": lambda span: span.duration_ns,
    "time_to_first_token": lambda span: (
        None if span.completion_start_ns is None else span.completion_start_ns - span.start_ns
    ),
    "tokens_per_second": lambda span: tokens_per_second(_usage(span, 1), span.duration_ns),
    "input_tokens": lambda span: _usage(span, 0),
    "output_tokens": lambda span: _usage(span, 1),
    "total_tokens": lambda span: _usage(span, 2),
    "input_cost": lambda span: cost_of(_of_model("cost_details")(span), "input"),
    "output_cost": lambda span: cost_of(_of_model("cost_details")(span), "output"),
    "total_cost": _of_model("total_cost"),
    "prompt_version": _of_model("prompt_version"),
}


def _usage(span: Observation, place: int) -> int | None:
    usage = span.usage_details if isinstance(span, Generation) else None
    return None if usage is None else usage_totals(usage)[place]


def _flag_meets(span: Observation, condition: Condition) -> bool:
    is_root = span.parent_id is None or span.app_root
    found = is_root if condition.column == "is_root" else bool(span.trace.public)
    return (found == condition.value) == (condition.operator == "=")


_OF_KIND: Final[dict[Kind, Callable[[Observation, Condition], bool]]] = {
    "text": lambda span, condition: text_meets(_TEXTS[condition.column](span) or "", condition),
    "body": lambda span, condition: body_meets(
        bytes(span.input if condition.column == "input" else span.output), condition
    ),
    "member": lambda span, condition: metadata_meets(bytes(span.metadata), bytes(span.trace.metadata), condition),
    "tags": lambda span, condition: tags_meet(span.trace.tags, condition),
    "flag": _flag_meets,
    "time": lambda span, condition: number_meets(
        span.start_ns if condition.column == "start_time" else span.end_ns, condition
    ),
    "number": lambda span, condition: number_meets(_NUMBERS[condition.column](span), condition),
}


def _decoded(payload: bytes | str) -> str:
    """Return encoded JSON as text; what is no UTF-8 becomes what it nearly is."""
    if isinstance(payload, str):
        return payload
    try:
        return payload.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return payload.decode("utf-8", "replace")


def _text_of(encoded: str) -> str:
    """Return the text that JSON is compared as."""
    if encoded.lstrip(_BLANKS)[:1] != '"':
        return encoded
    try:
        text: str = json.loads(encoded, strict=False)
    except ValueError:
        return encoded
    return text


def _number_in(text: str) -> int | float | None:
    try:
        found: object = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _no_number(_: str) -> None:
    """Return nothing for what JSON has not: NaN and the infinities."""


def _member(encoded: str, key: str) -> str | None:
    """Return the JSON of a member of metadata, of the last where several have the name, or None."""
    start = encoded.strip(_BLANKS)
    if start[:1] != "{":
        return start if key == WHOLE and start not in {"", "null"} else None
    if "\\" not in encoded and f'"{key}"' not in encoded:
        return None
    try:
        found = _decode_members(encoded).get(key)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _scanned(start).get(key)
    return None if found is None else str(found, "utf-8")


def _scanned(text: str) -> dict[str, str]:
    """Return the members of an object that a stricter parser refuses, for a lone surrogate, each as its JSON."""
    found: dict[str, str] = {}
    at = 1
    try:
        while (at := _beyond(text, at, _BLANKS + ",")) < len(text) and text[at] != "}":
            name, at = _scan(text, at)
            start = _beyond(text, at, _BLANKS + ":")
            _, at = _scan(text, start)
            found[name] = text[start:at]
    except (ValueError, RecursionError):
        return {}
    return found


def _beyond(text: str, at: int, passed: str) -> int:
    while at < len(text) and text[at] in passed:
        at += 1
    return at
