"""Metadata: one JSON object that grows by updates, later names winning."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from tracecore.limits import DEFAULT_LIMITS, Limits
from tracecore.markers import encode
from tracecore.snapshots import snapshot

__all__ = ["metadata"]

_decode: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def metadata(previous: Raw, update: object, limits: Limits = DEFAULT_LIMITS) -> Raw:
    """Return what was said before and the update as one JSON object: names of the update win. Never raises.

    An update that is not an object is kept under the name ``value``. Names for which ``limits.max_bytes`` has no room
    are left out and counted under ``$omitted``; earlier names go first.
    """
    written = snapshot(update, limits)
    if not bytes(written).startswith(b"{"):
        written = Raw(encode({"value": written}))
    if not previous:
        return written
    try:
        return _within({**_decode(previous), **_decode(written)}, limits.max_bytes)
    except msgspec.DecodeError:  # what was said before is not an object of ours: what is said now is kept
        return written


def _within(fields: dict[str, Raw], most: int) -> Raw:
    size = 2
    kept: dict[str, object] = {}
    for name, value in fields.items():
        size += len(name) + len(value) + 4
        if size <= most:
            kept[name] = value
    if len(kept) < len(fields):
        kept["$omitted"] = len(fields) - len(kept)
    return Raw(encode(kept))
