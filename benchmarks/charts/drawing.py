"""Drawing charts with matplotlib: imported only by the process that makes pictures.

Pictures have a white ground of their own, so that they can be read on a light and on a dark page, and text that stays
text. They are laid out by hand, in inches, and the same chart gives the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from benchmarks.charts.drawing_bars import bars_drawn
from benchmarks.charts.drawing_curves import curves_drawn
from benchmarks.charts.shapes import Bars, Chart, digest
from benchmarks.charts.sheet import INK, LINES, MUTED

__all__ = ["draw"]

_STYLE: Final[dict[str, Any]] = {
    "font.family": ["DejaVu Sans", "sans-serif"],  # the first comes with matplotlib, so that all machines measure alike
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINES,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.fonttype": "none",
    "svg.hashsalt": "tracecore",
}
_DPI: Final = 144


def draw(chart: Chart, path: Path) -> None:
    """Draw a chart into a file of the kind that its name says, ``.svg`` or ``.png``, with the chart's digest in it."""
    kind = path.suffix.removeprefix(".")
    said = {"Title": chart.title, "Description": f"figures {digest(chart)}"}
    unsaid = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    mpl.rcdefaults()  # whatever the user's own settings are
    mpl.rcParams.update(_STYLE)
    picture = bars_drawn(chart) if isinstance(chart, Bars) else curves_drawn(chart)
    picture.savefig(path, format=kind, metadata={**said, **unsaid}, dpi=_DPI)
