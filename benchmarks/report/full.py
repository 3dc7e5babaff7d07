"""The whole of what was measured: goals, the tables and charts of every suite, rivals, and rejected designs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.catalogue import SUITES, chosen
from benchmarks.charts.files import charts_of
from benchmarks.charts.shapes import Chart
from benchmarks.figures import Results, Table
from benchmarks.goals import verdicts
from benchmarks.kept import Kept
from benchmarks.machine import LOAD
from benchmarks.report.pictures import picture
from benchmarks.tables import cells_of, heading_of, markdown

__all__ = ["full"]

_REJECTED: Final = "rejected/"
_FOLDER: Final = "results"
"""Where the charts are, seen from the document."""


def full(kept: Kept) -> str:
    """Return everything that was measured; nothing where nothing was."""
    parts: list[str] = []
    if kept.whole is not None:
        parts += [_run(kept.whole), *_newer(kept.whole), "## Goals", _goals(kept), *_figures(kept.whole)]
    if kept.large is not None:
        large = [part for table in kept.large.tables for part in _section(f"### `{table.suite}`", table)]
        parts += ["## A larger file", _run(kept.large), *large]
    if kept.rivals is not None:
        parts += ["## Rivals", _run(kept.rivals), *_rivals(kept.rivals)]
    if kept.whole is not None:
        parts += _rejected(kept.whole)
    return "\n\n".join(parts)


def _run(results: Results) -> str:
    """Say when, on what and with which versions a run was made."""
    facts = ", ".join(f"{name} {value}" for name, value in results.facts.items())
    quick = " A quick run: a quarter of everything." if results.settings.quick else ""
    return f"Run of {results.when}.{quick} {facts}."


def _newer(results: Results) -> list[str]:
    """Name the suites that a run does not have because they were not there when it was made."""
    measured = {table.suite for table in results.tables}
    missing = [f"`{name}`" for name in chosen([]) if name not in measured]
    return [f"Not measured yet, because newer than this run: {', '.join(missing)}."] if missing else []


def _goals(kept: Kept) -> str:
    heading = ["goal", "bound", "measured", "", "what remains, and why"]
    return markdown(heading, [verdict.cells for verdict in verdicts(kept)], numbers=range(1, 3))


def _figures(results: Results) -> list[str]:
    """Return the tables of a run, each with its chart where it has one."""
    charts = {chart.name.replace("_", "/"): chart for chart in charts_of(results)}
    tables = [table for table in results.tables if not table.suite.startswith(_REJECTED)]
    parts = [part for table in tables for part in _section(f"### `{table.suite}`", table, charts.get(table.suite))]
    return ["## Figures", *parts] if parts else []


def _rivals(results: Results) -> list[str]:
    parts = [picture(chart, _FOLDER) for chart in charts_of(results)]
    return parts + [part for table in results.tables for part in _section(f"### `{table.suite}`", table)]


def _rejected(results: Results) -> list[str]:
    tables = [table for table in results.tables if table.suite.startswith(_REJECTED)]
    parts = [part for table in tables for part in _section(f"### {_design(table)}", table)]
    return ["## Rejected designs", *parts] if parts else []


def _design(table: Table) -> str:
    """Return what a rejected design is, with its file."""
    name = table.suite.partition("/")[2]
    suite = SUITES.get(table.suite)
    return f"[`{name}`](rejected/{name}.py)" + (f": {suite.summary}" if suite else "")


def _apart(table: Table) -> list[str]:
    """Say of a table when it was measured, where that was not when the rest was."""
    return [f"Measured by itself, {table.when}, {LOAD} {table.load or 'unknown'}."] if table.when else []


def _section(title: str, table: Table, chart: Chart | None = None) -> Sequence[str]:
    """Return a table under its title, with what was done, when if not with the rest, and a chart between them."""
    titles = heading_of(table)
    rows = [cells_of(row, table.ratio_titles) for row in table.rows]
    shown = [] if chart is None else [picture(chart, _FOLDER)]
    return [title, table.method, *_apart(table), *shown, markdown(titles, rows, numbers=range(2, len(titles) - 1))]
