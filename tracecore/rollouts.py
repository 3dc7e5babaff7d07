"""Choosing between the versions that a label is split between: always the same for the same user or session.

Each unit (a user, a session, whatever sticks) has one place between 0 and 1, which follows from it and the label alone:
the first 64 bits of SHA-256. The versions divide that line among themselves by their weights, in the order of their
numbers. So every process chooses alike, a weight that grows takes units only from the versions beside it, and a unit
that stands early for one prompt does not for every other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from tracecore.prompts import Share

__all__ = ["choose", "place_of"]

_LINE: Final = float(2**64)


def place_of(unit: str, salt: tuple[str, str]) -> float:
    """Return where a unit stands: a number from 0 up to 1. ``salt`` is the name of a prompt and a label of it."""
    said = "\0".join((*salt, unit)).encode(errors="surrogatepass")
    return min(int.from_bytes(hashlib.sha256(said).digest()[:8]) / _LINE, 1 - 2**-53)  # a quotient may round up to 1


def choose(shares: Sequence[Share], unit: str, salt: tuple[str, str]) -> int:
    """Return the version that a unit gets.

    Raises:
        ValueError: there are no shares to choose from.
    """
    if not shares:
        message = f"label {salt[1]!r} of prompt {salt[0]!r} is not split: there is nothing to choose from"
        raise ValueError(message)
    ordered = sorted(shares, key=lambda share: share.version)
    left = place_of(unit, salt) * sum(share.weight for share in ordered)
    for share in ordered:
        left -= share.weight
        if left < 0:
            return share.version
    return ordered[-1].version  # a sum of floats may fall short of its parts
