"""A rival that claims to capture results and sends none."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.catalogue import adapter

honest = adapter(str(Path(__file__).with_name("honest.py")))
RIVAL = Rival(title="Boasting")


class Boasting(honest.Honest):
    """Leave out what came back."""

    def flush(self) -> None:
        """Send names and arguments."""
        self.spans = [span[:2] for span in self.spans]
        super().flush()


start = Boasting
