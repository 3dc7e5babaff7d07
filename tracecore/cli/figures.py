"""Numbers as people read them: durations, moments, money, sizes. All take exact units and return short text.

Invariants: unknown is shown as unknown, never as zero; every text is plain printable ASCII but for the micro sign.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

__all__ = ["bytes_size", "cost", "count", "duration", "moment"]

_NOTHING: Final = "-"
_MOST_PLACES: Final = 12
_DURATIONS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
_MINUTE: Final = 60 * 10**9


def duration(ns: int | None) -> str:
    """Return a duration given in ns: three significant digits below a minute, then minutes or hours."""
    if ns is None:
        return _NOTHING
    if ns >= _MINUTE:
        minutes, seconds = divmod(ns // 10**9, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"
    size, unit = next((step for step in _DURATIONS if ns >= step[0]), _DURATIONS[-1])
    value = ns / size
    digits = 0 if size == 1 else 2 if value < 10 else 1 if value < 100 else 0  # noqa: PLR2004 - three digits in all
    return f"{value:.{digits}f} {unit}"


def moment(ns: int | None) -> str:
    """Return a point in time given in ns since the epoch, to the second, in the local time zone."""
    if ns is None:
        return _NOTHING
    try:
        return datetime.fromtimestamp(ns // 10**9, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # a year that no calendar here knows
        return f"{ns} ns"


def cost(usd: float | None, *, known: bool = True) -> str:
    """Return an amount of USD; with ``known`` false it is only the part that is known."""
    if usd is None:
        return _NOTHING if known else "unknown"
    text = f"{usd:,.2f}"
    if usd and abs(usd) < 1:
        # Three significant digits, never an exponent: $0.0123, $0.0000034.
        places = min(_MOST_PLACES, 2 - math.floor(math.log10(abs(usd))))
        text = f"{usd:.{places}f}".rstrip("0").ljust(4, "0")
    return f"${text}" if known else f">=${text}"


def count(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 trace``, ``1,204 traces``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def bytes_size(size: int) -> str:
    """Return a size given in bytes."""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):  # noqa: B007 - the unit at the break is the result
        if value < 1024:  # noqa: PLR2004 - bytes per KiB
            break
        value /= 1024
    else:
        unit = "TiB"
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
