"""Times on the wire: ISO 8601 in UTC with milliseconds, as JavaScript's ``toISOString`` writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from tracecore.server.langfuse_errors import InvalidRequest

__all__ = ["iso", "iso_or_none", "ns_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_START: Final = _EPOCH.replace(tzinfo=None)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST, _LAST = -(2**63), 2**63 - 1
"""The times that are kept, in ns: 1677 to 2262."""


def iso(ns: int) -> str:
    """Return a time in ns since the Unix epoch as text; what is less than a millisecond is cut off."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{(_START + timedelta(seconds=seconds)).isoformat()}.{rest // 1_000_000:03d}Z"


def iso_or_none(ns: int | None) -> str | None:
    """Return a time as text, or None where there is none."""
    return None if ns is None else iso(ns)


def ns_of(moment: datetime | str) -> int:
    """Return a time in ns since the Unix epoch; one without an offset is UTC, one beyond what is kept the nearest.

    Raises:
        InvalidRequest: the text is no ISO 8601 time.
    """
    if isinstance(moment, str):
        try:
            moment = msgspec.convert(moment, datetime)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{moment[:200]!r} is no ISO 8601 time such as 2026-01-31T12:00:00Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - _EPOCH) // _MICROSECOND * 1000, _FIRST), _LAST)
