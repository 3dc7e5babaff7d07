"""Writing a run into the documents: between markers, and nowhere else.

``README.md`` gets the few figures that a newcomer asks for, ``benchmarks/README.md`` the goals and every table. Both are
functions of the results file alone, so that a test can compare them with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.figures import Results
from benchmarks.goals import verdicts
from benchmarks.tables import cells_of, figure, heading_of, markdown

__all__ = ["BEGIN", "END", "ROOT", "documents", "rewritten"]

ROOT: Final = Path(__file__).resolve().parent.parent
BEGIN: Final = "<!-- benchmarks:begin -->"
END: Final = "<!-- benchmarks:end -->"

_SHORT: Final = (
    ("call.off", "tracing disabled"),
    ("call.sampled_out", "sampled out"),
    ("call.nested", "**async span, arguments and result captured**"),
    ("call.root", "the same, as the root of a trace"),
    ("call.otel", "OpenTelemetry SDK, captures nothing"),
    ("call.otel_captured", "OpenTelemetry SDK, arguments and result as JSON attributes"),
)


def documents(results: Results) -> dict[Path, str]:
    """Return what belongs between the markers of each document."""
    return {ROOT / "README.md": _short(results), ROOT / "benchmarks" / "README.md": _full(results)}


def rewritten(text: str, content: str) -> str:
    """Return a document with ``content`` between its markers.

    Raises:
        ValueError: it has no such place, or more than one.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"expected one {BEGIN} and one {END} after it")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.partition(END)[2]}"


def _short(results: Results) -> str:
    """Return the newcomer's table: what a call costs, and what storing costs."""
    calls = [_short_row(results, key, label) for key, label in _SHORT]
    parts = [
        "CPU of the caller per call, over the bare call:",
        markdown(["one call of an async function", "ns", "OpenTelemetry ÷ this"], calls, numbers=range(1, 3)),
        _storing(results),
        f"Measured on {results.facts['CPU']}, {results.facts['cores']} cores, {results.facts['Python']}, SQLite"
        f" {results.facts['SQLite']}, in one run with OpenTelemetry SDK {results.facts['opentelemetry-sdk']}.",
    ]
    return "\n\n".join(part for part in parts if part)


def _short_row(results: Results, key: str, label: str) -> list[str]:
    row = results.row(key)
    if row is None or row.value is None:
        return [label, "not measured", ""]
    against = row.ratios.get("OpenTelemetry ÷ this")
    return [label, figure(row.value), "" if against is None else f"{figure(against)} x"]


def _storing(results: Results) -> str:
    rate, cpu, disk = (results.row(key) for key in ("store.rate", "store.cpu", "store.disk"))
    if rate is None or cpu is None or disk is None:
        return ""
    return (
        f"Into SQLite, requests of five spans with 2 KB of prompt and 1 KB of completion: {figure(rate.value)} spans/s in"
        f" one process, {figure(cpu.value)} µs of CPU per span in all threads, {figure(disk.value)} bytes on disk, nothing"
        " lost, every span read back and compared."
    )


def _full(results: Results) -> str:
    """Return goals and tables."""
    facts = ", ".join(f"{name} {value}" for name, value in results.facts.items())
    quick = " A quick run: a quarter of the rounds." if results.settings.quick else ""
    heading = ["goal", "bound", "measured", "", "what remains, and why"]
    parts = [
        f"Run of {results.when}.{quick} {facts}.",
        "## Goals",
        markdown(heading, [verdict.cells for verdict in verdicts(results)], numbers=range(1, 3)),
    ]
    for table in results.tables:
        rows = [cells_of(row, table.ratio_titles) for row in table.rows]
        titles = heading_of(table)
        parts += [f"## `{table.suite}`", table.method, markdown(titles, rows, numbers=range(2, len(titles) - 1))]
    return "\n\n".join(parts)
