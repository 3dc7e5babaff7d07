"""Times that cannot be: kept or repaired so that every sum over them is finite, and said so in the metadata.

A start is stored where 64 bits hold it, with room for a duration behind it; a duration is never negative, and none is
longer than a year: no span is, but a clock that was set back to 1970 in between makes one. The moment of arrival never
becomes part of a time that was given, so that a request that is sent twice says the same twice.
"""

from __future__ import annotations

from typing import Final

__all__ = ["YEAR_NS", "times_of"]

YEAR_NS: Final = 366 * 86_400 * 10**9
_LATEST: Final = 2**63 - 1 - YEAR_NS
_EARLIEST: Final = 946_684_800 * 10**9
"""The year 2000: nothing that was traced began before."""


def times_of(start_ns: int, end_ns: int, received_ns: int) -> tuple[int, int | None, str | None]:
    """Return when a span began and how long it took, in ns; and what was wrong with what was said.

    A span without an end has not ended yet: its duration is None.
    """
    if _EARLIEST <= start_ns <= end_ns <= _LATEST and end_ns - start_ns <= YEAR_NS:
        return start_ns, end_ns - start_ns, None
    wrong: list[str] = []
    start = start_ns
    if not start:
        start = end_ns or received_ns
        wrong.append("no start")
    elif start < _EARLIEST:
        wrong.append("start before 2000")
    if start > _LATEST:
        start = _LATEST
        wrong.append(f"start after 2261: {start_ns}")
    duration = _duration(start, end_ns, wrong)
    return start, duration, "; ".join(wrong) or None


def _duration(start: int, end_ns: int, wrong: list[str]) -> int | None:
    if not end_ns:
        return None
    if end_ns < start:
        wrong.append(f"end before start: {end_ns}")
        return 0
    if end_ns - start > YEAR_NS:
        wrong.append(f"end more than a year after start: {end_ns}")
        return 0
    return end_ns - start
