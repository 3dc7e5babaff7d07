"""Snapshots: any Python object to JSON once, at the call site, within budgets.

Two paths, one result. The fast path proves that the value is plain and small (:mod:`tracecore.plain`) and leaves the
encoding to C. Everything else takes the walk (:mod:`tracecore.walk`), which cuts, marks and never raises. For what the
fast path accepts both write the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from tracecore.introspection import class_of
from tracecore.limits import DEFAULT_LIMITS, Limits
from tracecore.markers import encode, omitted
from tracecore.plain import room_after_dict, room_after_list
from tracecore.walk import walk

__all__ = ["encoded", "snapshot"]

_NO_STACK: Final = omitted("?", "stack")


def snapshot(value: object, limits: Limits = DEFAULT_LIMITS) -> Raw:
    """Return the value as JSON, within limits. Never raises, never runs code of the program."""
    return Raw(encoded(value, limits))


def encoded(value: Any, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of :func:`snapshot`: the hot path keeps them as they are and wraps them later."""
    try:
        cls = class_of(value)
        if cls is dict:
            left = room_after_dict(value, limits.room, limits.max_depth)
        elif cls is str:
            left = limits.room - len(value)
        elif value is None:
            return b"null"
        elif cls is list or cls is tuple:
            left = room_after_list(value, limits.room, limits.max_depth)
        else:
            left = room_after_list((value,), limits.room, 1)
        if left >= 0:
            return encode(value)
    except Exception:  # noqa: BLE001, S110 - lone surrogates, or another thread changes the value: the walk copes
        pass
    try:
        return walk(value, limits)
    except RecursionError:  # the program is at the very end of its stack
        return _NO_STACK
