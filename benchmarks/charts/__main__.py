"""Draw charts in a process of its own: ``python -m benchmarks.charts FOLDER KIND``, the charts as JSON on its input."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.charts.drawing import draw
from benchmarks.charts.shapes import Chart

if __name__ == "__main__":
    for chart in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Chart]):
        draw(chart, Path(sys.argv[1]) / f"{chart.name}.{sys.argv[2]}")
