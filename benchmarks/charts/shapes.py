"""What a chart shows, as data: bars beside names, or curves over a growing number.

A chart is a function of a run's figures. Its :func:`digest` stands in the file that was drawn from it, so that whether
a picture belongs to results can be told without drawing it again.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from benchmarks.figures import Results
from benchmarks.tables import figure

__all__ = ["Bar", "Bars", "Chart", "Column", "Curve", "Curves", "Panel", "Role", "alt_text", "digest", "source_of"]

Role: TypeAlias = Literal["ours", "opentelemetry", "other", "plain"]
"""Who a bar is of: this decides its colour. ``plain`` is no tracer: what a bare call costs, or a line of a log."""

_LOOKS: Final = 1
"""Of how charts are drawn: another number makes every picture out of date."""


class Bar(Struct, frozen=True, kw_only=True):
    """Hold one figure of a column; ``text`` is written beside it."""

    value: float | None
    text: str


class Column(Struct, frozen=True, kw_only=True):
    """Hold the bars of one kind of figure, in the order of the names."""

    title: str
    unit: str
    """Of the figures, and per what."""
    bars: list[Bar]
    logarithmic: bool = False


class Bars(Struct, frozen=True, kw_only=True, tag="bars"):
    """Hold names, one below the other, with a bar in each column."""

    name: str
    title: str
    subtitle: str
    source: str
    """Which run it is of."""
    names: list[str]
    roles: list[Role]
    strong: str
    """The name that the eye should find."""
    columns: list[Column]


class Curve(Struct, frozen=True, kw_only=True):
    """Hold one line of a panel: where it goes through, and what it is called."""

    name: str
    points: list[tuple[int, float]]


class Panel(Struct, frozen=True, kw_only=True):
    """Hold the curves of one unit, over the same numbers."""

    title: str
    unit: str
    curves: list[Curve]


class Curves(Struct, frozen=True, kw_only=True, tag="curves"):
    """Hold panels side by side, all over the same numbers."""

    name: str
    title: str
    subtitle: str
    source: str
    below: str
    """What the numbers are."""
    marks: dict[int, str]
    """How each number is written."""
    panels: list[Panel]


Chart: TypeAlias = Bars | Curves


def source_of(results: Results, suite: str) -> str:
    """Name the run that a chart of a suite is of."""
    when = results.when_of(suite)
    facts = (f"{results.facts.get('cores', '?')} cores", results.facts.get("Python", ""), f"run of {when}")
    return ", ".join(fact for fact in facts if fact)


def digest(chart: Chart) -> str:
    """Return what tells this chart from any that shows something else."""
    return hashlib.sha256(msgspec.json.encode((_LOOKS, chart))).hexdigest()


def alt_text(chart: Chart) -> str:
    """Say what a chart shows to those who cannot see it."""
    parts = _bars_in_words(chart) if isinstance(chart, Bars) else _curves_in_words(chart)
    return f"{chart.title}. {'. '.join(parts)}.".replace("[", "(").replace("]", ")")


def _bars_in_words(chart: Bars) -> list[str]:
    words: list[str] = []
    for column in chart.columns:
        pairs = zip(chart.names, column.bars, strict=True)
        said = "; ".join(f"{name} {figure(bar.value)}" for name, bar in pairs if bar.value is not None)
        words.append(f"{column.title}, {column.unit}: {said}")
    return words


def _curves_in_words(chart: Curves) -> list[str]:
    return [
        f"{panel.title}, {curve.name}: "
        + "; ".join(f"{figure(value)} at {chart.marks[number]} {chart.below}" for number, value in curve.points)
        for panel in chart.panels
        for curve in panel.curves
    ]
