"""How the value of an attribute is read as what a field holds; None where it is not that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

from tracecore.records import Level, Status
from tracecore.server.otlp.mapping import LEVELS
from tracecore.server.otlp.payloads import parsed, text_of

__all__ = [
    "environment_of", "flag_of", "level_of", "milliseconds_of", "number_of", "short_text_of", "status_of", "tags_of",
    "time_of", "whole_of",
]  # fmt: skip

_LONGEST_ID: Final = 200
"""Characters of a user's or a session's id."""
_MOST_TAGS: Final = 1_000
_LONGEST_ENVIRONMENT: Final = 40
_ENVIRONMENT: Final = re.compile(r"(?!langfuse)[a-z0-9_-]+")
_DEFAULT: Final = "default"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FRACTION: Final = re.compile(r"(?<=[0-9])[.,]([0-9]+)")
_NS_DIGITS: Final = 9
_LARGEST_TIME: Final = 2**63 - 1
_STATUSES: Final[dict[str, Status]] = {"cancelled": "cancelled", "abandoned": "abandoned"}


def short_text_of(value: Any) -> str | None:
    """Return the id of a user or a session; one that is too long is none."""
    found = text_of(value)
    return found if found is not None and len(found) <= _LONGEST_ID else None


def flag_of(value: Any) -> bool | None:
    """Return a truth value, also one that is text."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def level_of(value: Any) -> Level | None:
    """Return a level by any of its names."""
    return LEVELS.get(value.upper()) if isinstance(value, str) else None


def status_of(value: Any) -> Status | None:
    """Return how a span ended, where OpenTelemetry has no word for it."""
    return _STATUSES.get(value) if isinstance(value, str) else None


def environment_of(value: Any) -> str | None:
    """Return the name of an environment in lower case; one that is not allowed is ``default``."""
    found = text_of(value)
    if found is None:
        return None
    return _environment(found) if len(found) <= _LONGEST_ENVIRONMENT else _DEFAULT


@lru_cache(256)
def _environment(name: str) -> str:
    lower = name.lower()
    return lower if _ENVIRONMENT.fullmatch(lower) else _DEFAULT


def tags_of(value: Any) -> tuple[str, ...] | None:
    """Return tags: an array, an array as JSON, or words between commas."""
    found: Any = _listed(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        return None
    named = (text_of(tag) for tag in cast("Sequence[Any]", found)[:_MOST_TAGS])
    return tuple(dict.fromkeys(tag for tag in named if tag)) or None


def _listed(text: str) -> Any:
    array = parsed(text) if text.lstrip()[:1] == "[" else None
    if isinstance(array, list):
        return cast("Any", array)
    return [word.strip() for word in text.split(",")]


def whole_of(value: Any) -> int | None:
    """Return a whole number, also one that is text."""
    number = number_of(value)
    return None if number is None or number != int(number) else int(number)


def number_of(value: Any) -> int | float | None:
    """Return a finite number, also one that is text; a truth value is none."""
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= _LONGEST_ID:
        found = parsed(value)
        value = None if isinstance(found, str) else found
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if value - value == 0 else None


def milliseconds_of(value: Any) -> int | None:
    """Return ns from a number of milliseconds."""
    number = number_of(value)
    return None if number is None or not 0 <= number < _LARGEST_TIME // 1_000_000 else round(number * 1_000_000)


def time_of(value: Any) -> int | None:
    """Return ns since 1970 from ISO 8601, which may be JSON; without an offset it is UTC. All digits are kept."""
    text = parsed(value) if isinstance(value, str) and value[:1] == '"' else value
    if not isinstance(text, str) or len(text) > _LONGEST_ID:
        return None
    fraction = _FRACTION.search(text)
    whole = text if fraction is None else text[: fraction.start()] + text[fraction.end() :]
    try:
        found = datetime.fromisoformat(whole)
    except ValueError:
        return None
    moment = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    try:
        seconds = (moment - _EPOCH) // _MICROSECOND * 1_000
    except OverflowError:
        return None
    ns = seconds + (0 if fraction is None else int(fraction[1][:_NS_DIGITS].ljust(_NS_DIGITS, "0")))
    return ns if 0 <= ns <= _LARGEST_TIME else None
