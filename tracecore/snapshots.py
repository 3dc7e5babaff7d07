"""Snapshots: any Python object to JSON once, at the call site, within budgets.

Two paths, one result. The fast path proves that the value is plain and small (:mod:`tracecore.plain`) and leaves the
encoding to C. Everything else takes the walk (:mod:`tracecore.walk`), which cuts, marks and never raises. For what the
fast path accepts both write the same bytes.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from tracecore.markers import DEFAULT_LIMITS, Limits, encode, omitted
from tracecore.plain import room_after, room_after_dict
from tracecore.walk import walk

__all__ = ["encoded", "snapshot"]

_NO_STACK: Final = omitted("?", "stack")


def snapshot(value: object, limits: Limits = DEFAULT_LIMITS) -> Raw:
    """Return the value as JSON, within limits. Never raises, never runs code of the program."""
    return Raw(encoded(value, limits))


def encoded(value: object, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of :func:`snapshot`: the hot path keeps them as they are and wraps them later."""
    try:
        if type(value) is dict:  # by far the most frequent: saves a call
            left = room_after_dict(value, limits.room, limits.max_depth)
        else:
            left = room_after(value, limits.room, limits.max_depth)
        if left >= 0:
            return encode(value)
    except Exception:  # noqa: BLE001, S110 - lone surrogates, or another thread changes the value: the walk copes
        pass
    try:
        return walk(value, limits)
    except RecursionError:  # the program is at the very end of its stack
        return _NO_STACK
