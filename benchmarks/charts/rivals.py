"""Rivals as bars: what each costs the caller, the whole process, and the event loop."""

from __future__ import annotations

from collections.abc import Callable
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
    columns = [_costs("The caller", "µs of its CPU per nested call", names, calls, parts=_NS_PER_US)]
    if cpus:
        columns.append(_costs("The whole process", "µs of CPU per delivered span", names, cpus))
    if lags:
        columns.append(_lags(names, lags))
    return Bars(
        name="rivals", title="What tracers cost the service that they trace",
        subtitle="CPU is drawn logarithmically. In parentheses: how many times the cost of tracecore.",
        source=source_of(results, "rivals/call"), names=[calls[name].label for name in names],
        roles=[_role(name) for name in names],
        strong=calls[OURS].label if OURS in names else "", columns=columns,
    )  # fmt: skip


def _role(name: str) -> Role:
    if name.startswith("tracecore"):
        return "ours"
    if name in _NO_TRACERS:
        return "plain"
    return "opentelemetry" if name.startswith("opentelemetry") else "other"


def _costs(title: str, unit: str, names: list[str], rows: dict[str, Row], *, parts: float = 1.0) -> Column:
    """Return bars with their ratio to ours; ``parts`` is how many of the rows' unit are one of the column's."""
    ours = rows[OURS].value if OURS in rows else None

    def said(name: str, value: float) -> str:
        times = f" ({_times(value / ours)}×)" if ours and ours > 0 and name != OURS else ""  # noqa: RUF001 - the sign that people know
        return f"{figure(value / parts)}{times}"

    return Column(title=title, unit=unit, bars=_bars(names, rows, said, parts), logarithmic=True)


def _lags(names: list[str], rows: dict[str, Row]) -> Column:
    """Return bars without ratios, from zero on: most lags are as small as the noise, and a ratio would be of noise."""
    bars = _bars(names, rows, lambda _, value: figure(value))
    return Column(title="The event loop", unit="ms later than by itself, p99", bars=bars)


def _bars(names: list[str], rows: dict[str, Row], said: Callable[[str, float], str], parts: float = 1.0) -> list[Bar]:
    bars: list[Bar] = []
    for name in names:
        value = rows[name].value if name in rows else None
        text = "not measured" if value is None else said(name, value)
        bars.append(Bar(value=None if value is None else value / parts, text=text))
    return bars


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < _FEW else f"{ratio:,.0f}"
