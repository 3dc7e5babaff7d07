"""From what a person types to one trace: a whole id, or the beginning of exactly one.

There is no look-up by prefix in the contract, so the list is read, newest first, without payloads. Most ids begin with
the time of their making (12 hexadecimal characters of milliseconds): for those nothing older is read.
"""

from __future__ import annotations

import re
from typing import Final

from tracecore.backend import LARGEST_PAGE, TraceQuery, TraceStore
from tracecore.cli.reading import pages
from tracecore.errors import NotFound, TracecoreError
from tracecore.records import Trace

__all__ = ["AmbiguousId", "find_trace"]

_WHOLE: Final = 32
_TIME_PART: Final = 12
_SHOWN: Final = 5
_OLDEST_MS: Final = 1_500_000_000_000
_NEWEST_MS: Final = 4_000_000_000_000
_TICK_NS: Final = 1_000_000


class AmbiguousId(TracecoreError):
    """Report that several traces begin with what was typed."""

    def __init__(self, prefix: str, candidates: list[str]) -> None:
        shown = ", ".join(candidates[:_SHOWN]) + (" and more" if len(candidates) > _SHOWN else "")
        super().__init__(f"several traces begin with {prefix!r}: {shown}; write more of the id")
        self.candidates = candidates


async def find_trace(store: TraceStore, project: str, typed: str) -> Trace:
    """Return the trace with this id, or the only one whose id begins so, with the input and output of its root.

    Raises:
        NotFound: no trace of the project has such an id.
        AmbiguousId: several traces begin so.
    """
    prefix = typed.strip().lower()
    if re.fullmatch("[0-9a-f]{1,32}", prefix) is None:
        raise NotFound("trace", typed, "an id consists of 32 hexadecimal characters; `tracecore traces` lists them")
    found = [prefix]
    if len(prefix) < _WHOLE:
        found = await _beginning_with(prefix, store, project, since_ns=_made_ns(prefix))
        # An id made elsewhere may look like a time that it is not.
        found = found or await _beginning_with(prefix, store, project, since_ns=None)
    if len(found) > 1:
        raise AmbiguousId(prefix, found)
    trace = await store.get(project, found[0]) if found else None
    if trace is None:
        raise NotFound("trace", typed, f"`tracecore traces` lists those of project {project!r}")
    return trace


def _made_ns(prefix: str) -> int | None:
    """Return the earliest time at which an id that begins so was made by us, in ns; None when it cannot be told."""
    if len(prefix) < _TIME_PART:
        return None
    milliseconds = int(prefix[:_TIME_PART], 16)
    return (milliseconds - 1) * _TICK_NS if _OLDEST_MS < milliseconds < _NEWEST_MS else None


async def _beginning_with(prefix: str, store: TraceStore, project: str, *, since_ns: int | None) -> list[str]:
    found: list[str] = []
    async for trace in pages(
        lambda cursor: store.find(project, TraceQuery(limit=LARGEST_PAGE, cursor=cursor, since_ns=since_ns))
    ):
        if trace.trace_id.startswith(prefix):
            found.append(trace.trace_id)
            if len(found) > _SHOWN:
                break
    return found
