"""Rivals as bars: what each costs the caller, the whole process, and the event loop."""

from __future__ import annotations

from typing import Final

from benchmarks.charts.shapes import Bar, Bars, Column, Role, source_of
from benchmarks.figures import Results, Row
from benchmarks.tables import figure

__all__ = ["OURS", "by_cost", "rivals_bars", "rows_by_rival"]

OURS: Final = "tracecore_sqlite"
_NO_TRACERS: Final = ("structlog",)
_NS_PER_US: Final = 1_000.0
_FEW: Final = 9.95
"""Times below which a ratio is written with a digit after the point."""


def rows_by_rival(results: Results, prefix: str) -> dict[str, Row]:
    """Return the figures whose keys begin alike, by the name of the rival."""
    rows = (row for table in results.tables for row in table.rows if row.key.startswith(prefix))
    return {row.key.removeprefix(prefix): row for row in rows}


def by_cost(calls: dict[str, Row]) -> list[str]:
    """Return the rivals, the cheapest call first, and at the end those that could not be run."""
    return sorted(calls, key=lambda name: (calls[name].value is None, calls[name].value or 0.0))


def rivals_bars(results: Results) -> Bars | None:
    """Return the chart of a run's rivals, or None where it has none."""
    calls = rows_by_rival(results, "rivals.call.")
    cpus, lags = (rows_by_rival(results, f"rivals.{kind}.") for kind in ("load.cpu", "lag"))
    names = [name for name in by_cost(calls) if calls[name].value is not None]
    if not names:
        return None
    columns = [_column("The caller", "µs of its CPU per nested call", names, calls, parts=_NS_PER_US)]
    if cpus:
        columns.append(_column("The whole process", "µs of CPU per delivered span", names, cpus))
    if lags:  # what ours adds is as small as the noise: a ratio to it would be of noise
        columns.append(_column("The event loop", "ms later than by itself, p99", names, lags, compared=False))
    return Bars(
        name="rivals", title="What tracers cost the service that they trace",
        subtitle="Logarithmic bars. In parentheses: how many times the cost of tracecore.",
        source=source_of(results), names=[calls[name].label for name in names], roles=[_role(name) for name in names],
        strong=calls[OURS].label if OURS in names else "", columns=columns, logarithmic=True,
    )  # fmt: skip


def _role(name: str) -> Role:
    if name.startswith("tracecore"):
        return "ours"
    if name in _NO_TRACERS:
        return "plain"
    return "opentelemetry" if name.startswith("opentelemetry") else "other"


def _column(
    title: str, unit: str, names: list[str], rows: dict[str, Row], *, parts: float = 1.0, compared: bool = True
) -> Column:
    """Return the bars of one figure; ``parts`` is how many of the rows' unit are one of the column's."""
    ours = rows[OURS].value if compared and OURS in rows else None
    found = [rows[name].value if name in rows else None for name in names]
    return Column(title=title, unit=unit, bars=[_bar(value, ours, parts) for value in found])


def _bar(value: float | None, ours: float | None, parts: float) -> Bar:
    if value is None:
        return Bar(value=None, text="not measured")
    times = f" ({_times(value / ours)}×)" if ours and ours > 0 and value != ours else ""  # noqa: RUF001 - the sign for times
    return Bar(value=value / parts, text=f"{figure(value / parts)}{times}")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < _FEW else f"{ratio:,.0f}"
