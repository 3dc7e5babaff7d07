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
from tracecore.filtering import WHOLE
from tracecore_postgres.texts import escape
from tracecore_sql.where import Dialect, Part

__all__ = ["DIALECT"]

_CHARACTER: Final = r"(?:[^\u0001\ud7ff]|\u0001.|\ud7ff(?:0|d[89a-f][0-9a-f]{2}|x[0-9a-f]{2}))"
"""One character of a stored text, with its escape."""
_PLAIN: Final = "(strpos({0}, U&'\\0001') = 0 AND strpos({0}, U&'\\D7FF') = 0)"
_SAFE: Final = re.compile("[A-Za-z0-9]{3,}")
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
        return ("true" if operator == "is null" else "o.costs IS NOT NULL"), []
    if kind == "member":
        return _of_members(condition)
    # What is not there is the empty text.
    if operator in {"is null", "does not contain"} or condition.value == "":
        return "true", []
    fragments = _fragments(condition)
    return _OF_BODY.format(_held(f"f.{condition.column}", fragments)), fragments


def _of_members(condition: Condition) -> Part:
    if condition.operator in {"is null", "is not set"}:
        return ("o.trace_metadata IS NULL" if condition.key is None else "true"), []
    fragments = _fragments(condition)
    held, of_body = (_held(column, fragments) for column in ("o.trace_metadata", "f.metadata"))
    return f"(coalesce({held}, false) OR {_OF_BODY.format(of_body)})", [*fragments, *fragments]


def _held(column: str, fragments: list[str]) -> str:
    """Return what holds of every payload in which these fragments stand."""
    if not fragments:
        return f"{column} IS NOT NULL"
    return f"({' AND '.join([f'strpos({column}, ?) > 0'] * len(fragments))}) OR strpos({column}, '\\u') > 0"


def _fragments(condition: Condition) -> list[str]:
    """Return what of the value and of the key stands in every payload that meets a condition."""
    texts = [condition.key or ""] if condition.key != WHOLE else []
    case_counts = condition.operator != "matches" or condition.key is not None
    if isinstance(condition.value, str) and case_counts and condition.operator != "does not contain":
        texts.append(condition.value)
    return [max(found, key=len) for text in texts if (found := _SAFE.findall(text))]


DIALECT: Final = Dialect("strpos", _contains, _starts_with, _ends_with, _proved)
