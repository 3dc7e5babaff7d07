"""Snapshots: any Python object to JSON once, at the call site, within budgets.

Two paths, one result. The fast path proves in one bounded pass that a value consists of builtin scalars and containers
only, of exact type and within a room, and leaves the encoding to C. Everything else takes the walk
(:mod:`tracecore.walk`), which cuts, marks and never raises. For what the fast path accepts both write the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Raw

from tracecore.markers import DEFAULT_LIMITS, Limits, encode, omitted
from tracecore.walk import walk

__all__ = ["ENTRY", "room_left", "snapshot"]

ENTRY: Final = 16
"""What an element or an entry takes of the room, in characters, beside the text in it."""

_NO_STACK: Final = Raw(omitted("?", "stack"))


def snapshot(value: object, limits: Limits = DEFAULT_LIMITS) -> Raw:
    """Return the value as JSON, within limits. Never raises, never runs code of the program."""
    try:
        if room_left((value,), limits.room, limits.max_depth) >= 0:
            return Raw(encode(value))
    except Exception:  # noqa: BLE001, S110 - lone surrogates, or another thread changes the value: the walk copes
        pass
    try:
        return Raw(walk(value, limits))
    except RecursionError:  # the program is at the very end of its stack
        return _NO_STACK


def room_left(values: Iterable[Any], room: int, depth: int) -> int:
    """Return what these values leave of the room; negative if they do not fit or are not all plain.

    Plain is what JSON has, in exactly these types: str, int of 64 bits, finite float, bool, None, dict with str keys,
    list, tuple; containers nested at most ``depth`` deep. Each value is looked at once, and no more than fit.
    """
    for value in values:
        cls = type(value)
        if cls is str:
            room -= len(value)
        elif cls is int:
            if not -1_000_000_000 < value < 1_000_000_000 and not -(2**63) <= value < 2**64:
                return -1
        elif cls is dict:
            room -= ENTRY * len(value) + ENTRY
            if room < 0 or not depth:
                return -1
            for key in value:
                if type(key) is not str:
                    return -1
                room -= len(key)
            room = room_left(value.values(), room, depth - 1)
            if room < 0:
                return -1
        elif cls is list or cls is tuple:
            room -= ENTRY * len(value) + ENTRY
            if room < 0 or not depth:
                return -1
            room = room_left(value, room, depth - 1)
            if room < 0:
                return -1
        elif cls is float:
            if value - value != 0.0:
                return -1
        elif value is not None and cls is not bool:
            return -1
    return room
