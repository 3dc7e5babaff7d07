"""Comparing answers: when two are not the same, the message names the first field that differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, cast

from msgspec import Raw, Struct

__all__ = ["difference", "same"]

Part: TypeAlias = tuple[str, object, object]


def same(answer: object, expected: object, asked: object = "") -> None:
    """Assert that an answer is the expected one.

    Raises:
        AssertionError: it is not; the message says what was asked, and the first place where they differ.
    """
    if answer != expected:
        raise AssertionError(f"{asked}\n{difference(answer, expected)}")


def difference(answer: object, expected: object, where: str = "answer") -> str:
    """Return the first place where two answers differ, and what stands there in each."""
    for step, mine, theirs in _parts(answer, expected):
        if mine != theirs:
            return difference(mine, theirs, where + step)
    return f"{where} is {_shown(answer)} instead of {_shown(expected)}"


def _parts(answer: object, expected: object) -> Iterator[Part]:
    """Yield what two values of one shape consist of, side by side; nothing when they have not the same shape."""
    if isinstance(answer, Struct) and isinstance(expected, Struct) and type(answer) is type(expected):
        for name in answer.__struct_fields__:
            yield f".{name}", getattr(answer, name), getattr(expected, name)
    elif isinstance(answer, list) and isinstance(expected, list):
        pairs = cast("list[object]", answer), cast("list[object]", expected)
        if len(pairs[0]) == len(pairs[1]):
            for at, (mine, theirs) in enumerate(zip(*pairs, strict=True)):
                yield f"[{at}]", mine, theirs


def _shown(value: object) -> str:
    return repr(bytes(value)) if isinstance(value, Raw) else repr(value)
