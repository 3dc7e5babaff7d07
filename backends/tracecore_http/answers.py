"""Reading what the other side has answered, which may be anything."""

from __future__ import annotations

from typing import TypeVar

from tracecore.errors import BackendUnavailable
from tracecore.wire import Malformed, decode
from tracecore_http.meaning import printable
from tracecore_http.transport import Answer

__all__ = ["understood"]

T = TypeVar("T")
_AGAIN = 30.0
"""Seconds after which somebody who does not speak as expected is asked again."""


def understood(answer: Answer, kind: type[T], location: str, *, who: str = "a tracecore server") -> T:
    """Return the value that an answer holds.

    Raises:
        BackendUnavailable: it holds no such value: somebody else answered (a proxy, a login page), or one who is newer.
    """
    try:
        return decode(answer.body, kind)
    except Malformed as error:
        raise BackendUnavailable(
            f"{location} answered {answer.status}, but not as {who} does ({printable(str(error))[:100]})",
            "correct the address, or bring both ends to one version",
            retry_after=_AGAIN,
        ) from error
