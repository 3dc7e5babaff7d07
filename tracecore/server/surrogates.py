r"""Half surrogate pairs in JSON: what programs in JavaScript send where they cut a text in the middle of an emoji.

RFC 8259 (section 8.2) leaves open what such an escape means, and decoders refuse it: a whole batch for one text. It is
made visible instead: ``\ud83d`` becomes the six characters that it is written with, everything else stays as it was.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["with_visible_surrogates"]

_ESCAPE: Final = re.compile(
    rb"""(?<!\\)(?P<slashes>\\+)(?:
        (?P<high>u[dD][89abAB][0-9a-fA-F]{2})(?P<low>\\u[dD][c-fC-F][0-9a-fA-F]{2})?
        | u[dD][c-fC-F][0-9a-fA-F]{2}
    )""",
    re.VERBOSE,
)
"""What may be half a pair, with all backslashes before it: nothing else of a body is looked at twice."""


def with_visible_surrogates(data: bytes) -> bytes:
    """Return JSON in which every half of a surrogate pair is a visible escape."""
    return _ESCAPE.sub(_visible, data)


def _visible(found: re.Match[bytes]) -> bytes:
    is_escape = len(found["slashes"]) % 2 == 1
    low = found["low"]
    if is_escape:
        return found[0] if low else b"\\" + found[0]
    # Backslashes and letters: the half behind them is alone.
    return found[0][: -len(low)] + b"\\" + low if low else found[0]
