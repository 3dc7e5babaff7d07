"""Reports side by side as text: a row for each case, a column for each tracer, and below why what failed did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tracecore.testing.tracers.cases import CASES, GROUPS
from tracecore.testing.tracers.reports import Report
from tracecore.testing.tracers.running import Outcome, Verdict

__all__ = ["SIGNS", "text_of"]

SIGNS: Final[dict[Verdict, str]] = {"passed": "pass", "failed": "FAIL", "not offered": "-"}
_GAP: Final = 2


def text_of(reports: Sequence[Report]) -> str:
    """Return reports of the same cases as a table for a terminal."""
    titles = [f"{report.about.title} {report.about.version}".strip() for report in reports]
    rows = [["", *titles], *_rows(reports), *_sums(reports)]
    widths = [max(map(len, column)) + _GAP for column in zip(*rows, strict=True)]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "─" * sum(widths))
    for report, title in zip(reports, titles, strict=True):
        said = [line for outcome in report.outcomes for line in _said(outcome)]
        lines += ["", title, *said] if said else []
    return "\n".join(lines) + "\n"


def _rows(reports: Sequence[Report]) -> Iterator[list[str]]:
    """Yield a row for each case, with its group where that begins."""
    group = ""
    for outcomes in zip(*(report.outcomes for report in reports), strict=True):
        case = CASES[outcomes[0].case]
        if case.group != group:
            group = case.group
            yield [group, *([""] * len(reports))]
        yield [f"  {case.name}", *(SIGNS[outcome.verdict] for outcome in outcomes)]


def _sums(reports: Sequence[Report]) -> Iterator[list[str]]:
    counts = [
        [sum(one) for one in zip(*(report.count(group.title) for group in GROUPS), strict=True)] for report in reports
    ]
    yield ["passed", *(f"{passed}/{run}" for passed, run, _ in counts)]
    yield ["not offered", *(str(absent) for _, _, absent in counts)]


def _said(outcome: Outcome) -> Iterator[str]:
    for difference in outcome.differences:
        yield f"  {outcome.case}: {difference.facet}: {difference.text}"
    for remark in outcome.remarks:
        yield f"  {outcome.case}: remark: {remark}"
