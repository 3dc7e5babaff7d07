"""A trace as lines of text: its tree, a bar per observation on one time axis, and what each step cost.

Invariants: every observation has a line, whatever its times say (a bar stays inside the axis and is at least one cell);
no line is cut by hostile nesting (lines beyond a depth are folded into a number); no line is longer than a terminal of
80 columns or more (facts without room beside the bars stand below them, whole); all stored text is made visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tracecore.cli.escaping import visible
from tracecore.cli.figures import cost, duration
from tracecore.cli.payloads import excerpt, full_lines
from tracecore.cli.plain_table import cut, pad, width
from tracecore.cli.tree import Branch, branches
from tracecore.records import Generation, Observation, usage_totals

__all__ = ["Axis", "troubles", "waterfall"]

_NAME_LIMIT: Final = 44
_NAME_LEAST: Final = 5
_DURATION_WIDTH: Final = 8
_NARROWEST_BAR: Final = 12
_WIDEST_BAR: Final = 48
_FRAME: Final = len(" ") + len(" ||")
"""What stands around the duration and the bar."""
_FOLD: Final = 2
"""Levels of the tree in whose place the number of folded ones is written."""
_MARKS: Final = {"running": "…", "ok": " ", "error": "✗", "cancelled": "∅", "abandoned": "?"}


class Axis(Struct, frozen=True):
    """Map points in time (ns) to cells of a bar."""

    start_ns: int
    end_ns: int
    cells: int

    def bar(self, start_ns: int, end_ns: int, *, fill: str = "█") -> str:
        """Return the bar from ``start_ns`` to ``end_ns``: exactly ``cells`` wide, at least one of them filled."""
        first = min(self._cell(start_ns), self.cells - 1)
        last = max(first + 1, min(self.cells, self._cell(end_ns, up=True)))
        return " " * first + fill * (last - first) + " " * (self.cells - last)

    def _cell(self, moment_ns: int, *, up: bool = False) -> int:
        whole = max(1, self.end_ns - self.start_ns)
        passed = min(max(0, moment_ns - self.start_ns), whole)
        return -(-passed * self.cells // whole) if up else passed * self.cells // whole


def waterfall(observations: Iterable[Observation], *, columns: int, full: bool = False) -> list[str]:
    """Return the lines of a trace for a terminal of ``columns``; with ``full`` every payload is written out."""
    placed = branches(observations)
    if not placed:
        return []
    times = [_took(branch.observation) for branch in placed]
    time_width = max(_DURATION_WIDTH, *map(len, times))
    labels = [_label(branch, columns - time_width - _FRAME - _NARROWEST_BAR) for branch in placed]
    label_width = max(map(width, labels))
    facts = [cut(_facts(branch.observation), columns) for branch in placed]
    room = columns - label_width - time_width - _FRAME
    beside = room - max(map(width, facts)) - 1
    axis = _axis(placed, cells=beside if beside >= _NARROWEST_BAR else room)
    lines: list[str] = []
    for branch, label, took, fact in zip(placed, labels, times, facts, strict=True):
        bar = f"{pad(label, label_width)} {took:>{time_width}} |{_bar(branch.observation, axis)}|"
        lines.append(f"{bar} {fact}".rstrip() if beside >= _NARROWEST_BAR else bar)
        lines += _below(branch, "" if beside >= _NARROWEST_BAR else fact, full=full, columns=columns)
    return lines


def _took(span: Observation) -> str:
    return duration(span.duration_ns) if span.duration_ns is not None else "running"


def _axis(placed: list[Branch], *, cells: int) -> Axis:
    spans = [branch.observation for branch in placed]
    start = min(span.start_ns for span in spans)
    end = max(span.end_ns or span.start_ns for span in spans)
    return Axis(start, max(end, start + 1), max(_NARROWEST_BAR, min(_WIDEST_BAR, cells)))


def _bar(span: Observation, axis: Axis) -> str:
    if span.type == "event":
        return axis.bar(span.start_ns, span.start_ns, fill="◆")
    if span.end_ns is None:
        return axis.bar(span.start_ns, axis.end_ns, fill="░")
    return axis.bar(span.start_ns, span.end_ns)


def _label(branch: Branch, room: int) -> str:
    """Return the tree's lines, the name, cut to fit, and, where it says more than the name, the type."""
    span = branch.observation
    tree = _tree(branch)
    kind = "" if span.type == "span" else f" [{span.type}]"
    mark = _MARKS.get(span.status, " ").strip()
    after = f"{kind}{' ' + mark if mark else ''}{' (parent missing)' if branch.orphan else ''}"
    left = room - width(tree) - width(after)
    return tree + cut(visible(span.name) or "(no name)", min(_NAME_LIMIT, max(_NAME_LEAST, left))) + after


def _tree(branch: Branch) -> str:
    """Return the lines to the left of an observation, the outer ones as the number of those that are not drawn."""
    inner, own = branch.lines[:-1], branch.lines[-1:]
    tree = "".join("│  " if goes_on else "   " for goes_on in inner)
    tree += "".join("├─ " if goes_on else "└─ " for goes_on in own)
    if branch.depth == len(branch.lines):
        return tree
    return pad(f"({branch.depth - len(branch.lines) + _FOLD}) ", 3 * _FOLD) + tree[3 * _FOLD :]


def _facts(span: Observation) -> str:
    """Return what stands to the right of the bar: model, units and cost of a generation."""
    if not isinstance(span, Generation):
        return ""
    facts = [cut(visible(span.model), 24)] if span.model else []
    if span.usage_details:
        read, written, total = usage_totals(span.usage_details)
        facts.append(f"{read:,}+{written:,} tok" if read or written else f"{total:,} units")
        facts.append(cost(span.total_cost, known=span.total_cost is not None))
    elif span.total_cost is not None:
        facts.append(cost(span.total_cost))
    if span.completion_start_ns is not None:
        facts.append(f"first token {duration(max(0, span.completion_start_ns - span.start_ns))}")
    return "  ".join(facts)


def troubles(span: Observation) -> list[str]:
    """Return what an observation says of its level, its status and its error, each thing once."""
    lines: list[str] = []
    error = "" if span.error is None else f"{span.error.type}: {span.error.message}".removesuffix(": ")
    if error:
        lines.append(visible(f"error: {error}"))
    if (span.level != "DEFAULT" or span.status_message) and not (error and error.startswith(span.status_message or "")):
        lines.append(visible(f"{span.level.lower()}: {span.status_message or ''}".removesuffix(": ")))
    return lines


def _below(branch: Branch, fact: str, *, full: bool, columns: int) -> list[str]:
    """Return the lines below an observation: facts without room beside it, what went wrong, what went in and out."""
    span = branch.observation
    indent = "      " + "   " * len(branch.lines)
    room = max(20, columns - len(indent) - 10)
    lines = troubles(span)
    for name, payload in (("in", span.input), ("out", span.output), ("meta", span.metadata)):
        if not payload or (name == "meta" and not full):
            continue
        if full:
            lines.append(f"{name}:")
            lines += [f"  {line}" for line in full_lines(payload)]
        else:
            lines.append(f"{name}: {excerpt(payload, room)}")
    if full and span.error is not None and span.error.stack:
        lines += [f"  {visible(line)}" for line in span.error.stack.splitlines()]
    own_line = [indent[: max(0, columns - width(fact))] + fact] if fact else []
    return own_line + [indent + (line if full else cut(line, room + 8)) for line in lines]
