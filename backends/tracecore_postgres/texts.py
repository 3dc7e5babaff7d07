"""Texts that PostgreSQL cannot hold: NUL, lone surrogates, and bytes that are no UTF-8.

They are escaped by two characters that hardly any text contains, in a way that loses nothing and keeps the order of
code points, so that sorting by the collation ``C`` is what Python does:

=====================  ==================================
NUL, U+0001, U+0002    U+0001 and U+0003, U+0004, U+0005
U+D7FF (unassigned)    U+D7FF, ``0``
a lone surrogate       U+D7FF and its four digits, ``d800``
a byte that is none    U+D7FF, ``x`` and its two digits
=====================  ==================================

A text without these characters stays as it is, and the ordinary text is looked at by ``in`` alone. (U+0002 is escaped
because it separates values on their way: see ``packing``.) What is looked for in the database is escaped the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = [
    "escape",
    "has_escapes",
    "needs_escaping",
    "stored_value",
    "stored_values",
    "unescape",
    "value_of",
    "values_of",
]

_LOW: Final = "\x01"
_HIGH: Final = "\ud7ff"
_HELD_BACK: Final = re.compile("[\x00-\x02\ud7ff-\udfff]")
_ESCAPED: Final = re.compile("\x01([\x03-\x05])|\ud7ff(0|d[89a-f][0-9a-f]{2}|x[0-9a-f]{2})")
_LOW_SHIFT: Final = 3


def needs_escaping(text: str) -> bool:
    """Return whether a cheap look finds an escape character or a NUL; surrogates are found by the driver."""
    return _LOW in text or "\0" in text or _HIGH in text


def has_escapes(text: str) -> bool:
    """Return whether a stored text may hold an escape: a look that costs nothing for ASCII."""
    return _HIGH in text or _LOW in text


def escape(text: str) -> str:
    """Return a text that PostgreSQL can hold."""
    return _HELD_BACK.sub(_escaped, text)


def unescape(text: str) -> str | bytes:
    """Return what was escaped; bytes where not all of it was UTF-8."""
    if not has_escapes(text):
        return text
    if f"{_HIGH}x" not in text:
        return _ESCAPED.sub(_meant, text)
    pieces = _ESCAPED.split(text)
    return b"".join(_bytes_of(*pieces[at : at + 3]) for at in range(0, len(pieces), 3))


def stored_value(value: Any) -> Any:
    """Return a value as it is stored: a text escaped, bytes (a payload that is no UTF-8) as text, others unchanged."""
    if isinstance(value, str):
        return escape(value)
    return _text_of_bytes(value) if isinstance(value, bytes) else value


def stored_values(values: Iterable[Any]) -> list[Any]:
    """Return values as they are stored, or looked for."""
    return [stored_value(value) for value in values]


def value_of(value: Any) -> Any:
    """Return what a stored value stands for."""
    return unescape(value) if isinstance(value, str) else value


def values_of(row: Sequence[Any]) -> Sequence[Any]:
    """Return what a row of stored values stands for: the row itself, unless a text of it holds an escape."""
    for value in row:
        if type(value) is str and has_escapes(value):
            return [value_of(every) for every in row]
    return row


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found < _HIGH:
        return _LOW + chr(ord(found) + _LOW_SHIFT)
    return f"{_HIGH}0" if found == _HIGH else f"{_HIGH}{ord(found):x}"


def _meant(match: re.Match[str]) -> str:
    if match[1] is not None:
        return chr(ord(match[1]) - _LOW_SHIFT)
    return _HIGH if match[2] == "0" else chr(int(match[2], 16))


def _bytes_of(text: str, low: str | None = None, high: str | None = None) -> bytes:
    """Return the bytes of a text and of the escape behind it, as ``split`` gives them."""
    plain = text.encode()
    if low is not None:
        return plain + bytes((ord(low) - _LOW_SHIFT,))
    if high is None:
        return plain
    if high[0] == "x":
        return plain + bytes.fromhex(high[1:])
    return plain + (_HIGH if high == "0" else chr(int(high, 16))).encode("utf-8", "surrogatepass")


def _text_of_bytes(payload: bytes) -> str:
    """Return bytes as an escaped text: surrogates in UTF-8 as what they are, all else that is none byte by byte."""
    try:
        return escape(payload.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        # Each byte that is no UTF-8 is one character from U+DC80 to U+DCFF here, and nothing else is a surrogate.
        return _HELD_BACK.sub(_escaped_byte, payload.decode("utf-8", "surrogateescape"))


def _escaped_byte(match: re.Match[str]) -> str:
    return f"{_HIGH}x{ord(match[0]) & 0xFF:x}" if match[0] > _HIGH else _escaped(match)
