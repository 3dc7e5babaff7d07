"""The shape of a trace: observations in the order in which a person reads them, each with its depth.

What is stored may be incomplete (a parent that was lost, or not written yet) or hostile (parents in a circle, a chain
of ten thousand). Invariants: every observation comes exactly once; nothing recurses; children follow their parent, by
start and then id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from tracecore.records import Observation

__all__ = ["Branch", "branches"]

_ROOT: Final = ""
_LINES: Final = 12
"""Lines kept per observation: all of them would be quadratic in a deep chain."""


class Branch(Struct, frozen=True):
    """Place one observation: ``depth`` parents are above it.

    ``lines`` are the lines to its left, True for one that goes on below: its own last, before it those of its nearest
    parents.
    """

    observation: Observation
    depth: int = 0
    lines: tuple[bool, ...] = ()
    orphan: bool = False
    """Whether it names a parent that is not in the trace (one in another service is no such case), or is its own."""


def branches(observations: Iterable[Observation]) -> list[Branch]:
    """Return every observation with its place, in reading order."""
    ordered = sorted(observations, key=lambda span: (span.start_ns, span.span_id))
    known = {span.span_id for span in ordered}
    children: dict[str, list[Observation]] = {}
    for span in ordered:
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else None
        children.setdefault(parent or _ROOT, []).append(span)
    placed: list[Branch] = []
    seen: set[str] = set()
    _place(children.get(_ROOT, ()), children, placed, seen)
    for span in ordered:  # what is left hangs below itself
        if span.span_id not in seen:
            _place([span], children, placed, seen)
    return placed


def _place(
    roots: Sequence[Observation], children: dict[str, list[Observation]], placed: list[Branch], seen: set[str]
) -> None:
    """Append ``roots`` and what is below them, depth first."""
    waiting = [Branch(root, orphan=root.parent_id is not None and not root.app_root) for root in reversed(roots)]
    while waiting:
        branch = waiting.pop()
        if branch.observation.span_id in seen:
            continue
        seen.add(branch.observation.span_id)
        placed.append(branch)
        below = [child for child in children.get(branch.observation.span_id, ()) if child.span_id not in seen]
        last = len(below) - 1
        waiting.extend(
            Branch(child, branch.depth + 1, (*branch.lines, position != last)[-_LINES:])
            for position, child in reversed(list(enumerate(below)))
        )
