"""Conditions on observations beyond the fields of a query: the typed tree into which every filter language is parsed.

A :class:`Condition` compares one column with a value. It names its column and its operator out of two fixed lists and
is checked when it is made, so that whoever compiles it into SQL has nothing to escape, and nobody meets half a filter.
Columns and operators are those of Langfuse's filters (``GET /api/public/v2/observations``, parameter ``filter``).

======== =========================================================================================================
Kind     Operators, and what a condition compares with
======== =========================================================================================================
time     ``>`` ``<`` ``>=`` ``<=``; an integer, ns since the Unix epoch
text     ``=`` ``contains`` ``does not contain`` ``starts with`` ``ends with``; a text. ``any of`` ``none of``; texts
body     those of a text with one text, and ``matches``
tags     ``any of`` ``none of`` ``all of``; texts
number   ``=`` ``>`` ``<`` ``>=`` ``<=``; an integer or a float
flag     ``=`` ``<>``; a boolean
member   those of a body or of a number, and ``is set`` ``is not set``, on the member ``key`` of a JSON object
======== =========================================================================================================

Every kind but tags and flags knows ``is null`` and ``is not null`` too. What each condition means, also where an
observation has no such value, is :func:`tracecore.filtering.meets`.
"""

from __future__ import annotations

import math
from typing import Final, Literal, Protocol, TypeAlias, get_args

from msgspec import Struct

__all__ = [
    "COLUMNS", "KINDS", "MOST_CONDITIONS", "MOST_VALUES", "OPERATORS", "BadCondition", "Column", "Comparison",
    "Condition", "Kind", "Operator", "Value", "check_operator", "check_value",
]  # fmt: skip

MOST_CONDITIONS: Final = 100
"""Conditions of one query, at most."""
MOST_VALUES: Final = 500
"""Texts that all conditions of a query name by ``any of``, ``none of`` and ``all of``, at most."""

Column: TypeAlias = Literal[
    "id", "type", "name", "trace_id", "parent_id", "start_time", "end_time", "environment", "level", "status",
    "status_message", "version", "release", "user_id", "session_id", "is_root", "public", "trace_name", "tags",
    "latency", "time_to_first_token", "tokens_per_second", "input_tokens", "output_tokens", "total_tokens",
    "input_cost", "output_cost", "total_cost", "model", "prompt_name", "prompt_version", "input", "output", "metadata",
]  # fmt: skip
"""What a condition is on. ``latency`` and ``time_to_first_token`` are seconds, costs USD."""
Operator: TypeAlias = Literal[
    "=", "<>", ">", "<", ">=", "<=", "contains", "does not contain", "starts with", "ends with", "matches", "any of",
    "none of", "all of", "is null", "is not null", "is set", "is not set",
]  # fmt: skip
Kind: TypeAlias = Literal["time", "text", "body", "tags", "number", "flag", "member"]
Value: TypeAlias = bool | int | float | str | tuple[str, ...] | None

COLUMNS: Final[tuple[Column, ...]] = get_args(Column)
_OF_KIND: Final[dict[Kind, tuple[Column, ...]]] = {
    "time": ("start_time", "end_time"),
    "body": ("input", "output"),
    "tags": ("tags",),
    "number": (
        "latency", "time_to_first_token", "tokens_per_second", "input_tokens", "output_tokens", "total_tokens",
        "input_cost", "output_cost", "total_cost", "prompt_version",
    ),
    "flag": ("is_root", "public"),
    "member": ("metadata",),
}  # fmt: skip
KINDS: Final[dict[Column, Kind]] = {
    **dict.fromkeys(COLUMNS, "text"), **{column: kind for kind, columns in _OF_KIND.items() for column in columns},
}  # fmt: skip
"""The kind of each column."""

_NULL: Final[tuple[Operator, ...]] = ("is null", "is not null")
_SET: Final[tuple[Operator, ...]] = ("is set", "is not set")
_ORDER: Final[tuple[Operator, ...]] = (">", "<", ">=", "<=")
_WITHIN: Final[tuple[Operator, ...]] = ("=", "contains", "does not contain", "starts with", "ends with")
_AMONG: Final[tuple[Operator, ...]] = ("any of", "none of")
OPERATORS: Final[dict[Kind, tuple[Operator, ...]]] = {
    "time": (*_ORDER, *_NULL),
    "text": (*_WITHIN, *_AMONG, *_NULL),
    "body": (*_WITHIN, "matches", *_NULL),
    "tags": (*_AMONG, "all of"),
    "number": ("=", *_ORDER, *_NULL),
    "flag": ("=", "<>"),
    "member": (*_WITHIN, "matches", *_ORDER, *_SET, *_NULL),
}
"""The operators that each kind of column knows."""
_MOST_BITS: Final = 63
_INDEXED: Final[frozenset[Operator]] = frozenset(("=", "matches"))


