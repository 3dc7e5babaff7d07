"""Lag of the event loop as bars: how late it is by itself, and what tracing adds."""

from __future__ import annotations

from typing import Final

from benchmarks.charts.shapes import Bar, Bars, Column, Role, source_of
from benchmarks.figures import Results
from benchmarks.tables import NONE, figure

__all__ = ["lag_bars"]

_PACES: Final = {"paced": "2,000 spans/s from 4 tasks", "crowd": "10,000 spans/s from 100 tasks"}
_OURS: Final = "added by tracecore, storing"
_KINDS: Final[dict[str, tuple[str, Role]]] = {
    ".bare": ("the loop itself, not traced", "plain"),
    "": (_OURS, "ours"),
    ".otel": ("added by OpenTelemetry, storing nothing", "opentelemetry"),
}


def lag_bars(results: Results) -> Bars | None:
    """Return the chart of a run's lags, or None where they were not measured."""
    kinds = [kind for kind in _KINDS if results.row(f"lag.paced{kind}") is not None]
    if "" not in kinds:
        return None
    columns = [
        Column(title=title, unit="ms, 99th percentile", bars=[_bar(results, f"lag.{pace}{kind}") for kind in kinds])
        for pace, title in _PACES.items()
    ]
    return Bars(
        name="lag", title="How late the event loop is",
        subtitle="A probe asks to be woken in one ms, again and again, while requests are traced at a set pace.",
        source=source_of(results, "lag"), names=[_KINDS[kind][0] for kind in kinds],
        roles=[_KINDS[kind][1] for kind in kinds], strong=_OURS, columns=columns,
    )  # fmt: skip


def _bar(results: Results, key: str) -> Bar:
    row = results.row(key)
    value = None if row is None else row.value
    return Bar(value=value, text=NONE if value is None else f"{figure(value)} ms")
