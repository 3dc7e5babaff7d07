"""The rivals beside tracecore, a row for each: what it costs the caller, the process, the loop, and the disk."""

from __future__ import annotations

import re
from typing import Final

from benchmarks.charts.rivals import OURS, by_cost, rivals_bars, rows_by_rival
from benchmarks.figures import Results, Row
from benchmarks.report.pictures import picture
from benchmarks.rivals.fleet import AGAINST
from benchmarks.suites.rivals_call import CAPTURES_NOTHING
from benchmarks.tables import NONE, figure, markdown

__all__ = ["beside"]

_FOLDER: Final = "benchmarks/results"
_HEADING: Final = (
    "", "version", "µs per nested call", "÷ tracecore", "CPU µs per span", "spans/s", "loop lag, ms", "import, ms",
    "MB", "captures",
)  # fmt: skip
_OTHERS: Final = {
    "load.cpu": "CPU per span", "load.rate": "rate", "lag": "lag", "size.import": "import", "size.disk": "size",
}  # fmt: skip
"""The figures besides that of a call, in the order of the columns, and what each is called where it is missing."""
_NS_PER_US: Final = 1_000.0
_VERSION: Final = re.compile(r"\d[\w.+!-]*\w|\d")
_MOST: Final = 160
"""Characters of a reason."""


def beside(results: Results) -> list[str]:
    """Return the parts about rivals: the picture, the table, and what is not in it."""
    calls = rows_by_rival(results, "rivals.call.")
    others = {kind: rows_by_rival(results, f"rivals.{kind}.") for kind in _OTHERS}
    chart = rivals_bars(results)
    if chart is None:
        return []
    shown = [name for name in by_cost(calls) if calls[name].value is not None]
    rows = [_cells(name, calls[name], [others[kind].get(name) for kind in _OTHERS]) for name in shown]
    return [
        (
            "The same work with others, each in an environment and a process of its own, set up as its manual says and"
            " sending to a local collector that counts what arrives, while tracecore stores in SQLite:"
        ),
        picture(chart, _FOLDER),
        markdown(_HEADING, rows, numbers=range(2, len(_HEADING) - 1)),
        _missing(calls, others),
        _lost(results),
        f"Measured on {results.facts['CPU']}, {results.facts['cores']} cores, {results.facts['Python']}.",
    ]


def _cells(name: str, call: Row, others: list[Row | None]) -> list[str]:
    assert call.value is not None
    ratio = call.ratios.get(AGAINST)
    title = f"**{call.label}**" if name == OURS else call.label
    return [
        title, _version(call), figure(call.value / _NS_PER_US), NONE if ratio is None else f"{figure(ratio)} x",
        *(NONE if row is None else figure(row.value) for row in others),
        "no" if CAPTURES_NOTHING in call.note.split(". ") else "yes",
    ]  # fmt: skip


def _version(call: Row) -> str:
    """Return the version, with which the note of a call begins."""
    found = _VERSION.match(call.note)
    return found[0] if found else NONE


def _missing(calls: dict[str, Row], others: dict[str, dict[str, Row]]) -> str:
    """Say which rivals could not be run, or which of their figures not be taken, and why."""
    said = [f"{row.label} ({_reason(row)})" for row in calls.values() if row.value is None]
    for kind, what in _OTHERS.items():
        for name, row in others[kind].items():
            if row.value is None and name in calls and calls[name].value is not None:
                said.append(f"{what} of {calls[name].label} ({_reason(row)})")
    return f"Could not be measured: {'; '.join(said)}." if said else ""


def _reason(row: Row) -> str:
    reason = " ".join(row.note.split()).rstrip(".")
    return reason if len(reason) <= _MOST else f"{reason[:_MOST]}…"


def _lost(results: Results) -> str:
    """Say whose spans did not all arrive."""
    rows = rows_by_rival(results, "rivals.load.delivered.").values()
    lossy = [f"{figure(row.value)} % ({row.label.partition(':')[0]})" for row in rows]
    return f"Not all spans arrived at the collector: {', '.join(lossy)}." if lossy else ""
