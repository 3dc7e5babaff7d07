"""Tables as plain text: aligned columns, one row a line, for files, pipes and terminals without rich.

Invariant: every line has as many cells as the heading, a cell is cut at its column's limit and then ends in an
ellipsis, and widths are those of the terminal: a wide character (Han, emoji) counts two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol

__all__ = ["cut", "draw", "pad", "width"]

_GAP: Final = "  "
_ELLIPSIS: Final = "…"
_WIDE: Final = frozenset({"W", "F"})
_MARKS: Final = frozenset({"Mn", "Me"})


class ColumnLike(Protocol):
    """What a column must say of itself."""

    @property
    def heading(self) -> str: ...
    @property
    def align(self) -> Literal["left", "right"]: ...
    @property
    def limit(self) -> int: ...


def draw(columns: Sequence[ColumnLike], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: headings, then rows. Texts must be visible already."""
    cells = [
        [column.heading for column in columns],
        *([cut(text, column.limit) for text, column in zip(row, columns, strict=True)] for row in rows),
    ]
    widths = [max(width(row[i]) for row in cells) for i in range(len(columns))]
    return [
        _GAP.join(pad(row[i], widths[i], align=columns[i].align) for i in range(len(columns))).rstrip() for row in cells
    ]


def width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(character) in _MARKS else 1 + (unicodedata.east_asian_width(character) in _WIDE)
        for character in text
    )


def cut(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` columns, with an ellipsis where something is missing."""
    if width(text) <= limit:
        return text
    taken = used = 0
    for character in text:
        used += width(character)
        if used > limit - 1:
            break
        taken += 1
    return text[:taken] + _ELLIPSIS


def pad(text: str, columns: int, *, align: Literal["left", "right"] = "left") -> str:
    """Return ``text`` filled with blanks to ``columns``."""
    blanks = " " * (columns - width(text))
    return blanks + text if align == "right" else text + blanks
