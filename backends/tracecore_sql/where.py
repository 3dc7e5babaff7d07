"""Conditions on observations as SQL. Names come from this file, values are always parameters.

Both databases agree on nearly all of it; in what they differ is a :class:`Dialect`. What neither can say without
reading JSON as :mod:`tracecore.filtering` does (payloads, members, sums of costs) is proved by that module, row by row:
here is what has to be known for it (:data:`PROVED`, :func:`proves`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from tracecore.backend import ObservationQuery
from tracecore.conditions import KINDS, Column, Comparison, Condition, Kind
from tracecore.filtering import WHOLE, body_meets, costs_meet, metadata_meets, seconds
from tracecore.phrase import words
from tracecore_sql.from_rows import unpack
from tracecore_sql.to_rows import pack_tags

__all__ = [
    "PROVED", "Dialect", "Part", "flag_part", "float_part", "holds_standing", "integer_part", "leading_phrase",
    "part_of", "proved", "proves", "standing", "tags_part", "text_part",
]  # fmt: skip

Part: TypeAlias = tuple[str, list[Any]]
"""A condition with ``?`` marks, and the values for them."""

PROVED: Final[dict[Column, tuple[str, ...]]] = {
    "input": ("b.input",), "output": ("b.output",), "metadata": ("b.metadata", "o.trace_metadata"),
    "input_cost": ("o.costs",), "output_cost": ("o.costs",),
}  # fmt: skip
"""The columns that are proved row by row, and where what proves them is kept."""
_NEVER: Final = "1 = 0"
_ALWAYS: Final = "1 = 1"
_LEAST, _MOST = -(2**63), 2**63 - 1

_TEXTS: Final[dict[Column, str]] = {
    "id": "o.span_id", "type": "o.type", "name": "o.name", "trace_id": "o.trace_id",
    "parent_id": "coalesce(o.parent_id, '')", "environment": "coalesce(o.environment, 'default')",
    "level": "coalesce(o.level, 'DEFAULT')", "status": "o.status",
    "status_message": "coalesce(o.status_message, '')", "version": "coalesce(o.version, o.trace_version, '')",
    "release": "coalesce(o.release, '')", "user_id": "coalesce(o.user_id, '')",
    "session_id": "coalesce(o.session_id, '')", "trace_name": "coalesce(o.trace_name, '')",
    "model": "coalesce(o.model, '')", "prompt_name": "coalesce(o.prompt_name, '')",
}  # fmt: skip
_FLAGS: Final[dict[Column, str]] = {
    "is_root": "(o.parent_id IS NULL OR coalesce(o.app_root, 0) = 1)",
    "public": "coalesce(o.public, 0) = 1",
}
# Sums and differences of two integers may not fit into one.
_INTEGERS: Final[dict[Column, str]] = {
    "end_time": "(CAST(o.start_ns AS numeric) + o.duration_ns)",
    "latency": "o.duration_ns",
    "time_to_first_token": "(CAST(o.completion_start_ns AS numeric) - o.start_ns)",
    "input_tokens": "o.input_tokens",
    "output_tokens": "o.output_tokens",
    "total_tokens": "o.total_tokens",
    "prompt_version": "o.prompt_version",
}
_FLOATS: Final[dict[Column, str]] = {
    "total_cost": "o.total_cost",
    "tokens_per_second": "(CAST(o.output_tokens AS double precision) * 1e9 / nullif(o.duration_ns, 0))",
}
_SECONDS: Final[frozenset[Column]] = frozenset(("latency", "time_to_first_token"))
_ROUND: Final[dict[str, Callable[[Fraction], int]]] = {
    ">": math.floor, ">=": math.ceil, "<": math.ceil, "<=": math.floor,
}  # fmt: skip
_SAFE: Final = re.compile("[A-Za-z0-9]+")
_costs: Final = msgspec.json.Decoder(dict[str, float])


class Dialect(Struct, frozen=True):
    """Hold what each database says in its own way: parts from an expression, which is a text, and a value."""

    position: str
    """The function that says where a text stands in another, from 1, or 0."""
    contains: Callable[[str, str], Part]
    starts_with: Callable[[str, str], Part]
    ends_with: Callable[[str, str], Part]
    proved: Callable[[Condition], Part]
    """Says of what is proved as much as the database can, and never too much."""


def part_of(condition: Condition, start: str, dialect: Dialect) -> Part:
    """Return one condition on the observation ``o``, and on its bodies ``b`` if they prove it.

    ``start`` is how the list that is asked for names the start of an observation.
    """
    if condition.column in PROVED:
        return dialect.proved(condition)
    if condition.column == "start_time":
        return integer_part(start, condition)
    return _OF_KIND[KINDS[condition.column]](condition, dialect)


def proved(query: ObservationQuery) -> list[Condition]:
    """Return the conditions of a query that are proved row by row."""
    return [condition for condition in query.where if condition.column in PROVED]


def proves(condition: Condition, *stored: str | bytes | None) -> bool:
    """Return whether what is stored in the columns that ``PROVED`` names meets a condition."""
    if KINDS[condition.column] == "number":
        (packed,) = stored
        return costs_meet(None if packed is None else unpack(_costs, packed), condition)
    payload, *of_trace = (each or "" for each in stored)
    return metadata_meets(payload, of_trace[0], condition) if of_trace else body_meets(payload, condition)


def standing(condition: Condition) -> list[str]:
    r"""Return what stands in the JSON of every payload that meets a condition on what it holds.

    Letters and digits stand there as they are, unless there are ``\u`` escapes.
    """
    key, value = condition.key, condition.value
    found = [f'"{key}"'] if key is not None and key != WHOLE and _SAFE.fullmatch(key) else []
    case_counts = condition.operator != "matches" or key is not None
    if isinstance(value, str) and case_counts and condition.operator != "does not contain":
        found += sorted(_SAFE.findall(value), key=len)[-1:]
    return found


def holds_standing(column: str, wanted: list[str], position: str) -> str:
    """Return the condition that all of this, or an escape, stands in a payload; with a mark for each."""
    if not wanted:
        return f"{column} IS NOT NULL"
    return f"({' AND '.join([f'{position}({column}, ?) > 0'] * len(wanted))} OR {position}({column}, '\\u') > 0)"


def leading_phrase(query: ObservationQuery) -> str | None:
    """Return a phrase that stands in every observation that the query selects, for an index to lead to them, or None.

    That is what is searched for, else the value of an indexed condition, of several the one with the most words.
    """
    if query.search is not None:
        return query.search
    phrases = [str(condition.value) for condition in query.where if condition.is_indexed]
    return max((phrase for phrase in phrases if words(phrase)), key=lambda phrase: len(words(phrase)), default=None)


def text_part(column: str, condition: Comparison, dialect: Dialect) -> Part:
    """Return a condition on a text, whose expression is the empty one where there is none."""
    operator, value = condition.operator, condition.value
    if isinstance(value, tuple):
        return _among(column, operator, value)
    if not isinstance(value, str):
        return (f"{column} = ''" if operator == "is null" else f"{column} <> ''"), []
    if operator == "=":
        return f"{column} = ?", [value]
    if not value:
        return (_NEVER if operator == "does not contain" else _ALWAYS), []
    if operator in {"starts with", "ends with"}:
        return (dialect.starts_with if operator == "starts with" else dialect.ends_with)(column, value)
    sql, values = dialect.contains(column, value)
    return (sql if operator == "contains" else f"NOT {sql}"), values


def _among(column: str, operator: str, values: tuple[str, ...]) -> Part:
    if not values:
        return (_NEVER if operator == "any of" else _ALWAYS), []
    return f"{column} {'IN' if operator == 'any of' else 'NOT IN'} ({', '.join('?' * len(values))})", list(values)


def tags_part(column: str, condition: Comparison, dialect: Dialect) -> Part:
    """Return a condition on packed tags."""
    wanted: Any = condition.value
    if not wanted:
        return (_NEVER if condition.operator == "any of" else _ALWAYS), []
    # Tags are packed one by one, so `,"tag"` stands in `,"a","b"]` only where a tag begins and ends.
    one = f"{dialect.position}(',' || substr(coalesce({column}, '[]'), 2), ?) > 0"
    joined = (" AND " if condition.operator == "all of" else " OR ").join([one] * len(wanted))
    values = [f",{pack_tags((tag,))[1:-1]}" for tag in wanted]
    return (f"NOT ({joined})" if condition.operator == "none of" else f"({joined})"), values


def flag_part(column: str, condition: Comparison) -> Part:
    """Return a condition on what is true or false."""
    return (f"({column})" if condition.value == (condition.operator == "=") else f"NOT ({column})"), []


def float_part(column: str, condition: Comparison) -> Part:
    """Return a condition on a float."""
    value: Any = condition.value
    return _null(condition, column) or (f"{column} {condition.operator} ?", [float(value)])


def integer_part(column: str, condition: Comparison, exact: Fraction | None = None) -> Part:
    """Return the comparison of an integer with any number, as one with an integer that fits into 64 bits.

    ``exact`` is what it is compared with, where that is not the value itself.
    """
    value: Any = condition.value
    null = _null(condition, column)
    if null is not None:
        return null
    operator = condition.operator
    exact = Fraction(value) if exact is None else exact
    if operator == "=" and (exact.denominator != 1 or not _LEAST <= exact <= _MOST):
        return _NEVER, []
    bound = _ROUND.get(operator, int)(exact)
    if _LEAST <= bound <= _MOST:
        return f"{column} {operator} ?", [bound]
    return (f"{column} IS NOT NULL" if (bound > 0) == (operator in {"<", "<="}) else _NEVER), []


def _null(condition: Comparison, column: str) -> Part | None:
    return (f"{column} {condition.operator.upper()}", []) if condition.value is None else None


def _number(condition: Condition, _: Dialect) -> Part:
    column, value = condition.column, condition.value
    if column in _FLOATS:
        return float_part(_FLOATS[column], condition)
    exact = seconds(value) if column in _SECONDS and isinstance(value, int | float) else None
    return integer_part(_INTEGERS[column], condition, exact)


_OF_KIND: Final[dict[Kind, Callable[[Condition, Dialect], Part]]] = {
    "text": lambda condition, dialect: text_part(_TEXTS[condition.column], condition, dialect),
    "tags": lambda condition, dialect: tags_part("o.tags", condition, dialect),
    "flag": lambda condition, _: flag_part(_FLAGS[condition.column], condition),
    "number": _number,
    "time": _number,
}
