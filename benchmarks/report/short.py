"""What a newcomer asks: what a call costs, what storing costs, and what others cost."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import OTHER, OTHER_CAPTURED, Results
from benchmarks.kept import Kept
from benchmarks.report.beside import beside
from benchmarks.tables import figure, markdown

__all__ = ["short"]

_ELSEWHERE: Final = (
    ("postgres", "PostgreSQL, every commit on the disk"),
    ("http.native", "a tracecore server over SQLite, zstd"),
    ("http.raw", "a collector that decodes, not compressed"),
    ("http.opentelemetry", "the same collector, from the OpenTelemetry SDK by its OTLP exporter"),
)
_CALLS: Final = (
    ("call.off", "tracing disabled"),
    ("call.sampled_out", "sampled out"),
    ("call.uncaptured", "async span, nothing captured"),
    ("call.nested", "**async span, arguments and result captured**"),
    ("call.journal", "the same, kept in the journal: it survives `kill -9`"),
    ("call.root", "arguments and result captured, as the root of a trace"),
    ("call.otel", "OpenTelemetry SDK, nothing captured"),
    ("call.otel_captured", "OpenTelemetry SDK, arguments and result as JSON attributes"),
)


def short(kept: Kept) -> str:
    """Return the few figures that are asked for; nothing where nothing was measured."""
    parts = [*(_ours(kept.whole) if kept.whole else ()), *(beside(kept.rivals) if kept.rivals else ())]
    return "\n\n".join(part for part in parts if part)


def _ours(results: Results) -> list[str]:
    heading = ["one call of an async function", "ns", "OpenTelemetry ÷ this", "the same, captured"]
    facts = results.facts
    return [
        f"CPU of the caller per call, over the bare call{_apart(results, 'call')}:",
        markdown(heading, [_call(results, key, label) for key, label in _CALLS], numbers=range(1, 4)),
        _storing(results),
        _elsewhere(results),
        (
            f"Measured on {facts['CPU']}, {facts['cores']} cores, {facts['Python']}, SQLite {facts['SQLite']}, in one"
            f" run with OpenTelemetry SDK {facts['opentelemetry-sdk']} (batch processor, exporter that drops"
            " everything)."
        ),
    ]


def _apart(results: Results, suite: str) -> str:
    """Say when a suite was measured, where that was not with the others."""
    when = results.when_of(suite)
    return "" if when == results.when else f" (measured {when})"


def _call(results: Results, key: str, label: str) -> list[str]:
    row = results.row(key)
    if row is None or row.value is None:
        return [label, "not measured", "", ""]
    ratios = [row.ratios.get(title) for title in (OTHER, OTHER_CAPTURED)]
    return [label, figure(row.value), *("" if found is None else f"{figure(found)} x" for found in ratios)]


def _storing(results: Results) -> str:
    rate, cpu, disk = (results.row(key) for key in ("store.rate", "store.cpu", "store.disk"))
    if rate is None or cpu is None or disk is None:
        return ""
    return (
        "Into SQLite, requests of five spans with 2 KB of prompt and 1 KB of completion:"
        f" {figure(rate.value)} spans/s in one process, {figure(cpu.value)} µs of CPU per span in all threads,"
        f" {figure(disk.value)} bytes on disk, nothing lost, every span read back and compared"
        f"{_apart(results, 'store')}."
    )


def _elsewhere(results: Results) -> str:
    """Return what it takes to get the same requests out of the process; nothing where that was not measured."""
    heading = ["the same requests, delivered to", "spans/s", "µs of CPU of the client", "µs of CPU of the server"]
    rows: list[list[str]] = []
    for key, label in _ELSEWHERE:
        found = [results.row(f"{key}.{name}") for name in ("rate", "cpu", "server")]
        if all(row is not None for row in found):
            rows.append(
                [
                    label + _apart(results, key.partition(".")[0]),
                    *(figure(row.value) for row in found if row is not None),
                ]
            )
    return markdown(heading, rows, numbers=range(1, 4)) if rows else ""
