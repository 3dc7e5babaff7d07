"""The documents and the results file say the same, and ``report`` is what makes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks import cli
from benchmarks.cli import LATEST, main
from benchmarks.figures import FORMAT, ROOT, Results, Row, Settings, Table, read_results, write_results
from benchmarks.report import BEGIN, END, differing, documents, rewritten

FACTS = {"CPU": "a processor", "cores": "2 of 2", "Python": "CPython 3.11", "SQLite": "3.40", "opentelemetry-sdk": "1"}


def results_of(nested: float = 1_234.0) -> Results:
    """Return a run with a few figures of several suites."""
    ratios = {"OpenTelemetry ÷ this": 17.0, "OpenTelemetry, captured ÷ this": 29.0}
    call = [
        Row(key="call.off", label="tracing disabled", unit="ns", value=93.0),
        Row(key="call.nested", label="captured, nested", unit="ns", value=nested, ratios=ratios),
    ]
    store = [
        Row(key="store.rate", label="sustained", unit="spans/s", value=45_678.4),
        Row(key="store.cpu", label="CPU", unit="µs", value=19.5),
        Row(key="store.disk", label="on disk", unit="bytes", value=1_440.0),
    ]
    lost = [Row(key="rejected.index_ring.lost", label="accepted and lost", unit="items", value=77)]
    tables = [
        Table(suite="call", title="One call", method="Called often.", rows=call),
        Table(suite="store", title="Into SQLite", method="Stored.", rows=store),
        Table(suite="rejected/index_ring", title="One thread", method="It loses items.", rows=lost),
    ]
    return Results(format=FORMAT, when="2026-01-01 00:00 UTC", facts=FACTS, settings=Settings(), tables=tables)


@pytest.fixture
def in_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Return a function that makes the command work on a copy of both documents, without results, and returns it."""

    def enter() -> Path:
        for name in ("README.md", "benchmarks/README.md"):
            target = tmp_path / name
            target.parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, target)
        monkeypatch.setattr(cli, "ROOT", tmp_path)
        monkeypatch.setattr(cli, "LATEST", tmp_path / "benchmarks" / "results" / "latest.json")
        monkeypatch.setattr(cli, "differing", lambda results: differing(results, tmp_path))
        return tmp_path

    return enter


def test_the_documents_say_what_the_results_say() -> None:
    """README.md and benchmarks/README.md are what ``report`` writes of the results that are kept, or of none."""
    results = read_results(LATEST) if LATEST.exists() else None
    stale = [str(path.relative_to(ROOT)) for path in differing(results)]
    assert stale == [], "run: python -m benchmarks report"


def test_what_is_kept_is_a_whole_run() -> None:
    """Figures in the documents come from a run with every suite, all rounds and the busy host."""
    if LATEST.exists():
        results = read_results(LATEST)
        assert {table.suite for table in results.tables} == set(cli.SUITES)
        assert results.settings == Settings()


def test_both_documents_get_the_figures() -> None:
    """The short form has calls and storing; the full one goals, every table and the rejected designs."""
    short, full = documents(results_of()).values()
    for said in (
        "| tracing disabled | 93 |  |  |",
        "| 1,234 | 17 x | 29 x |",
        "45,700 spans/s",
        "19.5 µs",
        "a processor",
    ):
        assert said in short
    for said in ("## Goals", "≤ 1,500 ns | 1,234 ns | met", "≥ 40,000 spans/s", "### `store`", "Called often."):
        assert said in full
    rejected = full.partition("## Rejected designs")[2]
    assert "[`index_ring`](rejected/index_ring.py)" in rejected
    assert "It loses items." in rejected
    assert "accepted and lost | items | 77" in rejected


def test_a_figure_that_was_not_taken_is_not_invented() -> None:
    """Without a rival the table says so; without storing nothing is said of it."""
    results = msgspec.structs.replace(results_of(), tables=results_of().tables[:1])
    short, full = documents(results).values()
    assert "| OpenTelemetry SDK, nothing captured | not measured |" in short
    assert "Into SQLite" not in short
    assert "not measured" in full
    assert "## Rejected designs" not in full


def test_without_results_the_documents_say_so() -> None:
    """Both say that nothing was measured, and how to do it."""
    assert {"make bench" in content for content in documents(None).values()} == {True}


def test_only_what_is_between_the_markers_changes() -> None:
    """Text before and after stays to the byte, and doing it twice changes nothing more."""
    text = f"before {BEGIN}\nold\n{END} after\n"
    new = rewritten(text, "new")
    assert new == f"before {BEGIN}\nnew\n{END} after\n"
    assert rewritten(new, "new") == new


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_one_place_is_refused(text: str) -> None:
    """Nothing is written where it is not clear where."""
    with pytest.raises(ValueError, match="expected one"):
        rewritten(text, "new")


def test_report_writes_once_and_check_sees_a_changed_figure(
    in_copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """``report`` brings both documents in line; ``--check`` then agrees, until a figure or a document changes."""
    root = in_copy()
    write_results(results_of(), root / "benchmarks" / "results" / "latest.json")
    assert main(["report", "--results", str(cli.LATEST), "--check"]) == 2
    assert main(["report", "--results", str(cli.LATEST)]) == 0
    assert "changed: README.md, benchmarks/README.md" in capsys.readouterr().out
    assert main(["report", "--results", str(cli.LATEST), "--check"]) == 0
    (root / "README.md").write_text((root / "README.md").read_text().replace("1,234", "1,134"))
    assert main(["report", "--results", str(cli.LATEST), "--check"]) == 2
    assert "README.md: not what latest.json says" in capsys.readouterr().err
    assert main(["report", "--results", str(cli.LATEST)]) == 0
    write_results(results_of(1_999.0), cli.LATEST)
    assert main(["report", "--results", str(cli.LATEST), "--check"]) == 2


def test_report_without_results_is_no_error(in_copy: Callable[[], Path]) -> None:
    """A checkout that was never measured can be reported and checked; what was written before is taken back."""
    root = in_copy()
    assert main(["report", "--results", str(cli.LATEST)]) == 0
    assert main(["report", "--results", str(cli.LATEST), "--check"]) == 0
    assert "Nothing has been measured" in (root / "README.md").read_text()


def test_a_results_file_that_was_named_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that somebody asks for and that is not there, or is something else, is an error that changes nothing."""
    before = [path.read_bytes() for path in documents(None)]
    assert main(["report", "--results", str(tmp_path / "none.json")]) == 2
    (tmp_path / "bad.json").write_text("[]")
    assert main(["report", "--results", str(tmp_path / "bad.json")]) == 2
    other = msgspec.json.encode(msgspec.structs.replace(results_of(), format=FORMAT + 1))
    (tmp_path / "other.json").write_bytes(other)
    assert main(["report", "--results", str(tmp_path / "other.json")]) == 2
    assert capsys.readouterr().err.count("error: cannot report") == 3
    assert [path.read_bytes() for path in documents(None)] == before


def test_results_survive_their_file(tmp_path: Path) -> None:
    """What is written is what is read."""
    path = tmp_path / "deep" / "results.json"
    write_results(results_of(), path)
    assert read_results(path) == results_of()


@pytest.mark.parametrize("arguments", [["call"], ["--quick"], ["--rounds", "2"]])
def test_only_whole_runs_are_kept(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A part of a run never replaces the figures in the documents."""
    assert main(["run", "--report", *arguments]) == 2
    assert "whole runs only" in capsys.readouterr().err
