"""Drawing bars beside names, with what they say at their ends."""

from __future__ import annotations

import math
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.charts.shapes import Bar, Bars, Column
from benchmarks.charts.sheet import EDGE, INK, LETTER, LINES, MUTED, WIDTH, Sheet

__all__ = ["bars_drawn"]

_COLOURS: Final = {"ours": "#0072b2", "opentelemetry": "#e69f00", "other": "#9aa4af", "plain": "#d3d8de"}
"""Blue and orange of Okabe and Ito, which those who see fewer colours can tell apart, and greys."""
_ROW: Final = 0.26
_BELOW: Final = 0.28
_GAP: Final = 0.22
_LEAST_SHARE: Final = 0.4
"""Of a column's width, for its longest bar; the rest is for what is written beside it."""
_APART: Final = 0.42
"""Inches between two numbers below a column."""


def bars_drawn(chart: Bars) -> Figure:
    """Return the picture of a chart of bars."""
    tall = len(chart.names) * _ROW
    sheet = Sheet(tall + _BELOW, title=chart.title, subtitle=chart.subtitle, source=chart.source)
    left = EDGE + max(map(len, chart.names)) * LETTER + 0.08
    width = (WIDTH - left - EDGE) / len(chart.columns) - _GAP
    for number, column in enumerate(chart.columns):
        at = left + number * (width + _GAP)
        sheet.headed(at, column.title, column.unit)
        ax = sheet.axes(at, width=width, tall=tall)
        ax.set_yticks(range(len(chart.names)), chart.names if number == 0 else [""] * len(chart.names))
        _column(ax, column, chart, width)
        for label, role in zip(ax.get_yticklabels(), chart.roles, strict=True):
            label.set(color=MUTED if role == "plain" else INK, fontweight=_weight(label.get_text(), chart))
    return sheet.picture


def _column(ax: Axes, column: Column, chart: Bars, width: float) -> None:
    """Draw one column of bars, with room for the longest of their texts."""
    ax.set_ylim(len(chart.names) - 0.5, -0.5)
    texts = max(len(bar.text) for bar in column.bars if bar.value is not None) * LETTER + 0.15
    share = max(_LEAST_SHARE, 1 - texts / width)
    values = [bar.value for bar in column.bars if bar.value is not None and bar.value > 0] or [1.0]
    begin = _logarithmic(ax, values, share, width) if column.logarithmic else _linear(ax, values, share)
    ax.grid(axis="x", color=LINES, linewidth=0.8)
    for place, (bar, role) in enumerate(zip(column.bars, chart.roles, strict=True)):
        end = max(begin if bar.value is None else bar.value, begin)
        ax.barh(place, end - begin, left=begin, height=0.7, color=_COLOURS[role], linewidth=0)
        _say(ax, bar, end=end, place=place, weight=_weight(chart.names[place], chart))


def _weight(name: str, chart: Bars) -> str:
    return "bold" if name == chart.strong else "normal"


def _say(ax: Axes, bar: Bar, *, end: float, place: int, weight: str) -> None:
    ax.annotate(
        bar.text, (end, place), xytext=(4, -0.5), textcoords="offset points", va="center", fontsize=8.5,
        fontweight=weight, color=MUTED if bar.value is None else INK,
    )  # fmt: skip


def _logarithmic(ax: Axes, values: list[float], share: float, width: float) -> float:
    """Lay out decades, so that the longest bar takes a share of the width; return where bars begin."""
    begin = 10.0 ** math.floor(math.log10(min(values) * 0.7))
    decades = math.log10(max(values) / begin)
    ax.set_xscale("log")
    ax.set_xlim(begin, begin * 10 ** (decades / share))
    every = max(1, math.ceil(_APART * decades / (share * width)))
    ticks = [begin * 10.0**power for power in range(1 + math.floor(decades))]
    texts = ["" if number % every else f"{tick:,.9g}" for number, tick in enumerate(ticks)]
    ax.set_xticks(ticks, texts, fontsize=8)
    ax.minorticks_off()
    return begin


def _linear(ax: Axes, values: list[float], share: float) -> float:
    ax.set_xlim(0, max(values) / share)
    ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, max(values)) if tick <= max(values)]
    ax.set_xticks(ticks, [f"{tick:,.9g}" for tick in ticks], fontsize=8)
    return 0.0
