"""A rival that sends nothing, captures nothing, and says that it did."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.catalogue import adapter

honest = adapter(str(Path(__file__).with_name("honest.py")))
RIVAL = Rival(title="Silent", captures=False)


class Silent(honest.Honest):
    """Flush nothing."""

    def flush(self) -> None:
        """Do nothing."""


start = Silent
