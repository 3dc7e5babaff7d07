"""Moments that clients name: what is kept is ns since the Unix epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["ns_of_moment"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST, _LAST = -(2**63), 2**63 - 1
"""The times that are kept, in ns: 1677 to 2262."""


def ns_of_moment(moment: datetime) -> int:
    """Return a time in ns since the Unix epoch; one without an offset is UTC, one beyond what is kept the nearest."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - _EPOCH) // _MICROSECOND * 1000, _FIRST), _LAST)
