"""Scaling as curves: cost and rate while one thing grows, a panel for each unit."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from benchmarks.charts.shapes import Curve, Curves, Panel, source_of
from benchmarks.figures import Results, Row

__all__ = ["scaling_curves"]


class _Scale(Struct, frozen=True):
    """Say what grows in a suite, and how its numbers are written."""

    name: str
    title: str
    below: str
    in_bytes: bool = False


_SCALES: Final = (
    _Scale("concurrency", "Cost and rate, with more requests at once", "requests at once"),
    _Scale("payload", "Cost and rate, with larger payloads", "payload of a span", in_bytes=True),
    _Scale("database", "Storing and reading, as one file grows", "spans in the file"),
)
_PANELS: Final = {"µs": "CPU per span", "spans/s": "Rate", "MB/s": "Payload stored", "ms": "Reads, 95th percentile"}
"""Which units are drawn, in this order; the others are in the tables."""
_NAMES: Final = {
    "cpu": "all threads", "next": "next page", "user": "a user's", "session": "a session's", "trace": "one trace",
    "rare": "text, rare", "common": "text, common",
}  # fmt: skip
"""What a series is called where its key does not say it."""
_FEW: Final = 2
_THOUSAND, _MILLION = 1_000, 1_000_000


def scaling_curves(results: Results) -> list[Curves]:
    """Return a chart for each thing that grew in a run."""
    charts = (_chart(scale, results) for scale in _SCALES)
    return [chart for chart in charts if chart is not None]


def _chart(scale: _Scale, results: Results) -> Curves | None:
    rows = _series(f"scaling.{scale.name}.", results)
    numbers = sorted({number for points in rows.values() for number in points})
    panels = [_panel(unit, rows) for unit in _PANELS if any(unit == found for _, found in rows)]
    if len(numbers) < _FEW or not panels:
        return None
    return Curves(
        name=f"scaling_{scale.name}", title=scale.title,
        subtitle="Requests of five spans into SQLite, one process.",
        source=source_of(results, f"scaling/{scale.name}"),
        below=scale.below,
        marks={number: _written(number, in_bytes=scale.in_bytes) for number in numbers}, panels=panels,
    )  # fmt: skip


def _series(prefix: str, results: Results) -> dict[tuple[str, str], dict[int, float]]:
    """Return the figures at each number, by series and unit: a key ends with the series and the number."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in _rows(prefix, results):
        series, _, number = row.key.removeprefix(prefix).rpartition(".")
        if series and number.isdecimal() and row.value is not None:
            found.setdefault((series, row.unit), {})[int(number)] = row.value
    return {series: points for series, points in found.items() if len(points) >= _FEW}


def _rows(prefix: str, results: Results) -> list[Row]:
    return [row for table in results.tables for row in table.rows if row.key.startswith(prefix)]


def _panel(unit: str, rows: dict[tuple[str, str], dict[int, float]]) -> Panel:
    curves = [
        Curve(name=_NAMES.get(series, series.replace("_", " ")), points=sorted(points.items()))
        for (series, found), points in rows.items()
        if found == unit
    ]
    return Panel(title=_PANELS[unit], unit=unit, curves=curves)


def _written(number: int, *, in_bytes: bool) -> str:
    """Return a number as short as it can be written: 100, 10 k, 1 M, or 0.1 KB."""
    if in_bytes:
        return f"{round(number / 1_024, 1):g} KB"
    if number >= _MILLION:
        return f"{number / _MILLION:g} M"
    return f"{number / _THOUSAND:g} k" if number >= 10 * _THOUSAND else f"{number:,}"
