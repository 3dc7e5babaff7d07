r"""Conditions on observations as PostgreSQL says them.

Stored texts hold escapes (:mod:`tracecore_postgres.texts`), and what looks like the end of a text may be the end of an
escape: where a text holds any, its characters are told apart by a regular expression, of which each sign is ASCII.

What is proved row by row is narrowed down before: letters and digits stand in JSON as they are, unless it is full of
``\u`` escapes.
"""

from __future__ import annotations

import re
from typing import Final

from tracecore.conditions import KINDS, Condition
from tracecore_postgres.texts import escape
from tracecore_sql.where import PROVED, Dialect, Part

__all__ = ["DIALECT"]

_CHARACTER: Final = r"(?:[^\u0001\ud7ff]|\u0001.|\ud7ff(?:0|d[89a-f][0-9a-f]{2}|x[0-9a-f]{2}))"
"""One character of a stored text, with its escape."""
_PLAIN: Final = "(strpos({0}, U&'\\0001') = 0 AND strpos({0}, U&'\\D7FF') = 0)"
_SAFE: Final = re.compile("[A-Za-z0-9]{3,}")
_OF_BODY: Final = "coalesce((SELECT {} FROM tc_bodies f WHERE f.week = o.week AND f.id = o.id), false)"
_ESCAPED: Final = "strpos(f.{0}, '\\u') > 0"
_ABSENT_MEETS: Final = frozenset(("does not contain", "none of", "is null", "is not set"))
"""The operators that something may meet in which the value does not stand."""


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
    table, _, column = PROVED[condition.column].partition(".")
    if table == "o":
        return ("true" if condition.operator == "is null" else f"o.{column} IS NOT NULL"), []
    fragments = [match[0] for match in _longest(condition)]
    if fragments:
        held = " AND ".join(f"strpos(f.{column}, ?) > 0" for _ in fragments)
        return _OF_BODY.format(f"({held}) OR {_ESCAPED.format(column)}"), list(fragments)
    if KINDS[condition.column] == "member" and condition.operator not in _ABSENT_MEETS:
        return _OF_BODY.format(f"f.{column} IS NOT NULL"), []
    return "true", []


def _longest(condition: Condition) -> list[re.Match[str]]:
    """Return what of the value and of the key stands in every payload that meets a condition."""
    texts = [condition.key or ""] if condition.operator != "is not set" else []
    case_counts = condition.operator != "matches" or condition.key is not None
    if isinstance(condition.value, str) and case_counts and condition.operator != "does not contain":
        texts.append(condition.value)
    found = [max(_SAFE.finditer(text), key=lambda match: len(match[0]), default=None) for text in texts]
    return [match for match in found if match is not None]


DIALECT: Final = Dialect("strpos", _contains, _starts_with, _ends_with, _proved)
