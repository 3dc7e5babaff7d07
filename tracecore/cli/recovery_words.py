"""What became of what dead processes had left, in words for people and as an object for programs."""

from __future__ import annotations

from typing import Any, Final

from tracecore.cli.delivery import REASONS
from tracecore.cli.figures import bytes_size, count, duration
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
        "homes_left": [home.name for home in answer.left],
        "homes_denied": {home.name: home.why for home in answer.after.of("denied")},
        "homes_in_use": len(answer.after.of("in_use")),
        "bytes_left": sum(home.bytes for home in answer.left),
        "damaged": answer.kept_aside,
    }


def lines_of(answer: Answer, timeout_ns: int) -> list[str]:
    """Return the answer for people, a line each; not made visible yet."""
    where = answer.after.directory
    if not answer.after.exists and not answer.emptied:
        return [f"nothing to recover: {where} does not exist"]
    lines = [_nothing(answer) if answer.location is None else _delivered(answer)]
    if answer.lost:
        lines += [
            f"lost {number:,}, {reason}: {REASONS.get(reason, ('',))[0]}" for reason, number in answer.lost.items()
        ]
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
    others = (
        "" if answer.after.homes or not answer.after.foreign else f"; it holds {answer.after.foreign:,} other names"
    )
    return f"nothing to recover in {answer.after.directory}{others}"


def _delivered(answer: Answer) -> str:
    emptied = f"emptied {count(answer.emptied, 'home')} in {answer.after.directory}"
    return f"delivered {count(answer.delivered, 'record')} to {answer.location}; {emptied}"


def _reasons(answer: Answer, timeout_ns: int) -> list[str]:
    """Return why something is left, and what to do."""
    reasons: list[str] = []
    if answer.left:
        size = bytes_size(sum(home.bytes for home in answer.left))
        what = f"{count(len(answer.left), 'home')} ({size}) left in {answer.after.directory}"
        last = f"; the last error was: {answer.last_error}" if answer.last_error else ""
        why = "nobody could take them" if answer.finished else f"the {duration(timeout_ns)} of --timeout were up"
        reasons.append(f"{what}: {why}{last}; run it again, nothing is stored twice")
    reasons += [
        f"{home.name} cannot be taken: {home.why}; run this as the user that the service ran as"
        for home in answer.after.of("denied")[:_SHOWN]
    ]
    if (more := len(answer.after.of("denied")) - _SHOWN) > 0:
        reasons.append(f"{more:,} more like that")
    return reasons
