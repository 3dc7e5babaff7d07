"""The sheet that a chart is drawn on: its titles, and axes placed in inches from the upper left corner."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["EDGE", "HEAD", "INK", "LETTER", "LINES", "MUTED", "WIDTH", "Sheet"]

INK: Final = "#1f2328"
MUTED: Final = "#59636e"
LINES: Final = "#e4e7eb"
WIDTH: Final = 9.4
EDGE: Final = 0.16
HEAD: Final = 1.12
"""Height of the titles, those of columns and panels included."""
FOOT: Final = 0.24
LETTER: Final = 0.075
"""Width of a letter, on average, at the usual size."""


class Sheet:
    """Hold a picture of a height that fits ``tall`` inches of axes between titles and source."""

    def __init__(self, tall: float, *, title: str, subtitle: str, source: str) -> None:
        self.height = HEAD + tall + FOOT
        self.picture = Figure(figsize=(WIDTH, self.height), facecolor="white")
        self.text(EDGE, 0.3, title, fontsize=12, fontweight="bold")
        self.text(EDGE, 0.52, subtitle, color=MUTED)
        self.text(EDGE, self.height - 0.1, source, color=MUTED, fontsize=7)

    def text(self, left: float, top: float, text: str, **how: object) -> None:
        """Write a line that stands on ``top``."""
        self.picture.text(left / WIDTH, 1 - top / self.height, text, **how)

    def headed(self, left: float, title: str, unit: str) -> None:
        """Write the head of a column or panel: what it shows, and in what."""
        self.text(left, HEAD - 0.28, title, fontweight="bold")
        self.text(left, HEAD - 0.12, unit, color=MUTED, fontsize=8)

    def axes(self, left: float, *, width: float, tall: float) -> Axes:
        """Add axes below the titles, without a frame."""
        added = self.picture.add_axes(
            (left / WIDTH, 1 - (HEAD + tall) / self.height, width / WIDTH, tall / self.height),
            frameon=False, facecolor="white",
        )  # fmt: skip
        added.tick_params(length=0)
        added.set_axisbelow(True)
        return added
