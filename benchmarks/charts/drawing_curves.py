"""Drawing curves in panels side by side, each with its name where it ends."""

from __future__ import annotations

from statistics import mean
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from benchmarks.charts.shapes import Curves, Panel
from benchmarks.charts.sheet import EDGE, LETTER, LINES, MUTED, WIDTH, Sheet
from benchmarks.tables import figure

__all__ = ["curves_drawn"]

_COLOURS: Final = ("#0072b2", "#c14e00", "#007f5f", "#a8447f", "#8a6d00", "#2f7fb5", "#59636e", "#1f2328")
"""As of Okabe and Ito, but dark enough for names on white."""
_MARKERS: Final = "osD^vPXh"
_TALL: Final = 2.2
_BELOW: Final = 0.5
_SCALE: Final = 0.52
"""Inches for the numbers beside a panel."""
_STEEP: Final = 12.0
"""Greatest ÷ least figure of a panel above which its scale is logarithmic."""
_LINE: Final = 11.0
"""Points from one name to the next."""


def curves_drawn(chart: Curves) -> Figure:
    """Return the picture of a chart of curves."""
    sheet = Sheet(_TALL + _BELOW, title=chart.title, subtitle=chart.subtitle, source=chart.source)
    names = [max(len(text) for text in _names(panel)) * LETTER + 0.12 for panel in chart.panels]
    width = (WIDTH - 2 * EDGE - sum(names) - _SCALE * len(names)) / len(names)
    left = EDGE
    for panel, beside in zip(chart.panels, names, strict=True):
        left += _SCALE
        sheet.headed(left - _SCALE + 0.1, panel.title, panel.unit)
        ax = sheet.axes(left, width=width, tall=_TALL)
        _panel(ax, panel, chart)
        left += width + beside
    return sheet.picture


def _names(panel: Panel) -> list[str]:
    """Return what is written at the ends of a panel's curves; one that is alone has no name."""
    ends = [figure(curve.points[-1][1]) for curve in panel.curves]
    if len(ends) == 1:
        return ends
    return [f"{curve.name}  {end}" for curve, end in zip(panel.curves, ends, strict=True)]


def _panel(ax: Axes, panel: Panel, chart: Curves) -> None:
    ax.set_xscale("log")
    ax.set_xticks(list(chart.marks), list(chart.marks.values()), fontsize=8)
    ax.set_xlabel(chart.below, color=MUTED, fontsize=8)
    ax.tick_params(axis="x", pad=6)
    _scale(ax, [value for curve in panel.curves for _, value in curve.points])
    ax.grid(axis="y", color=LINES, linewidth=0.8)
    for number, curve in enumerate(panel.curves):
        xs, ys = zip(*curve.points, strict=True)
        ax.plot(xs, ys, color=_colour(number), marker=_MARKERS[number % len(_MARKERS)], markersize=4.5, linewidth=1.8)
    _write_names(ax, _names(panel), [curve.points[-1] for curve in panel.curves])


def _scale(ax: Axes, values: list[float]) -> None:
    """Begin at zero, unless the figures differ so much that only their logarithms show anything."""
    steep = min(values) > 0 and max(values) / min(values) > _STEEP
    if steep:
        ax.set_yscale("log")
        ax.set_ylim(min(values) / 1.5, max(values) * 1.5)
        ticks = LogLocator(subs=(1.0, 2.0, 5.0)).tick_values(min(values) / 1.5, max(values) * 1.5)
    else:
        ax.set_ylim(min(0.0, *values), max(values) * 1.12)
        ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(min(0.0, *values), max(values) * 1.12)
    low, high = ax.get_ylim()
    shown = [tick for tick in ticks if low <= tick <= high]
    ax.set_yticks(shown, [f"{tick:,.9g}" for tick in shown], fontsize=8)
    ax.minorticks_off()


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _write_names(ax: Axes, names: list[str], ends: list[tuple[int, float]]) -> None:
    """Write names at the ends of curves; those that would lie on each other are moved apart."""
    heights = [float(ax.transData.transform(end)[1]) * 72 / ax.figure.dpi for end in ends]
    order = sorted(range(len(ends)), key=heights.__getitem__)
    for number, place in zip(order, _apart([heights[number] for number in order]), strict=True):
        ax.annotate(
            names[number], ends[number], xytext=(7, place - heights[number]), textcoords="offset points", va="center",
            fontsize=8.5, color=_colour(number),
        )  # fmt: skip


def _apart(heights: list[float]) -> list[float]:
    """Return places a line apart at least, as near to these ascending heights as can be."""
    crowds: list[list[float]] = []
    for number, height in enumerate(heights):
        crowds.append([height - number * _LINE])
        while len(crowds) > 1 and mean(crowds[-2]) > mean(crowds[-1]):
            last = crowds.pop()
            crowds[-1] += last
    middles = [mean(crowd) for crowd in crowds for _ in crowd]
    return [middle + number * _LINE for number, middle in enumerate(middles)]