class BadCondition(ValueError):
    """Report a condition that means nothing: what is wrong with it, and what would do."""


class Comparison(Protocol):
    """What compares a value with another, whatever holds that."""

    @property
    def operator(self) -> Operator:
        """Return how."""
        ...

    @property
    def value(self) -> Value:
        """Return with what."""
        ...


class Condition(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Compare one column of an observation with a value.

    Raises:
        BadCondition: the column has no such operator, or the value is not what the operator compares with.
    """

    column: Column
    operator: Operator
    value: Value = None
    key: str | None = None
    """The member of ``metadata`` that is compared; None where ``metadata`` as a whole is."""

    def __post_init__(self) -> None:
        """Check that the condition means something."""
        kind = KINDS.get(self.column)
        if kind is None:
            raise BadCondition(f"there is no column {self.column!r}; use one of {', '.join(COLUMNS)}")
        check_operator(self.column, kind, self.operator)
        self._check_key(kind)
        check_value(self.column, kind, self.operator, self.value)
        if self.operator == "matches":
            self._check_words()

    @property
    def reads_body(self) -> bool:
        """Return whether the column is a payload, which no list reads unless it is asked to."""
        return KINDS[self.column] in {"body", "member"}

    @property
    def is_indexed(self) -> bool:
        """Return whether a text index may lead to what meets this condition, so that not all there is is looked at."""
        return KINDS[self.column] == "body" and self.operator in _INDEXED

    def _check_key(self, kind: Kind) -> None:
        whole = self.operator in _NULL
        if kind != "member" and self.key is not None:
            raise BadCondition(f"{self.column} has no members; leave out the key {self.key!r:.200}")
        if kind == "member" and (self.key is None) != whole:
            raise BadCondition(f"{self.column} {self.operator} needs {'no' if whole else 'a'} key")

    def _check_words(self) -> None:
        from tracecore.phrase import words  # noqa: PLC0415 - `import tracecore` and the first span stay light

        if not words(str(self.value)):
            raise BadCondition(f"{self.column} matches {self.value!r:.200}: name at least one letter or digit")


def check_operator(column: str, kind: Kind, operator: Operator) -> None:
    """Refuse an operator that a kind of column does not know.

    Raises:
        BadCondition: it does not.
    """
    allowed = OPERATORS[kind]
    if operator not in allowed:
        raise BadCondition(f"{column} has no operator {operator!r}; use one of {', '.join(allowed)}")


def check_value(column: str, kind: Kind, operator: Operator, value: Value) -> None:
    """Refuse a value that an operator of a kind of column does not compare with.

    Raises:
        BadCondition: it does not.
    """
    wanted = _wanted(kind, operator)
    if not _is_a(value, wanted):
        raise BadCondition(f"{column} {operator} {value!r:.200}: this operator compares with {wanted}")


def _wanted(kind: Kind, operator: Operator) -> str:
    if operator in _NULL or operator in _SET:
        return "nothing"
    if operator in {*_AMONG, "all of"}:
        return "an array of texts"
    if kind == "member" and operator in _ORDER:
        return _A_NUMBER
    if kind == "member" and operator == "=":
        return _EITHER
    return {"time": _A_TIME, "number": _A_NUMBER, "flag": "true or false"}.get(kind, "a text")


_A_TIME: Final = "a time in ns since 1970 that fits into 64 bits"
_A_NUMBER: Final = "a finite number, an integer of at most 64 bits"
_EITHER: Final = "a text, or a finite number, an integer of at most 64 bits"


def _is_a(value: Value, wanted: str) -> bool:
    """Return whether a value is what the words say."""
    if isinstance(value, bool):
        return wanted == "true or false"
    if isinstance(value, str):
        return wanted in {"a text", _EITHER}
    if isinstance(value, int):
        return wanted in {_A_TIME, _A_NUMBER, _EITHER} and -(2**_MOST_BITS) <= value < 2**_MOST_BITS
    if isinstance(value, float):
        return wanted in {_A_NUMBER, _EITHER} and math.isfinite(value)
    return wanted == ("nothing" if value is None else "an array of texts")
