"""A rival that loses one span of each flush."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.catalogue import adapter

honest = adapter(str(Path(__file__).with_name("honest.py")))
RIVAL = Rival(title="Losing")


class Losing(honest.Honest):
    """Forget a span before sending the others."""

    def flush(self) -> None:
        """Send all but one."""
        self.spans.pop()
        super().flush()


start = Losing
