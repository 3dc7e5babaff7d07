"""Reading what the other side has answered, which may be anything."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from tracecore.errors import BackendUnavailable
from tracecore.wire import Malformed, decode
from tracecore_http.compressing import inflated
from tracecore_http.meaning import printable
from tracecore_http.transport import Answer

__all__ = ["understood", "unpacked"]

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
        raise _odd(answer, location, who, error) from error


def unpacked(answer: Answer, most: int, location: str) -> Answer:
    """Return an answer as it was before it was compressed, if that is what it says of itself, up to so many bytes.

    Raises:
        BackendUnavailable: it cannot be inflated.
    """
    if answer.headers.get("content-encoding") != "zstd" or not answer.is_whole:
        return answer
    try:
        body, is_whole = inflated(answer.body, most)
    except ValueError as error:
        raise _odd(answer, location, "a tracecore server", error) from error
    return replace(answer, body=body, is_whole=is_whole)


def _odd(answer: Answer, location: str, who: str, error: Exception) -> BackendUnavailable:
    return BackendUnavailable(
        f"{location} answered {answer.status}, but not as {who} does ({printable(str(error))[:100]})",
        "correct the address, or bring both ends to one version",
        retry_after=_AGAIN,
    )
