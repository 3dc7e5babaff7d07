"""Payloads as the API shows them: as text (a JSON string is its text, everything else its JSON), or as JSON values.

A payload is spliced into an answer as it is wherever that is possible: nothing of it is decoded, no number changes its
spelling. Only what is no UTF-8, which no client could read, is written anew.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from tracecore.records import ABSENT

__all__ = ["absent", "members_of", "shown", "size_of", "value_of", "within"]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WHOLE: Final = "metadata"
"""The name under which metadata that is no object is shown."""


def absent() -> Raw:
    """Return the payload that is not there: what a member of a body is by default, and a schema can describe."""
    return ABSENT


def size_of(*payloads: Raw) -> int:
    """Return how many bytes payloads have together."""
    return sum(memoryview(payload).nbytes for payload in payloads)


def value_of(payload: Raw) -> Raw | None:
    """Return a payload as the JSON value that it is; None where there is none."""
    return Raw(_readable(bytes(payload))) if payload else None


def shown(payload: Raw) -> Raw | str | None:
    """Return a payload as text; None where there is none, or it is JSON's ``null``."""
    if not payload:
        return None
    data = _readable(bytes(payload))
    if data.startswith(b'"'):
        return Raw(data)
    return None if data == b"null" else data.decode()


def within(payload: Raw, most: int) -> Raw | str | None:
    """Return a payload as text, cut to so many characters."""
    text = shown(payload)
    if isinstance(text, Raw):
        if size_of(text) <= most:
            return text
        text = str(json.loads(bytes(text)))
    return text if text is None else text[:most]


def members_of(*payloads: Raw) -> dict[str, Raw]:
    """Return the members of several objects; one that is said again is as it is said last."""
    found: dict[str, Raw] = {}
    for payload in payloads:
        if payload:
            found.update(_members(_readable(bytes(payload))))
    return found


def _members(data: bytes) -> dict[str, Raw]:
    if data == b"null":
        return {}
    if not data.startswith(b"{"):
        return {_WHOLE: Raw(data)}
    try:
        return msgspec.json.decode(data, type=dict[str, Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        odd: dict[str, Any] = json.loads(data)  # a name that is half a surrogate pair
    except (ValueError, RecursionError):
        return {_WHOLE: Raw(data)}
    return {name: Raw(json.dumps(value).encode()) for name, value in odd.items()}


def _readable(data: bytes) -> bytes:
    """Return JSON as UTF-8: half a surrogate pair becomes an escape, which means the same."""
    data = data.strip()
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        pass
    else:
        return data
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()
