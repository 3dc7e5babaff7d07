r"""Half surrogate pairs in JSON: what programs in JavaScript send where they cut a text in the middle of an emoji.

RFC 8259 (section 8.2) leaves open what such an escape means, and decoders refuse it: a whole batch for one text. It is
made visible instead: ``\ud83d`` becomes the six characters that it is written with, everything else stays as it was.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["with_visible_surrogates"]

_ESCAPE: Final = re.compile(
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def with_visible_surrogates(data: bytes) -> bytes:
    """Return JSON in which every half of a surrogate pair is a visible escape."""
    return _ESCAPE.sub(lambda found: b"\\" + found[0] if found["half"] else found[0], data)
