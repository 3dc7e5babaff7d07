"""Times on the wire: ISO 8601 in UTC with milliseconds, as JavaScript's ``toISOString`` writes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.services.moments import ns_of_moment

__all__ = ["iso", "iso_or_none", "ns_of"]

_START: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, as everything here: what is written has its own Z


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
    return ns_of_moment(_read(moment) if isinstance(moment, str) else moment)


def _read(text: str) -> datetime:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{text[:200]!r} is no ISO 8601 time such as 2026-01-31T12:00:00Z") from error
