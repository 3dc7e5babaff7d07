"""Which message of a chat became which message of the next version: those that are alike, in their order.

It is the alignment of two sequences that makes most of their likeness (S. B. Needleman and C. D. Wunsch, 1970), where
only messages of one kind may be each other, and the more words two have in common the more they are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

__all__ = ["Message", "Pair", "aligned"]

Message: TypeAlias = tuple[str, Sequence[str]]
"""The kind of a message, and its lines."""
Pair: TypeAlias = tuple[int | None, int | None]
"""The index of a message in the first and in the second chat; None where it is in one only."""

_MOST_PAIRS: Final = 10_000
"""Pairs of messages that are compared; chats that differ in more are taken as wholly different there."""
_MOST_WORDS: Final = 500
"""Words of a message that are compared."""
_SAME_KIND: Final = 0.01
"""Likeness of two messages of one kind that have no word in common: better than none."""
_EQUAL: Final = 2.0
"""Likeness of two that are equal: more than any two that are not."""


def aligned(old: Sequence[Message], new: Sequence[Message]) -> list[Pair]:
    """Return for each message which one of the other chat it is, if any, in an order that is that of both chats."""
    above, below = _ends(old, new)
    left, right = range(above, len(old) - below), range(above, len(new) - below)
    found: list[Pair] = [(index, index) for index in range(above)]
    if len(left) * len(right) > _MOST_PAIRS:
        found += [(index, None) for index in left] + [(None, index) for index in right]
    else:
        found += _best([old[index] for index in left], [new[index] for index in right], above)
    return found + [(len(old) - index, len(new) - index) for index in range(below, 0, -1)]


def _ends(old: Sequence[Message], new: Sequence[Message]) -> tuple[int, int]:
    """Return how many messages are equal at the beginning, and how many of the others at the end."""
    most = min(len(old), len(new))
    above = next((index for index in range(most) if old[index] != new[index]), most)
    below = next((index for index in range(most - above) if old[-1 - index] != new[-1 - index]), most - above)
    return above, below


def _best(old: Sequence[Message], new: Sequence[Message], offset: int) -> Iterator[Pair]:
    """Return the pairs that together are most alike; where two ways are as good, the one that removes first."""
    likeness = _likeness(old, new)
    # most[i][j]: the likeness that the messages from i and from j on can have in all.
    most = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            most[i][j] = max(most[i + 1][j], most[i][j + 1], likeness[i][j] and most[i + 1][j + 1] + likeness[i][j])
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and likeness[i][j] and most[i][j] == most[i + 1][j + 1] + likeness[i][j]:
            yield i + offset, j + offset
            i, j = i + 1, j + 1
        elif i < len(old) and most[i][j] == most[i + 1][j]:
            yield i + offset, None
            i += 1
        else:
            yield None, j + offset
            j += 1


def _likeness(old: Sequence[Message], new: Sequence[Message]) -> list[list[float]]:
    """Return how alike every two messages are: 0 where they cannot be each other."""
    left, right = [_words(message) for message in old], [_words(message) for message in new]
    return [
        [
            0.0 if one[0] != other[0] else _EQUAL if one == other else _SAME_KIND + _shared(left[i], right[j])
            for j, other in enumerate(new)
        ]
        for i, one in enumerate(old)
    ]


def _words(message: Message) -> frozenset[str]:
    return frozenset(islice((word for line in message[1] for word in line.split()), _MOST_WORDS))


def _shared(left: frozenset[str], right: frozenset[str]) -> float:
    """Return which part of their words two messages have in common (the coefficient of Dice)."""
    return 2 * len(left & right) / (len(left) + len(right)) if left and right else 0.0
