"""What a run keeps in the tree: everything of its kind, or some suites beside what is there, never a mixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import cli, machine
from benchmarks.catalogue import chosen
from benchmarks.cli import main
from benchmarks.figures import FORMAT, ROOT, Results, Row, Settings, Table, read_results, write_results
from benchmarks.keeping import merged
from benchmarks.kept import Kept
from benchmarks.report import documents

FACTS = {
    "CPU": "a processor", "cores": "2 of 2", "load before": "0.10", "Python": "CPython 3.11", "SQLite": "3.40",
    "opentelemetry-sdk": "1",
}  # fmt: skip
THEN, NOW = "2026-01-01 00:00 UTC", "2026-01-02 10:30 UTC"


def table(suite: str, value: float) -> Table:
    """Return a table with one figure that documents show."""
    key = {"call": "call.nested", "lag": "lag.paced", "http": "http.native.rate"}.get(suite, f"{suite}.rate")
    return Table(
        suite=suite, title=suite, method=f"Did {suite}.", rows=[Row(key=key, label=suite, unit="", value=value)]
    )


def run_of(when: str, *tables: Table, **facts: str) -> Results:
    """Return a run of these tables."""
    return Results(format=FORMAT, when=when, facts=FACTS | facts, settings=Settings(), tables=list(tables))


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let each suite say 2,222 at once on the machine of the facts, and return which were run."""
    ran: list[str] = []

    def measure(suite: str, *_: object) -> Table:
        ran.append(suite)
        return table(suite, 2_222.0)

    monkeypatch.setattr(cli, "run_in_child", measure)
    monkeypatch.setattr(machine, "facts", lambda: FACTS | {"load before": "0.25"})
    return ran


def test_a_part_takes_the_place_of_its_tables() -> None:
    """Tables of the same suites are replaced, new ones stand where the catalogue has them, the others stay."""
    whole = run_of(THEN, table("call", 1.0), table("store", 1.0), table("lag", 1.0))
    part = run_of(NOW, table("http", 2.0), table("store", 2.0), **{"load before": "0.25"})
    both = merged(whole, part)
    said = [(one.suite, one.rows[0].value, one.when, one.load) for one in both.tables]
    assert said == [
        ("call", 1.0, "", ""), ("store", 2.0, NOW, "0.25"), ("http", 2.0, NOW, "0.25"), ("lag", 1.0, "", "")
    ]  # fmt: skip
    assert (both.when, both.facts) == (whole.when, whole.facts)
    assert [both.when_of(one.suite) for one in both.tables] == [THEN, NOW, NOW, THEN]
    later = merged(both, run_of("later", table("store", 3.0)))
    assert [(one.suite, one.when) for one in later.tables if one.when] == [("store", "later"), ("http", NOW)]


def test_what_was_measured_with_the_rest_says_no_time_of_its_own() -> None:
    """Only a difference is worth a word."""
    both = merged(run_of(THEN, table("call", 1.0)), run_of(THEN, table("store", 2.0)))
    assert [one.when for one in both.tables] == ["", ""]


def test_documents_and_charts_say_when_a_part_was_measured() -> None:
    """At the table of the part, in the sentence or row that is of it, and below its chart; nowhere else."""
    store = [Row(key=f"store.{name}", label=name, unit="", value=5.0) for name in ("rate", "cpu", "disk")]
    there = [Row(key=f"http.native.{name}", label=name, unit="", value=5.0) for name in ("rate", "cpu", "server")]
    whole = run_of(
        THEN, table("call", 1.0),
        Table(suite="store", title="", method="Stored.", rows=store), table("lag", 1.0),
        Table(suite="http", title="", method="Sent.", rows=there), table("rejected/executemany", 1.0),
    )  # fmt: skip
    before = "".join(documents(Kept(whole=whole)).values())
    assert "by itself" not in before
    assert "(measured" not in before
    for suite, place, said in (
        ("call", "README.md", f"over the bare call (measured {NOW}):"),
        ("store", "README.md", f"read back and compared (measured {NOW})."),
        ("http", "README.md", f"over SQLite, zstd (measured {NOW}) | 5 |"),
        ("lag", "benchmarks/README.md", f"Did lag.\n\nMeasured by itself, {NOW}, load before 0.10."),
        ("rejected/executemany", "benchmarks/README.md", f"\n\nMeasured by itself, {NOW}, load before 0.10."),
    ):
        part = run_of(NOW, *(one for one in whole.tables if one.suite == suite))
        texts = documents(Kept(whole=merged(whole, part)))
        assert said in texts[ROOT / place]
        assert texts[ROOT / "benchmarks" / "README.md"].count("Measured by itself") == 1
        assert "".join(texts.values()).count("(measured") == (place == "README.md")
    charts = cli.charts_of(merged(whole, run_of(NOW, table("lag", 2.0))))
    assert {chart.name: chart.source.rpartition("run of ")[2] for chart in charts} == {"call": THEN, "lag": NOW}


