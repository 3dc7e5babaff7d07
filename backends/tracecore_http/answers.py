"""Reading what the other side has answered, which may be anything."""

from __future__ import annotations

from typing import TypeVar

from tracecore.errors import BackendUnavailable
from tracecore.wire import Malformed, decode
from tracecore_http.transport import Answer

__all__ = ["understood"]

T = TypeVar("T")
_AGAIN = 30.0
"""Seconds after which somebody who does not speak as a tracecore server does is asked again."""


def understood(answer: Answer, kind: type[T], location: str) -> T:
    """Return the value that an answer holds.

    Raises:
        BackendUnavailable: it holds no such value: whoever answered is no tracecore server (a proxy, a login page).
    """
    try:
        return decode(answer.body, kind)
    except Malformed as error:
        raise BackendUnavailable(
            f"{location} answered {answer.status}, but not as a tracecore server does", "correct the address",
            retry_after=_AGAIN,
        ) from error  # fmt: skip
