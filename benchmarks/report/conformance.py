"""The async conformance of tracers, from the results that are kept: counts for newcomers, every case beside adapters.

``python -m examples.tracer_conformance --keep`` runs the cases of :mod:`tracecore.testing.tracers` and keeps what came
out of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.figures import ROOT
from benchmarks.tables import markdown
from tracecore.testing.tracers.cases import CASES, GROUPS
from tracecore.testing.tracers.reports import Report
from tracecore.testing.tracers.running import Verdict

__all__ = ["DETAILS", "Conformance", "documents", "full", "kept_in", "short"]

DETAILS: Final = Path("examples") / "tracer_conformance" / "README.md"
_KEPT: Final = Path("benchmarks") / "results" / "conformance.json"
_NOTHING: Final = "Nothing has been run yet: `python -m examples.tracer_conformance --keep` does, and writes this part."
_SIGNS: Final[dict[Verdict, str]] = {"passed": "✓", "failed": "**✗**", "not offered": "-"}


class Conformance(Struct, frozen=True):
    """Hold what came of every case with each tracer."""

    when: str
    python: str
    reports: list[Report]


def kept_in(root: Path = ROOT) -> Path:
    """Return the file that holds the results."""
    return root / _KEPT


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Return what belongs between the markers of each document that is there.

    Raises:
        ValueError: the file holds no results, or not those of the cases there are.
    """
    path = kept_in(root)
    results = _read(path) if path.exists() else None
    texts = {root / "README.md": results and short(results), root / DETAILS: results and full(results)}
    return {place: text or _NOTHING for place, text in texts.items() if place.exists()}


def _read(path: Path) -> Conformance:
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Conformance)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} holds no results: {error}") from error
    for report in results.reports:
        if [outcome.case for outcome in report.outcomes] != [case.name for case in CASES.values()]:
            raise ValueError(
                f"{path}: other cases than there are now; run: python -m examples.tracer_conformance --keep"
            )
    return results


def short(results: Conformance) -> str:
    """Return how many cases of each group passed, of those that a tracer offers what is needed for."""
    counts = [[report.count(group.title) for report in results.reports] for group in GROUPS]
    rows = [[group.title, *(_ratio(*count) for count in row)] for group, row in zip(GROUPS, counts, strict=True)]
    sums = [[sum(one) for one in zip(*column, strict=True)] for column in zip(*counts, strict=True)]
    rows.append(["**all**", *(f"**{passed}/{run}**" for passed, run, _ in sums)])
    rows.append(["not offered", *(str(absent) for _, _, absent in sums)])
    return markdown(_heading(results), rows, numbers=range(1, len(results.reports) + 1))


def _heading(results: Conformance) -> list[str]:
    return ["cases", *(f"{report.about.title} {report.about.version}" for report in results.reports)]


def _ratio(passed: int, run: int, _: int) -> str:
    return f"{passed}/{run}" if run else "-"


def full(results: Conformance) -> str:
    """Return every case with what it asserts, and why each that failed did."""
    parts = [f"Run of {results.when} with {results.python}, in asyncio.", short(results)]
    parts += ["## Every case", *_tables(results), "## Why what failed did"]
    for report in results.reports:
        parts += [f"### {report.about.title} {report.about.version}", *_reasons(report)]
    return "\n\n".join(parts)


def _tables(results: Conformance) -> Iterator[str]:
    verdicts = [{outcome.case: outcome.verdict for outcome in report.outcomes} for report in results.reports]
    heading = ["", *(report.about.title for report in results.reports), "what it asserts"]
    for group in GROUPS:
        rows = [
            [f"`{case.name}`", *(_SIGNS[found[case.name]] for found in verdicts), _marked(case.summary)]
            for case in group.cases
        ]
        yield f"### {group.title[0].upper()}{group.title[1:]}"
        yield markdown(heading, rows, numbers=range(0))


def _reasons(report: Report) -> Iterator[str]:
    lines = [
        f"- `{outcome.case}`, {difference.facet}: {_code(difference.text)}"
        for outcome in report.outcomes
        for difference in outcome.differences
    ]
    yield "\n".join(lines) or "Nothing failed."
    remarks = Counter(remark for outcome in report.outcomes for remark in outcome.remarks)
    if remarks:
        said = "; ".join(f"{remark} (in {count} case{'s' * (count != 1)})" for remark, count in sorted(remarks.items()))
        yield f"No mistake, but worth knowing: {said}."


def _marked(summary: str) -> str:
    """Return a summary with code as Markdown has it."""
    return summary.replace("``", "`")


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"
