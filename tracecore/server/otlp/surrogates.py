r"""Halves of surrogate pairs in JSON: a text that was cut in the middle of a character, as JavaScript cuts it.

``"\ud83d"`` is JSON, and no text that UTF-8 can hold. The escape becomes the six characters that it is written with.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["without_halves"]

_ESCAPE: Final = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def without_halves(json: bytes) -> bytes:
    """Return JSON in which every escape of half a pair is text; all else stays as it is."""
    return _ESCAPE.sub(_visible, json)


def _visible(found: re.Match[bytes]) -> bytes:
    is_half = found[3] is not None or (found[1] is not None and found[2] is None)
    return b"\\" + found[0] if is_half else found[0]
