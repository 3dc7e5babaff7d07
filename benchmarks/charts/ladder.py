"""The call ladder as bars: what one call costs the caller, from the bare function to OpenTelemetry."""

from __future__ import annotations

from typing import Final

from benchmarks.charts.shapes import Bar, Bars, Column, Role, source_of
from benchmarks.figures import Results
from benchmarks.tables import figure

__all__ = ["call_ladder"]

_STRONG: Final = "call.nested"
_RUNGS: Final[dict[str, tuple[str, Role]]] = {
    "call.bare": ("the bare call itself", "plain"),
    "call.wrapper": ("a wrapper that does nothing", "plain"),
    "call.off": ("tracing disabled", "ours"),
    "call.sampled_out_nested": ("sampled out, nested", "ours"),
    "call.sampled_out": ("sampled out, root of a trace", "ours"),
    "call.uncaptured": ("span, nothing captured", "ours"),
    _STRONG: ("span, arguments and result captured", "ours"),
    "call.sqlite": ("captured, SQLite at work", "ours"),
    "call.journal": ("captured, kept in the journal", "ours"),
    "call.root": ("captured, root of a trace", "ours"),
    "call.with": ("with span(…), input and output", "ours"),
    "call.generation": ("with generation(…), usage and cost", "ours"),
    "call.otel": ("OpenTelemetry SDK, nothing captured", "opentelemetry"),
    "call.otel_captured": ("OpenTelemetry SDK, captured by hand", "opentelemetry"),
}
"""Those that show the way up; the others are in the table."""


def call_ladder(results: Results) -> Bars | None:
    """Return the chart of a run's ladder, the cheapest call first, or None where it was not climbed."""
    rows = {key: row for key in _RUNGS if (row := results.row(key)) is not None and row.value is not None}
    if _STRONG not in rows:
        return None
    found = sorted(rows, key=lambda key: rows[key].value or 0.0)
    bars = [Bar(value=rows[key].value, text=f"{figure(rows[key].value)} ns") for key in found]
    return Bars(
        name="call", title="What one call costs the caller",
        subtitle="Blue: tracecore. Orange: the OpenTelemetry SDK in the same rounds. Less what the bare call costs.",
        source=source_of(results, "call"), names=[_RUNGS[key][0] for key in found],
        roles=[_RUNGS[key][1] for key in found],
        strong=_RUNGS[_STRONG][0], columns=[Column(title="One call", unit="ns of the caller's CPU", bars=bars)],
    )  # fmt: skip