def test_some_suites_of_a_run_are_kept(
    in_copy: Callable[[], Path], measuring: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """They are measured as always, kept beside the others, and the documents follow."""
    latest = in_copy() / "latest.json"
    write_results(run_of(THEN, table("call", 1_111.0), table("store", 1_111.0)), latest)
    assert main(["run", "server", "call", "--report"]) == 0
    assert measuring == ["call", "server"]  # and not server/otlp, which no whole run has
    kept = read_results(latest)
    assert [(one.suite, one.rows[0].value) for one in kept.tables] == [
        ("call", 2_222.0), ("store", 1_111.0), ("server", 2_222.0)
    ]  # fmt: skip
    assert kept.when == THEN
    assert {one.suite: one.load for one in kept.tables} == {"call": "0.25", "store": "", "server": "0.25"}
    assert "2,222 ns" in (latest.parent.parent / "README.md").read_text()
    assert "changed: README.md, benchmarks/README.md" in capsys.readouterr().out
    assert main(["report", "--check"]) == 0


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"SQLite": "3.39"}, "SQLite is 3.40, and 3.39 in the run of 2026-01-01 00:00 UTC that is kept"),
        ({"kernel": "Linux 5"}, "kernel is not said, and Linux 5 in the run"),
    ],
)
def test_a_part_of_another_machine_is_refused(
    facts: dict[str, str],
    said: str,
    in_copy: Callable[[], Path],
    measuring: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is measured, the fact that differs is named, and what to do; what is kept stays to the byte."""
    latest = in_copy() / "latest.json"
    write_results(run_of(THEN, table("call", 1_111.0), **facts), latest)
    before = latest.read_bytes()
    assert main(["run", "call", "--report"]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert "take a whole run: python -m benchmarks run --report" in complaint
    assert (measuring, latest.read_bytes()) == ([], before)


def test_a_part_needs_a_whole_run(
    in_copy: Callable[[], Path], measuring: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A few suites alone are no run that documents could be made of."""
    folder = in_copy()
    assert main(["run", "call", "--report"]) == 2
    assert "no whole run is kept" in capsys.readouterr().err
    assert (measuring, list(folder.iterdir())) == ([], [])


def test_a_machine_that_changes_meanwhile_keeps_nothing(
    in_copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was measured is printed, and an upgrade during the run does not come into the documents."""
    latest = in_copy() / "latest.json"
    write_results(run_of(THEN, table("call", 1_111.0)), latest)
    before, said = latest.read_bytes(), iter((FACTS, FACTS | {"SQLite": "3.41"}))
    monkeypatch.setattr(machine, "facts", lambda: next(said))
    monkeypatch.setattr(cli, "run_in_child", lambda suite, *_: table(suite, 2_222.0))
    assert main(["run", "call", "--report"]) == 2
    printed = capsys.readouterr()
    assert "2,222" in printed.out
    assert "cannot keep: --report: SQLite is 3.41" in printed.err
    assert latest.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--quick"], "usual settings"), (["call", "--rounds", "2"], "usual settings"),
        (["--rows", "10000000"], "usual settings"), (["read", "store", "--rows", "10000000"], "usual settings"),
        (["--rivals", "--only", "langfuse"], "usual settings"), (["rivals/call"], "all rivals or none"),
        (["call", "--rivals"], "all rivals or none"), (["soak"], "soak is no part of a whole run"),
        (["server", "server/otlp"], "server/otlp is no part of a whole run"),
    ],
)  # fmt: skip
def test_what_is_not_kept(more: list[str], said: str, measuring: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What was not measured as the rest is never replaces the figures in the documents."""
    assert main(["run", "--report", *more]) == 2
    assert said in capsys.readouterr().err
    assert measuring == []


def test_reading_from_a_large_file_is_kept_beside_the_whole_run(
    in_copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten million spans take too long for every run: their figures have a file, goals and a table of their own."""
    times = iter((12.5, 60.5))

    def read(suite: str, *_: object) -> Table:
        row = Row(key="read.newest", label="newest traces, p95", unit="ms", value=next(times))
        return Table(suite=suite, title="Spans in SQLite", method="Asked often.", rows=[row])

    folder = in_copy()
    monkeypatch.setattr(cli, "chosen", lambda *_, **__: ["read"])
    monkeypatch.setattr(cli, "run_in_child", read)
    assert main(["run", "--report"]) == 0
    assert main(["run", "read", "--rows", "10000000", "--report"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["large.json", "latest.json"]
    said = (folder.parent / "README.md").read_text()
    assert "| 1,000,000 spans, p95: newest traces | ≤ 50 ms | 12.5 ms | met |" in said
    assert "| 10,000,000 spans, p95: newest traces | ≤ 50 ms | 60.5 ms | missed |" in said
    assert "Asked often." in said.partition("## A larger file")[2]


@pytest.mark.parametrize(("more", "name"), [([], "latest.json"), (["--rivals"], "rivals.json")])
def test_a_whole_run_is_kept_with_its_kind(
    more: list[str], name: str, in_copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tracecore costs and what the rivals cost are measured, and kept, apart from each other."""

    def empty(suite: str, *_: object) -> Table:
        return Table(suite=suite, title=suite, method=f"Did {suite}.", rows=[])

    folder = in_copy()
    monkeypatch.setattr(cli, "run_in_child", empty)
    monkeypatch.setattr(cli, "make_ready", lambda names, only: None)
    assert main(["run", "--report", *more]) == 0
    assert [path.name for path in folder.iterdir()] == [name]
    results = read_results(folder / name)
    assert [table.suite for table in results.tables] == chosen([], rivals=bool(more))
    assert ("langfuse" in results.facts) == bool(more)
    assert f"Did {results.tables[0].suite}." in (folder.parent / "README.md").read_text()
