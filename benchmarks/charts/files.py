"""The charts of a run as files, and whether files belong to it.

Drawing is done in a process of its own: matplotlib keeps fonts open, and settings changed, for as long as one lives.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.charts.ladder import call_ladder
from benchmarks.charts.lag import lag_bars
from benchmarks.charts.rivals import rivals_bars
from benchmarks.charts.scaling import scaling_curves
from benchmarks.charts.shapes import Chart, digest
from benchmarks.figures import Results

__all__ = ["FORMATS", "charts_of", "check_drawing", "outdated", "write_charts"]

FORMATS: Final = ("svg", "png")


def charts_of(*runs: Results | None) -> list[Chart]:
    """Return the charts of what runs have measured; nothing for what they have not."""
    charts: list[Chart | None] = []
    for run in runs:
        if run is not None:
            charts += [call_ladder(run), rivals_bars(run), *scaling_curves(run), lag_bars(run)]
    return [chart for chart in charts if chart is not None]


def check_drawing() -> None:
    """Raise unless charts can be drawn.

    Raises:
        ValueError: what draws them is not installed; the message says what to do.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("charts need matplotlib: pip install 'tracecore[bench]'")


def write_charts(charts: Iterable[Chart], folder: Path, kind: str = "svg") -> list[Path]:
    """Draw charts into a folder, which is made if need be, and return their files.

    Raises:
        ValueError: what draws them is not installed, or failed; the message says why.
        OSError: the folder cannot be made.
    """
    meant = list(charts)
    if meant:
        check_drawing()
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.charts", str(folder.absolute()), kind]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        drawing = subprocess.run(
            command, env=environment, input=msgspec.json.encode(meant), capture_output=True, check=False
        )
        if drawing.returncode:
            complaint = drawing.stderr.decode(errors="replace").strip()
            raise ValueError(f"charts could not be drawn: {complaint.rpartition(chr(10))[2]}")
    return [folder / f"{chart.name}.{kind}" for chart in meant]


def outdated(charts: Iterable[Chart], folder: Path) -> tuple[list[Chart], list[Path]]:
    """Return which charts a folder lacks or has of other figures, and the pictures in it that are none of them."""
    wanted = {folder / f"{chart.name}.svg": chart for chart in charts}
    lacking = [chart for path, chart in wanted.items() if not path.exists() or digest(chart) not in path.read_text()]
    return lacking, [path for path in sorted(folder.glob("*.svg")) if path not in wanted]
