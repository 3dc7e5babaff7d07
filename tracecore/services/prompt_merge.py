"""Bring together, line by line, what two people made of one text.

Lines are in common where both still have them; between two such places somebody changed something. Where only one side
did, its lines are taken, where both made the same of it, too; else it is a conflict, which shows all three. Both sides
are compared with what they began with, never with each other, so that exchanging them exchanges what they say in a
conflict and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeAlias

from msgspec import Struct

__all__ = ["Conflicting", "merged", "with_markers"]

Lines: TypeAlias = list[str]
_Match: TypeAlias = tuple[int, int, int]
"""Where lines in common begin in the base and on a side, and how many they are."""
_Place: TypeAlias = tuple[int, int, int, int]
"""Where lines in common begin in the base and on both sides, and how many they are."""


class Conflicting(Struct, frozen=True):
    """Hold what both sides made of the same lines."""

    base: Lines
    one: Lines
    other: Lines


def merged(base: Lines, one: Lines, other: Lines) -> list[Lines | Conflicting]:
    """Return the merged lines in pieces, with what nobody but a person can decide between them."""
    found: list[Lines | Conflicting] = []
    at = at_one = at_other = 0
    for start, in_one, in_other, length in _in_common(base, one, other):
        piece = _decided(base[at:start], one[at_one:in_one], other[at_other:in_other])
        found += [piece, base[start : start + length]]
        at, at_one, at_other = start + length, in_one + length, in_other + length
    return [piece for piece in found if piece]


def with_markers(pieces: Sequence[Lines | Conflicting], names: tuple[str, str, str]) -> Lines:
    """Return lines, each with its line break, in which a conflict stands between markers as ``git`` writes them.

    The names are those of the first side, the base and the second side.
    """
    lines: Lines = []
    for piece in pieces:
        if isinstance(piece, list):
            lines += piece
            continue
        lines += [f"<<<<<<< {names[0]}\n", *piece.one, f"||||||| {names[1]}\n", *piece.base]
        lines += ["=======\n", *piece.other, f">>>>>>> {names[2]}\n"]
    return lines


def _decided(base: Lines, one: Lines, other: Lines) -> Lines | Conflicting:
    if one in (other, base):
        return other
    if other == base:
        return one
    return Conflicting(base, one, other)


def _in_common(base: Lines, one: Lines, other: Lines) -> Iterator[_Place]:
    """Yield the places that all three have, and the end of all three."""
    left, right = _matching(base, one), _matching(base, other)
    i = j = 0
    while i < len(left) and j < len(right):
        (start_left, in_one, length_left), (start_right, in_other, length_right) = left[i], right[j]
        start = max(start_left, start_right)
        end_left, end_right = start_left + length_left, start_right + length_right
        if start < (end := min(end_left, end_right)):
            yield start, in_one + start - start_left, in_other + start - start_right, end - start
        if end_left <= end_right:
            i += 1
        else:
            j += 1
    yield len(base), len(one), len(other), 0


def _matching(base: Lines, side: Lines) -> list[_Match]:
    """Return where lines of the base are on a side, in the order of both.

    Lines that are everywhere in a long text begin no match by themselves (``autojunk``): else a text of one line again
    and again would take the square of its length. What is merged is right however much of it is found in common.
    """
    before, behind = _ends(base, side)
    middle, middle_of_side = base[before : len(base) - behind], side[before : len(side) - behind]
    blocks = SequenceMatcher(None, middle, middle_of_side, autojunk=True).get_matching_blocks()
    found = [(before + block.a, before + block.b, block.size) for block in blocks]
    ends = (0, 0, before), (len(base) - behind, len(side) - behind, behind)
    return [match for match in (ends[0], *found, ends[1]) if match[2]]


def _ends(base: Lines, side: Lines) -> tuple[int, int]:
    """Return how many lines are the same at the beginning, and how many more at the end."""
    shorter = min(len(base), len(side))
    before = next((i for i in range(shorter) if base[i] != side[i]), shorter)
    left = shorter - before
    return before, next((i for i in range(left) if base[-1 - i] != side[-1 - i]), left)
