"""What differs between two versions of a prompt: its text line by line, a chat message by message, and what is with it.

Lines are told apart as ``diff -u`` does. They are stored text: whoever shows them on a terminal makes them visible
first. What is too large to be compared in time is shown as taken away and put there as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct

from tracecore.prompts import Prompt
from tracecore.services.prompt_alignment import aligned

__all__ = ["Change", "DiffLine", "PromptDiff", "Section", "Sign", "Which", "diff"]

Sign: TypeAlias = Literal[" ", "-", "+", "@"]
"""A line of both, of the first only, of the second only; or the place of those that follow."""
Change: TypeAlias = Literal["added", "removed", "changed"]
"""What became of a part; a message that only stands elsewhere now is none."""

_Step: TypeAlias = tuple[str, int, int, int, int]
"""As ``difflib`` has them: what happens, from and to which line of the first, from and to which of the second."""

_CONTEXT: Final = 3
"""Lines of both that are shown around what differs."""
_MOST_LINES: Final = 2_000
"""Of either, where they differ, that are compared with each other: in the worst case it takes time by their product."""

_SHOWN_APART: Final = ("role", "content", "type")


class DiffLine(Struct, frozen=True):
    """Hold one line of a comparison."""

    sign: Sign
    text: str


class Section(Struct, frozen=True):
    """Hold the differences in one part of a prompt."""

    title: str
    change: Change
    lines: tuple[DiffLine, ...]


class Which(Struct, frozen=True):
    """Name a version."""

    name: str
    version: int

    def __str__(self) -> str:
        """Return how people name it."""
        return f"{self.name} version {self.version}"


class PromptDiff(Struct, frozen=True):
    """Hold what differs between two versions; no section where nothing does."""

    before: Which
    after: Which
    sections: tuple[Section, ...]

    def lines(self) -> list[str]:
        """Return it as text, in the manner of ``diff -u``: each section under its title, nothing where nothing differs.

        The first character of a line is its sign; titles begin with ``=``.
        """
        if not self.sections:
            return []
        found = [f"--- {self.before}", f"+++ {self.after}"]
        for section in self.sections:
            found.append(f"= {section.title}: {section.change}")
            found.extend(f"@@ {line.text} @@" if line.sign == "@" else line.sign + line.text for line in section.lines)
        return found


def diff(before: Prompt, after: Prompt) -> PromptDiff:
    """Return what differs between two versions, of one name or of two.

    A chat is compared message by message: those that are alike are brought together, in the order in which they stand.
    """
    sections = [
        *_section("type", [before.type], [after.type]),
        *_content(before, after),
        *_section("config", _json(before.config), _json(after.config)),
        *_section("variables", _variables(before), _variables(after)),
        *_section("labels", sorted(before.labels), sorted(after.labels)),
        *_section("tags", sorted(before.tags), sorted(after.tags)),
    ]
    return PromptDiff(Which(before.name, before.version), Which(after.name, after.version), tuple(sections))


def _content(before: Prompt, after: Prompt) -> Iterator[Section]:
    old, new = _decoded(before.prompt), _decoded(after.prompt)
    if isinstance(old, list) and isinstance(new, list):
        yield from _messages(cast("Any", old), cast("Any", new))
    else:
        yield from _section("prompt", _text_of(old), _text_of(new))


def _messages(old: Any, new: Any) -> Iterator[Section]:
    """Return a section for every message that differs from its like, or has none; where it stands counts from one."""
    before, after = [(_kind(one), _lines_of(one)) for one in old], [(_kind(one), _lines_of(one)) for one in new]
    for left, right in aligned(before, after):
        if left is not None and right is not None:
            moved = "" if left == right else f", was {left + 1}"
            yield from _section(f"message {right + 1} ({after[right][0]}){moved}", before[left][1], after[right][1])
        elif left is not None:
            kind, lines = before[left]
            yield Section(f"message {left + 1} ({kind})", "removed", tuple(_compared(lines, [])))
        elif right is not None:
            kind, lines = after[right]
            yield Section(f"message {right + 1} ({kind})", "added", tuple(_compared([], lines)))


def _section(title: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Section]:
    """Return a section, if anything differs."""
    if old != new:
        change: Change = "added" if not old else "changed" if new else "removed"
        yield Section(title, change, tuple(_compared(old, new)))


def _compared(old: Sequence[str], new: Sequence[str]) -> Iterator[DiffLine]:
    """Return the hunks of two lists of lines, each under its place: as in ``diff -u``, counted from one."""
    for group in _groups(old, new):
        first, last = group[0], group[-1]
        yield DiffLine("@", f"-{_place(first[1], last[2])} +{_place(first[3], last[4])}")
        for tag, old_start, old_end, new_start, new_end in group:
            if tag == "equal":
                yield from (DiffLine(" ", line) for line in old[old_start:old_end])
            else:
                yield from (DiffLine("-", line) for line in old[old_start:old_end])
                yield from (DiffLine("+", line) for line in new[new_start:new_end])


def _groups(old: Sequence[str], new: Sequence[str]) -> Iterator[list[_Step]]:
    """Return the steps from one to the other, those of each hunk together."""
    above, below = _common(old, new)
    start, rest = max(0, above - _CONTEXT), max(0, below - _CONTEXT)
    left, right = old[start : len(old) - rest], new[start : len(new) - rest]
    if max(len(left), len(right)) > _MOST_LINES:
        left_end, right_end = len(old) - below, len(new) - below
        yield [
            ("equal", start, above, start, above),
            ("replace", above, left_end, above, right_end),
            ("equal", left_end, len(old) - rest, right_end, len(new) - rest),
        ]
        return
    for group in SequenceMatcher(None, left, right).get_grouped_opcodes(_CONTEXT):
        yield [(tag, a + start, b + start, c + start, d + start) for tag, a, b, c, d in group]


def _place(start: int, end: int) -> str:
    """Return where lines are, as ``diff -u`` writes it: an empty range by the line above."""
    count = end - start
    return str(start + 1) if count == 1 else f"{start + 1 if count else start},{count}"


def _common(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """Return how many lines both have in common at the beginning, and how many of the others at the end."""
    most = min(len(old), len(new))
    above = next((index for index in range(most) if old[index] != new[index]), most)
    below = next((index for index in range(most - above) if old[-1 - index] != new[-1 - index]), most - above)
    return above, below


def _kind(message: Any) -> str:
    """Return what messages have in common that may be versions of each other: the role, or the placeholder's name."""
    if not isinstance(message, dict):
        return "no message"
    members = cast("dict[str, Any]", message)
    is_placeholder = members.get("type") == "placeholder"
    return f"placeholder {members.get('name')}" if is_placeholder else str(members.get("role"))


