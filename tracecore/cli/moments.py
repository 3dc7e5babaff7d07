"""Points in time and durations as people write them: ``15m``, ``2h30m``, ``250ms``, ``2026-01-31T12:00``.

Both are also types of command-line options. A moment without an offset is local time; one written as a duration is
that long ago.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

import click

from tracecore.clock import wall_ns

__all__ = ["DURATION", "MOMENT", "duration_ns", "moment_ns"]

_UNITS: Final = {
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3_600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|[smhdw])", re.ASCII)
_LONGEST_NS: Final = 2**63 - 1


def duration_ns(text: str) -> int:
    """Return the duration in ns.

    Raises:
        ValueError: the text is not made of numbers with units, or is longer than 292 years.
    """
    parts = _PART.findall(text.replace(" ", ""))
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        message = f"{text!r} is not a duration: write a number and a unit, such as 250ms, 1.5s, 15m, 2h, 3d"
        raise ValueError(message)
    total = sum(round(float(number) * _UNITS[unit]) for number, unit in parts)
    if total > _LONGEST_NS:
        message = f"{text!r} is too long"
        raise ValueError(message)
    return total


def moment_ns(text: str, *, now_ns: int) -> int:
    """Return the point in time in ns since the epoch.

    Raises:
        ValueError: the text is neither a duration (ago) nor an ISO 8601 date.
    """
    try:
        return now_ns - duration_ns(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text).astimezone()
        return int(when.timestamp()) * 10**9 + when.microsecond * 1000
    except (ValueError, OverflowError, OSError):
        message = f"{text!r} is not a time: write 15m, 2h or 3d (ago), or a date such as 2026-01-31T12:00"
        raise ValueError(message) from None


class _Parsed(click.ParamType[int]):
    """Turn the text of an option into ns."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ``value`` in ns, or fail with a sentence."""
        if isinstance(value, int):
            return value
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION: Final = _Parsed("duration", duration_ns)
MOMENT: Final = _Parsed("time", lambda text: moment_ns(text, now_ns=wall_ns()))
