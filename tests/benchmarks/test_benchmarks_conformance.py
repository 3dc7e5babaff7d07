"""What is said of the async conformance of tracers is what came out of the cases, and can be made again."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from benchmarks.figures import RIVALS_FOLDER, ROOT
from benchmarks.kept import Kept
from benchmarks.report import differing
from benchmarks.report.conformance import DETAILS, Conformance, documents, full, kept_in, short
from benchmarks.rivals.catalogue import pins
from examples.tracer_conformance.__main__ import main
from tracecore.testing.tracers.cases import CASES, GROUPS
from tracecore.testing.tracers.reports import About, Report
from tracecore.testing.tracers.running import Outcome
from tracecore.testing.tracers.trial import Difference


def results_of(*, failing: str = "") -> Conformance:
    """Return results in which one tracer passes everything, and another fails one case and records no results."""
    every = [Outcome(name, "passed") for name in CASES]
    difference = Difference("tree", "expected `one`, found two")
    others = [
        Outcome(name, "failed", [difference], ["logged an error: lost"])
        if name == failing
        else Outcome(name, "not offered" if "results" in case.needs else "passed")
        for name, case in CASES.items()
    ]
    one, two = About("One", "1.0", frozenset()), About("Two", "2.0", frozenset())
    return Conformance("2026-01-01", "CPython 3.11", [Report(one, "asyncio", every), Report(two, "asyncio", others)])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with both documents, and no results."""
    for path in (Path("README.md"), Path("benchmarks") / "README.md", DETAILS):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    kept_in(tmp_path).parent.mkdir(parents=True)
    return tmp_path


def test_counts_leave_out_what_is_not_offered() -> None:
    """A case that needs what a tracer does not offer is no mistake of its, and no success either."""
    said = short(results_of(failing="gathered"))
    assert "| cases | One 1.0 | Two 2.0 |" in said
    tasks, results = (len(group.cases) for group in GROUPS if group.title in {"tasks", "results"})
    assert f"| tasks | {tasks}/{tasks} | {tasks - 1}/{tasks} |" in said
    assert f"| results | {results}/{results} | - |" in said
    run = len(CASES) - results
    assert f"| **all** | **{len(CASES)}/{len(CASES)}** | **{run - 1}/{run}** |" in said
    assert f"| not offered | 0 | {results} |" in said


def test_every_case_is_shown_with_its_reasons() -> None:
    """The details have a row for each case and the differences of each that failed, with remarks apart from them."""
    said = full(results_of(failing="gathered"))
    assert [name for name in CASES if f"| `{name}` |" not in said] == []
    assert "| `gathered` | ✓ | **✗** |" in said
    assert "### One 1.0\n\nNothing failed." in said
    assert "- `gathered`, tree: `expected 'one', found two`" in said
    assert "No mistake, but worth knowing: logged an error: lost (in 1 case)." in said


def test_documents_follow_the_results(copy: Path) -> None:
    """Both get what the results say, and without results they say how to make some."""
    assert {"--keep" in text for text in documents(copy).values()} == {True}
    kept_in(copy).write_bytes(msgspec.json.encode(results_of()))
    assert list(documents(copy)) == [copy / "README.md", copy / DETAILS]
    changed = differing(Kept(), copy)
    assert "| not offered | 0 | 5 |" in changed[copy / "README.md"]
    assert "## Every case" in changed[copy / DETAILS]


@pytest.mark.parametrize(
    "content", [b"[]", msgspec.json.encode(Conformance("", "", [Report(About("", "", frozenset()), "asyncio", [])]))]
)
def test_results_of_other_cases_are_refused(content: bytes, copy: Path) -> None:
    """A case that was added, renamed or removed since makes the results stale, and nothing is written."""
    kept_in(copy).write_bytes(content)
    with pytest.raises(ValueError, match=r"holds no results|other cases than there are now"):
        documents(copy)


def test_what_is_kept_was_run_with_the_versions_that_are_pinned() -> None:
    """The tracers compared are those of the benchmarks, and what is written by hand speaks of these versions."""
    kept = msgspec.json.decode(kept_in().read_bytes(), type=Conformance)
    versions = {report.about.title: report.about.version for report in kept.reports}
    pinned = pins()
    assert versions["Langfuse"] == pinned["langfuse"]
    assert versions["OpenTelemetry"] == pinned["opentelemetry-sdk"]
    by_hand = (ROOT / DETAILS).read_text().partition("<!-- conformance:begin -->")[0]
    named = dict(re.findall(r"With\s+(OpenTelemetry|Langfuse) ([\d.]+\d)", by_hand))
    assert named == {title: version for title, version in versions.items() if title != "tracecore"}


def test_tracecore_fails_none_of_the_cases_that_are_kept() -> None:
    """The table shows what the tests hold."""
    [ours] = [
        report
        for report in msgspec.json.decode(kept_in().read_bytes(), type=Conformance).reports
        if report.about.title == "tracecore"
    ]
    assert [outcome.case for outcome in ours.outcomes if outcome.verdict == "failed"] == []


def test_tracers_that_are_not_installed_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without their environments tracecore is run alone, the others are named, and nothing incomplete is kept."""
    monkeypatch.setenv(RIVALS_FOLDER, str(tmp_path))
    before = kept_in().read_bytes()
    assert main(["--json", "--keep"]) == 1
    printed = capsys.readouterr()
    [report] = msgspec.json.decode(printed.out, type=list[Report])
    assert report.count("calls")[0] == len(GROUPS[0].cases)
    assert "left out: conformance_opentelemetry: not installed" in printed.err
    assert "left out: conformance_langfuse: not installed" in printed.err
    assert kept_in().read_bytes() == before