def _lines_of(message: Any) -> list[str]:
    """Return the content of a message line by line, and below it whatever else it has, as JSON."""
    if not isinstance(message, dict):
        return _pretty(message)
    members = cast("dict[str, Any]", message)
    if members.get("type") == "placeholder":
        return []
    lines = _text_of(members["content"]) if "content" in members else []
    others = {name: value for name, value in members.items() if name not in _SHOWN_APART}
    return lines + (_pretty(others) if others else [])


def _text_of(content: Any) -> list[str]:
    return content.split("\n") if isinstance(content, str) else _pretty(content)


def _decoded(prompt: Raw) -> Any:
    try:
        return msgspec.json.decode(prompt)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return bytes(prompt).decode(errors="replace")


def _json(document: Raw) -> list[str]:
    """Return JSON line by line, with sorted members; an empty object is nothing."""
    try:
        value = json.loads(bytes(document))
        return _pretty(value) if value != {} else []
    except (ValueError, RecursionError):
        return bytes(document).decode(errors="replace").split("\n")


def _pretty(value: Any) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).split("\n")


def _variables(prompt: Prompt) -> list[str]:
    """Return a line for each declared variable."""
    declared = sorted((prompt.variables or {}).items())
    shown = ((name, {"type": variable.type, **msgspec.to_builtins(variable)}) for name, variable in declared)
    return [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in shown]
