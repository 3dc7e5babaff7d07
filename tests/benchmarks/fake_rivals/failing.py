"""A rival that does not start: it leaves the program, as some libraries do without a key."""

from __future__ import annotations

import sys
from typing import Never

from benchmarks.rivals.adapter import Rival

RIVAL = Rival(title="Failing")


def start(collector: str) -> Never:
    """Give up."""
    sys.exit("no key was given")
