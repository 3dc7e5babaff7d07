"""What became of what dead processes had left, in words for people and as an object for programs."""

from __future__ import annotations

from typing import Any, Final

from tracecore.cli.delivery import REASONS, UNKNOWN
from tracecore.cli.figures import bytes_size, count, duration
from tracecore.cli.journal_survey import SeenHome
from tracecore.cli.recovery import Answer
from tracecore.segments import DAMAGED

__all__ = ["as_json", "lines_of"]

_SHOWN: Final = 3


def as_json(answer: Answer, timeout_ns: int) -> dict[str, Any]:
    """Return the answer for programs."""
    return {
        "directory": answer.after.directory,
        "exists": answer.after.exists,
        "location": answer.location,
        "complete": answer.complete,
        "why": "; ".join(_reasons(answer, timeout_ns)) or None,
        "delivered": answer.delivered,
        "lost": answer.lost,
        "homes_emptied": answer.emptied,
        "homes_left": len(answer.left),
        "homes_elsewhere": {location: len(homes) for location, homes in answer.elsewhere.items()},
        "homes_denied": len(answer.after.of("denied")),
        "homes_in_use": len(answer.after.of("in_use")),
        "bytes_left": sum(home.bytes for home in answer.left),
        "damaged": answer.kept_aside,
    }


def lines_of(answer: Answer, timeout_ns: int) -> list[str]:
    """Return the answer for people, a line each; not made visible yet."""
    where = answer.after.directory
    if not answer.after.exists and not answer.emptied:
        return [f"nothing to recover: {where} does not exist"]
    lines: list[str] = []
    if answer.location is not None:
        lines.append(_delivered(answer))
    elif answer.complete:
        lines.append(_nothing(answer))
    for reason, number in answer.lost.items():
        lines.append(f"lost {count(number, 'record')}, {reason}: {REASONS.get(reason, UNKNOWN)[0]}")
    if answer.kept_aside:
        size = bytes_size(sum(segment.bytes for segment in answer.kept_aside))
        lines.append(
            f"kept aside in {where}/{DAMAGED}: {count(len(answer.kept_aside), 'segment')} ({size}) in which something "
            "could not be read; of each a record or more is lost, all others were delivered"
        )
    if in_use := answer.after.of("in_use"):
        lines.append(f"left alone: {count(len(in_use), 'home')} in use, by processes that live or that deliver them")
    return lines + [f"not complete: {reason}" for reason in _reasons(answer, timeout_ns)]


def _nothing(answer: Answer) -> str:
    seen = answer.after
    others = (
        ""
        if seen.homes or not seen.foreign
        else f": it is no journal's, but has {count(seen.foreign, 'other name')} in it"
    )
    return f"nothing to recover in {seen.directory}{others}"


def _delivered(answer: Answer) -> str:
    left = count(len(answer.begun), "home")
    emptied = f"{answer.emptied:,} of {left} in {answer.after.directory} emptied"
    return f"delivered {count(answer.delivered, 'record')} to {answer.location}; {emptied}"


def _reasons(answer: Answer, timeout_ns: int) -> list[str]:
    """Return why something is left, and what to do."""
    reasons: list[str] = []
    if answer.left:
        size = bytes_size(sum(home.bytes for home in answer.left))
        what = f"{count(len(answer.left), 'home')} ({size}) left in {answer.after.directory}"
        why = "nobody could take them" if answer.finished else f"the {duration(timeout_ns)} of --timeout were up"
        reasons.append(f"{what}: {why}{_last_error(answer)}; run it again, nothing is stored twice")
    reasons += [_waiting(location, homes, answer) for location, homes in answer.elsewhere.items()]
    reasons += [
        f"{home.name} cannot be taken: {home.why}; let this user write there, or be the one that the service ran as"
        for home in answer.after.of("denied")[:_SHOWN]
    ]
    if (more := len(answer.after.of("denied")) - _SHOWN) > 0:
        reasons.append(f"{more:,} more like that")
    return reasons


def _waiting(location: str, homes: list[SeenHome], answer: Answer) -> str:
    """Return for whom homes wait that were passed over."""
    what = f"{count(len(homes), 'home')} ({bytes_size(sum(home.bytes for home in homes))}) in {answer.after.directory}"
    verb = "waits" if len(homes) == 1 else "wait"
    to = " and ".join(sorted(answer.destinations or ()))
    return f"{what} {verb} for {location}: name that with --backend, or deliver to {to} with --all"


def _last_error(answer: Answer) -> str:
    if answer.last_error:
        return f", and the last error was: {answer.last_error}"
    return "" if answer.finished or answer.delivered else ", and the backend had not answered"
