"""Prove that a value is plain and small, in one bounded pass, so that C may encode it without further ado.

Plain is what JSON has, in exactly these types: str, int of 64 bits, finite float, bool, None, dict with str keys, list
and tuple. Small is: no more than a *room* in characters, of which an entry takes :data:`ENTRY` whatever it is, and no
deeper than ``depth``. What does not fit is not looked at, so cycles, repeats and huge containers fail early. Code of
the program is never run, because nothing but exact builtin types is touched.

This is the hottest loop of the house: it is written out once for dict and once for list, because a shared helper for
scalars, called per value, would cost more than the rest together.
"""

from __future__ import annotations

from array import array
from math import isfinite
from typing import Any, Final

from tracecore.introspection import class_of

__all__ = ["ENTRY", "are_plain_numbers", "room_after_dict", "room_after_list"]

ENTRY: Final = 16
"""What an element or an entry takes of the room, in characters, beside the text in it."""

_LEAST: Final = -(2**63)
_MOST: Final = 2**64 - 1
_LOW: Final = -(2**30) + 1  # integers of one digit inside CPython: comparing these takes a third of the time
_HIGH: Final = 2**30 - 1
_UNIFORM_FROM: Final = 32  # elements from which looking at all types at once in C is faster than one by one


def room_after_dict(value: dict[Any, Any], room: int, depth: int) -> int:  # noqa: C901, PLR0911, PLR0912 - written out: see above
    """Return what a dict leaves of the room; negative if it does not fit or is not plain."""
    room -= ENTRY * len(value) + ENTRY
    if room < 0 or not depth:
        return -1
    for key, item in value.items():
        if type(key) is not str:
            return -1
        cls = class_of(item)
        if cls is str:
            room -= len(key) + len(item)
        elif cls is float:
            if item - item != 0.0:
                return -1
            room -= len(key)
        elif cls is int:
            if not _LOW < item < _HIGH and not _LEAST <= item <= _MOST:
                return -1
            room -= len(key)
        elif cls is dict:
            room = room_after_dict(item, room - len(key), depth - 1)
            if room < 0:
                return -1
        elif cls is list or cls is tuple:
            room = room_after_list(item, room - len(key), depth - 1)
            if room < 0:
                return -1
        elif item is None or cls is bool:
            room -= len(key)
        else:
            return -1
    return room


def room_after_list(  # noqa: C901, PLR0911, PLR0912 - written out: see above
    value: list[Any] | tuple[Any, ...], room: int, depth: int
) -> int:
    """Return what a list or tuple leaves of the room; negative if it does not fit or is not plain."""
    count = len(value)
    room -= ENTRY * count + ENTRY
    if room < 0 or not depth:
        return -1
    if count >= _UNIFORM_FROM and are_plain_numbers(value):
        return room
    for item in value:
        cls = class_of(item)
        if cls is str:
            room -= len(item)
        elif cls is dict:
            room = room_after_dict(item, room, depth - 1)
            if room < 0:
                return -1
        elif cls is float:
            if item - item != 0.0:
                return -1
        elif cls is int:
            if not _LOW < item < _HIGH and not _LEAST <= item <= _MOST:
                return -1
        elif cls is list or cls is tuple:
            room = room_after_list(item, room, depth - 1)
            if room < 0:
                return -1
        elif item is not None and cls is not bool:
            return -1
    return room


def are_plain_numbers(values: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether all are exactly float and finite, or all exactly int within 64 bits; at the speed of C."""
    cls = class_of(values[0])
    if cls is float:
        return set(map(type, values)) == {float} and isfinite(sum(values))
    if cls is int and set(map(type, values)) == {int}:
        try:
            array("q", values)
        except OverflowError:
            return False
        return True
    return False
