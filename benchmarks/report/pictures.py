"""A chart in a document: its file, and in words what it shows."""

from __future__ import annotations

from benchmarks.charts.shapes import Chart, alt_text

__all__ = ["picture"]


def picture(chart: Chart, folder: str) -> str:
    """Return what shows a chart that is in a folder, seen from the document."""
    return f"![{alt_text(chart)}]({folder}/{chart.name}.svg)"
