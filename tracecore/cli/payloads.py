"""Payloads for people: an excerpt on one line, or everything, indented.

A payload is JSON that somebody else made. A string is shown as its text, everything else as JSON. Invariants: what is
shown is visible text; nothing raises, whatever the bytes are; an excerpt reads no more than it needs.
"""

from __future__ import annotations

import json
import re
from typing import Final

from msgspec import Raw

from tracecore.cli.escaping import visible, visible_lines
from tracecore.cli.plain_table import cut

__all__ = ["excerpt", "full_lines"]

_BLANKS: Final = re.compile("[ \\t\\r\\n]+")
_BYTES_PER_CELL: Final = 12
"""An escape such as ``\\ud83d\\ude00`` is twelve bytes for one character."""


def excerpt(payload: Raw, columns: int) -> str:
    """Return the beginning of a payload in at most ``columns``, on one line."""
    data = bytes(payload)
    head = data[: columns * _BYTES_PER_CELL + 2]
    whole = len(head) == len(data)
    text = head.decode("utf-8", "replace")
    if text.startswith('"'):
        text = _text_of(text if whole else _closed(text))
    return cut(visible(_BLANKS.sub(" ", text)) + ("" if whole else "…"), columns)


def full_lines(payload: Raw) -> list[str]:
    """Return a payload on as many lines as it needs."""
    text = bytes(payload).decode("utf-8", "replace")
    try:
        value = json.loads(text)
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pass  # shown as it is stored
    return visible_lines(text)


def _text_of(string: str) -> str:
    """Return what a JSON string says, or the JSON itself when it cannot be read."""
    try:
        return str(json.loads(string, strict=False))
    except ValueError:
        return string


def _closed(string: str) -> str:
    """Return the beginning of a JSON string as a JSON string, without an escape that was cut in two."""
    for missing in range(7):
        candidate = string[: len(string) - missing] + '"'
        try:
            json.loads(candidate, strict=False)
        except ValueError:
            continue
        return candidate
    return string
