"""What an answer means, in one table: what to do next with the same request.

::

    2xx                         it was done; its body says what (a web page does not: somebody else has answered)
    3xx                         the address has changed: an operator's matter, tried again now and then
    400 422                     never: refused for good (the pump halves the batch); of a tracecore server only where
                                it says so itself, for others may stand before it: else tried again now and then
    401 403                     once an operator has mended the credentials; tried again now and then
    404 405 and other 4xx       once an operator has mended the address or the server; tried again now and then
    413                         in smaller parts
    408 425 429 5xx             later, when the answer says (Retry-After: seconds, or a date)

Nothing is lost for what an operator can mend, and nobody is asked more often than every half a minute meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from tracecore.backend import Receipt
from tracecore.clock import wall_ns
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, TracecoreError
from tracecore.wire import Malformed, Problem, decode, error_of, managing_error_of
from tracecore_http.transport import Answer

__all__ = ["TooLarge", "error_in", "managing_error_in", "printable", "problem_in", "receipt_for", "said_in", "united"]

T = TypeVar("T")

_MENDED: Final = 30.0
"""Seconds after which is tried again what an operator has to mend."""
_LONGEST: Final = 300
"""Characters of the other side that an error quotes."""
_LONGEST_MANAGING: Final = 2000
"""Characters of a tracecore server that an error of managing quotes."""
_DONE: Final = range(200, 300)
_MOVED: Final = range(300, 400)
_NEVER: Final = frozenset({400, 422})
_WHO: Final = frozenset({401, 403})
_LATER: Final = frozenset({408, 425, 429})
_TOO_LARGE: Final = 413
_REFUSALS: Final = frozenset({"BackendRejected", "Malformed"})
"""The titles under which a tracecore server refuses for good."""


class TooLarge(BackendRejected):
    """Report a request that the other side takes in smaller parts only."""


def error_in(
    answer: Answer, location: str, hide: Callable[[str], str], *, is_native: bool = False
) -> BackendError | None:
    """Return the error that an answer means, or None when what was asked was done.

    ``hide`` takes our secrets out of what the other side says. A tracecore server (``is_native``) proves with what it
    says that it is one; without that nothing is refused for good.
    """
    if answer.status in _DONE:
        return _page_instead(answer, location)
    problem = problem_in(answer)
    error = None if problem is None else _ours(problem, hide)
    if error is None and is_native and answer.status in _NEVER and (problem is None or problem.title not in _REFUSALS):
        return _of_a_stranger(answer, location, hide)
    return error or _by_status(answer, location, hide)


def managing_error_in(answer: Answer, hide: Callable[[str], str]) -> TracecoreError | None:
    """Return the error that a tracecore server raised when it was to manage something, or None where it says none.

    Its words are those of the server, at a length that holds the names of what exists nearby.
    """
    problem = problem_in(answer)
    if problem is None:
        return None
    shown: dict[str, Any] = {
        "detail": printable(hide(problem.detail), _LONGEST_MANAGING),
        "remedy": printable(hide(problem.remedy), _LONGEST_MANAGING),
        "about": {name: _shown(value, hide) for name, value in problem.about.items()},
    }
    return managing_error_of(msgspec.structs.replace(problem, **shown))


def _shown(value: T, hide: Callable[[str], str]) -> T | str:
    return printable(hide(value), _LONGEST_MANAGING) if isinstance(value, str) else value


def _page_instead(answer: Answer, location: str) -> BackendUnavailable | None:
    """Return the error of a web page, such as one to log in on: nothing that we speak to answers with one."""
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/html":
        return None
    what = f"{location} answered {answer.status} with a web page: somebody else is there, or on the way"
    return BackendUnavailable(what, "correct the address, or the network", retry_after=_MENDED)


def _of_a_stranger(answer: Answer, location: str, hide: Callable[[str], str]) -> BackendUnavailable:
    said = printable(hide(said_in(answer)))
    what = f"{location} answered {_named(answer.status)}, but not as a tracecore server does"
    what = f"{what}: {said}" if said else what
    return BackendUnavailable(what, "correct the address, or what stands before the server", retry_after=_MENDED)


def receipt_for(rejected: int, reason: str | None, hide: Callable[[str], str]) -> Receipt | None:
    """Return the receipt for what the other side says it has rejected, in words that can be shown; None for nothing."""
    return Receipt(rejected, printable(hide(reason or "")) or None) if rejected > 0 else None


def united(receipts: list[Receipt | None]) -> Receipt | None:
    """Return what the receipts of the parts of a batch say together."""
    partial = [receipt for receipt in receipts if receipt is not None]
    reasons = [receipt.reason for receipt in partial if receipt.reason]
    return Receipt(sum(receipt.rejected for receipt in partial), "; ".join(reasons) or None) if partial else None


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return a text as one short line; whatever is to be hidden was hidden before it was cut."""
    return "".join(c if c.isprintable() else " " for c in text[:longest]).strip()


def _by_status(answer: Answer, location: str, hide: Callable[[str], str]) -> BackendError:
    status, said = answer.status, printable(hide(said_in(answer)))
    what = f"{location} answered {_named(status)}{f': {said}' if said else ''}"
    again = _retry_after(answer.headers.get("retry-after"))
    if status == _TOO_LARGE:
        return TooLarge(what)
    if status in _NEVER:
        return BackendRejected(what)
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return BackendUnavailable(what, retry_after=again)
    if status in _MOVED:
        where = _where(answer, hide)
        what = f"{location} has moved{f' to {where}' if where else ''}, and nothing is sent on"
    remedy = "correct the credentials" if status in _WHO else "correct the address"
    return BackendUnavailable(what, remedy, retry_after=max(again or 0.0, _MENDED))


def _where(answer: Answer, hide: Callable[[str], str]) -> str:
    """Return the address that a redirect names, without what may be a credential."""
    address = answer.headers.get("location", "").partition("?")[0]
    scheme, slashes, rest = address.rpartition("//")
    host, slash, path = rest.partition("/")
    return printable(hide(f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"))


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def problem_in(answer: Answer) -> Problem | None:
    """Return what a tracecore server says of an error, or None where none has said so."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return None
    try:
        return decode(answer.body, Problem)
    except Malformed:
        return None


def _ours(problem: Problem, hide: Callable[[str], str]) -> BackendError | None:
    """Return the error that a tracecore server raised."""
    shown = {"detail": printable(hide(problem.detail)), "remedy": printable(hide(problem.remedy))}
    return error_of(msgspec.structs.replace(problem, **shown))


class _Message(msgspec.Struct):
    """What many servers say in JSON when they refuse something."""

    message: str = ""
    detail: str = ""


def said_in(answer: Answer) -> str:
    """Return what the other side says about its refusal."""
    try:
        found = msgspec.json.decode(answer.body, type=_Message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        is_text = answer.headers.get("content-type", "").startswith("text/plain")
        return answer.body.decode("utf-8", "replace") if is_text else ""
    return found.detail or found.message


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a header asks to wait: a number, or the time until a date; None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - wall_ns() / 1e9
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
