"""Tables of figures, for a terminal and for Markdown: the same cells in both."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from benchmarks.figures import Results, Row, Table

__all__ = ["NONE", "aligned", "cells_of", "figure", "heading_of", "markdown", "text_report"]

NONE: Final = "-"
_THREE_DIGITS: Final = 100
_FOUR_DIGITS: Final = 1_000


def figure(value: float | None) -> str:
    """Return a figure with three digits that mean something: 0.42, 8.15, 73.9, 218, 41,300."""
    if value is None:
        return NONE
    size = abs(value)
    if value == int(value) or size >= _THREE_DIGITS:
        rounded = round(value, 3 - len(str(int(size)))) if size >= _FOUR_DIGITS and value != int(value) else value
        return f"{rounded:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004 - digits before the point


def heading_of(table: Table) -> list[str]:
    """Return the titles of a table's columns."""
    return [table.title, "unit", "figure", "min", "spread", *table.ratio_titles, ""]


def cells_of(row: Row, ratio_titles: Sequence[str]) -> list[str]:
    """Return the cells of a figure, in the order of :func:`heading_of`."""
    ratios = [f"{figure(row.ratios[title])} x" if title in row.ratios else "" for title in ratio_titles]
    low, spread = ("" if number is None else figure(number) for number in (row.minimum, row.spread))
    return [row.label, row.unit, figure(row.value), low, spread, *ratios, row.note]


def text_report(results: Results) -> str:
    """Return a run as text for a terminal."""
    parts = ["\n".join(f"{name:>20}  {value}" for name, value in results.facts.items())]
    for table in results.tables:
        rows = [heading_of(table), *(cells_of(row, table.ratio_titles) for row in table.rows)]
        parts.append("\n".join(aligned(rows)) + f"\n{_wrapped(table)}")
    return "\n\n".join(parts)


def _wrapped(table: Table) -> str:
    """Return what was done, and what the suite itself took."""
    memory = f", {table.peak_mb:.0f} MB of memory at most" if table.peak_mb else ""
    text = f"{table.method} ({table.suite}: {table.seconds:.1f} s{memory})"
    return textwrap.fill(text, width=118, initial_indent="  ", subsequent_indent="  ")


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: range) -> str:
    """Return a Markdown table; the columns ``numbers`` are aligned right."""
    rule = ["---:" if column in numbers else "---" for column in range(len(heading))]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in (heading, rule, *rows))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with equal columns: the first and the last to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *middle, row[-1]]).rstrip())
    lines.insert(1, "─" * max(map(len, lines)))
    return lines
