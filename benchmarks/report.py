"""Writing a run into the documents: between markers, and nowhere else.

``README.md`` gets the few figures that a newcomer asks for, ``benchmarks/README.md`` goals, tables and rejected
designs. Both are functions of the results file alone, so that a test can compare them with it; without that file they
say that nothing has been measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.catalogue import SUITES
from benchmarks.figures import OTHER, OTHER_CAPTURED, ROOT, Results, Table
from benchmarks.goals import verdicts
from benchmarks.tables import cells_of, figure, heading_of, markdown

__all__ = ["BEGIN", "END", "differing", "documents", "rewritten"]

BEGIN: Final = "<!-- benchmarks:begin -->"
END: Final = "<!-- benchmarks:end -->"

_NOTHING: Final = "Nothing has been measured yet: `make bench` does, and writes this part."
_REJECTED: Final = "rejected"
_SHORT: Final = (
    ("call.off", "tracing disabled"),
    ("call.sampled_out", "sampled out"),
    ("call.uncaptured", "async span, nothing captured"),
    ("call.nested", "**async span, arguments and result captured**"),
    ("call.root", "the same, as the root of a trace"),
    ("call.otel", "OpenTelemetry SDK, nothing captured"),
    ("call.otel_captured", "OpenTelemetry SDK, arguments and result as JSON attributes"),
)


def documents(results: Results | None, root: Path = ROOT) -> dict[Path, str]:
    """Return what belongs between the markers of each document."""
    short, full = (_NOTHING, _NOTHING) if results is None else (_short(results), _full(results))
    return {root / "README.md": short, root / "benchmarks" / "README.md": full}


def differing(results: Results | None, root: Path = ROOT) -> dict[Path, str]:
    """Return the new text of each document that is not what the results say.

    Raises:
        ValueError: a document has no place for them; the message says which.
    """
    found: dict[Path, str] = {}
    for path, content in documents(results, root).items():
        text = path.read_text()
        try:
            new = rewritten(text, content)
        except ValueError as error:
            raise ValueError(f"{path.relative_to(root)}: {error}") from error
        if new != text:
            found[path] = new
    return found


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
    heading = ["one call of an async function", "ns", "OpenTelemetry ÷ this", "the same, captured"]
    facts = results.facts
    parts = [
        "CPU of the caller per call, over the bare call:",
        markdown(heading, calls, numbers=range(1, 4)),
        _storing(results),
        (
            f"Measured on {facts['CPU']}, {facts['cores']} cores, {facts['Python']}, SQLite {facts['SQLite']}, in one"
            f" run with OpenTelemetry SDK {facts['opentelemetry-sdk']} (batch processor, exporter that drops"
            " everything)."
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _short_row(results: Results, key: str, label: str) -> list[str]:
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
        f" {figure(disk.value)} bytes on disk, nothing lost, every span read back and compared."
    )


def _full(results: Results) -> str:
    """Return goals, tables and rejected designs."""
    facts = ", ".join(f"{name} {value}" for name, value in results.facts.items())
    quick = " A quick run: a quarter of everything." if results.settings.quick else ""
    heading = ["goal", "bound", "measured", "", "what remains, and why"]
    tables = [table for table in results.tables if not _is_rejected(table)]
    rejected = [table for table in results.tables if _is_rejected(table)]
    parts = [
        f"Run of {results.when}.{quick} {facts}.",
        "## Goals",
        markdown(heading, [verdict.cells for verdict in verdicts(results)], numbers=range(1, 3)),
        *_sections("## Figures", [(f"### `{table.suite}`", table) for table in tables]),
        *_sections("## Rejected designs", [(f"### {_title(table)}", table) for table in rejected]),
    ]
    return "\n\n".join(parts)


def _is_rejected(table: Table) -> bool:
    return table.suite.startswith(f"{_REJECTED}/")


def _title(table: Table) -> str:
    """Return what a rejected design is, with its file."""
    name = table.suite.partition("/")[2]
    suite = SUITES.get(table.suite)
    return f"[`{name}`](rejected/{name}.py)" + (f": {suite.summary}" if suite else "")


def _sections(heading: str, tables: Sequence[tuple[str, Table]]) -> list[str]:
    parts = [heading] if tables else []
    for title, table in tables:
        titles = heading_of(table)
        rows = [cells_of(row, table.ratio_titles) for row in table.rows]
        parts += [title, table.method, markdown(titles, rows, numbers=range(2, len(titles) - 1))]
    return parts
