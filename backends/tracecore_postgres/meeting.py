r"""Conditions on observations as PostgreSQL says them.

Stored texts hold escapes (:mod:`tracecore_postgres.texts`), and what looks like the end of a text may be the end of an
escape: where a text holds any, its characters are told apart by a regular expression, of which each sign is ASCII.

What is proved row by row is narrowed down before, so that not every payload travels here.
"""

from __future__ import annotations

from typing import Any, Final

from tracecore.conditions import KINDS, Condition
from tracecore_postgres.texts import escape
from tracecore_sql.where import Dialect, Part, holds_standing, standing

__all__ = ["DIALECT"]

_CHARACTER: Final = r"(?:[^\u0001\ud7ff]|\u0001.|\ud7ff(?:0|d[89a-f][0-9a-f]{2}|x[0-9a-f]{2}))"
"""One character of a stored text, with its escape."""
_PLAIN: Final = "(strpos({0}, U&'\\0001') = 0 AND strpos({0}, U&'\\D7FF') = 0)"
# A name that is half a surrogate pair is none to the functions of the database, and an error.
_COST: Final = """
CASE WHEN o.costs IS NULL OR strpos(o.costs, '\\u') > 0 THEN o.costs IS NOT NULL ELSE coalesce((
    SELECT sum(CAST(e.value AS double precision)) FROM json_each_text(CAST(o.costs AS json)) e
    WHERE strpos(e.key, ?) > 0
), 0) {} ? END
"""
_OF_BODY: Final = "coalesce((SELECT {} FROM tc_bodies f WHERE f.week = o.week AND f.id = o.id), false)"


def _contains(column: str, value: str) -> Part:
    found = f"(strpos({column}, ?) > 0 AND ({_PLAIN.format(column)} OR {column} ~ ?))"
    return found, [value, f"^{_CHARACTER}*{_pattern(value)}"]


def _starts_with(column: str, value: str) -> Part:
    return f"starts_with({column}, ?)", [value]


def _ends_with(column: str, value: str) -> Part:
    found = f"(right({column}, ?) = ? AND ({_PLAIN.format(column)} OR {column} ~ ?))"
    return found, [len(escape(value)), value, f"^{_CHARACTER}*{_pattern(value)}$"]


def _pattern(value: str) -> str:
    """Return a regular expression of ASCII that only a text matches, as it is stored."""
    return "".join(f"\\U{ord(character):08x}" for character in escape(value))


def _proved(condition: Condition) -> Part:
    kind, operator = KINDS[condition.column], condition.operator
    if kind == "number":
        return _of_costs(condition)
    if kind == "member":
        return _of_members(condition)
    # What is not there is the empty text.
    if operator in {"is null", "does not contain"} or condition.value == "":
        return "true", []
    wanted = standing(condition)
    return _OF_BODY.format(holds_standing(f"f.{condition.column}", wanted, "strpos")), wanted


def _of_costs(condition: Condition) -> Part:
    if condition.operator in {"is null", "is not null"}:
        return f"o.costs {condition.operator.upper()}", []
    value: Any = condition.value
    return _COST.format(condition.operator), [condition.column.removesuffix("_cost"), float(value)]


def _of_members(condition: Condition) -> Part:
    if condition.operator in {"is null", "is not set"}:
        return ("o.trace_metadata IS NULL" if condition.key is None else "true"), []
    wanted = standing(condition)
    of_trace, own = (holds_standing(column, wanted, "strpos") for column in ("o.trace_metadata", "f.metadata"))
    return f"(coalesce({of_trace}, false) OR {_OF_BODY.format(own)})", [*wanted, *wanted]


DIALECT: Final = Dialect("strpos", _contains, _starts_with, _ends_with, _proved)
