"""The documents, the charts and the results files say the same, and ``report`` is what makes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks import cli, kept
from benchmarks.catalogue import SUITES, chosen
from benchmarks.cli import main
from benchmarks.figures import FORMAT, ROOT, Results, Row, Settings, Table, read_results, write_results
from benchmarks.goals import verdicts
from benchmarks.kept import LARGE, LARGE_ROWS, LATEST, RIVALS, Kept, read_kept
from benchmarks.options import parser
from benchmarks.report import BEGIN, END, bring_in_line, documents, rewritten

FACTS = {"CPU": "a processor", "cores": "2 of 2", "Python": "CPython 3.11", "SQLite": "3.40", "opentelemetry-sdk": "1"}
AGAINST = "this ÷ tracecore"


def run_of(*tables: Table, **facts: str) -> Results:
    """Return a run with these tables."""
    return Results(
        format=FORMAT, when="2026-01-01 00:00 UTC", facts=FACTS | facts, settings=Settings(), tables=list(tables)
    )


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
    return run_of(
        Table(suite="call", title="One call", method="Called often.", rows=call),
        Table(suite="store", title="Into SQLite", method="Stored.", rows=store),
        Table(suite="rejected/index_ring", title="One thread", method="It loses items.", rows=lost),
    )


def rivals_of(langfuse: float = 142_000.0) -> Results:
    """Return a run of rivals: ours, one that costs more, one that captures nothing, and one that cannot be run."""
    call = [
        Row(key="rivals.call.langfuse", label="Langfuse", unit="ns", value=langfuse, ratios={AGAINST: langfuse / 3_000},
            note="5.0.4, 98.0% of its spans arrived. It captures nothing itself: by hand"),
        Row(key="rivals.call.ddtrace", label="ddtrace", unit="ns", value=28_000.0, ratios={AGAINST: 9.333},
            note="4.16.0rc1. captures nothing. By hand"),
        Row(key="rivals.call.opik", label="Opik", unit="ns", value=None, note="No matching\n distribution found."),
        Row(key="rivals.call.tracecore_sqlite", label="tracecore into SQLite", unit="ns", value=3_000.0,
            ratios={AGAINST: 1.0}, note="0.1.0. Stores"),
    ]  # fmt: skip
    load = [
        Row(key="rivals.load.cpu.langfuse", label="Langfuse: CPU per span", unit="µs", value=254.0),
        Row(key="rivals.load.rate.langfuse", label="Langfuse: rate", unit="spans/s", value=3_900.0),
        Row(key="rivals.load.cpu.ddtrace", label="ddtrace: CPU per span", unit="µs", value=None, note="it hung"),
        Row(key="rivals.load.cpu.opik", label="Opik: CPU per span", unit="µs", value=None, note="No match."),
        Row(key="rivals.load.delivered.langfuse", label="Langfuse: spans that arrived", unit="%", value=98.04),
    ]
    size = [
        Row(key="rivals.size.import.langfuse", label="Langfuse: import and start", unit="ms", value=340.0),
        Row(key="rivals.size.disk.langfuse", label="Langfuse: on disk", unit="MB", value=39.4),
        Row(key="rivals.size.distributions.langfuse", label="Langfuse: distributions", unit="", value=28.0),
    ]
    return run_of(
        Table(suite="rivals/call", title="One nested call", method="Called by all.", rows=call),
        Table(suite="rivals/load", title="Load", method="Loaded.", rows=load),
        Table(suite="rivals/size", title="Size", method="Weighed.", rows=size),
        langfuse="5.0.4",
    )


def test_documents_and_charts_say_what_the_results_say() -> None:
    """Both documents and every chart are what ``report`` makes of the results that are kept, or of none."""
    stale = [str(path.relative_to(ROOT)) for path in bring_in_line(read_kept(LATEST, RIVALS), check=True)]
    assert stale == [], "run: python -m benchmarks report"


@pytest.mark.parametrize(
    ("path", "suites", "settings"),
    [
        (LATEST, chosen([]), Settings()), (RIVALS, chosen([], rivals=True), Settings()),
        (LARGE, ["read"], Settings(rows=LARGE_ROWS)),
    ],
)  # fmt: skip
def test_what_is_kept_is_a_whole_run(path: Path, suites: list[str], settings: Settings) -> None:
    """Figures in the documents come from runs with every suite of their kind, all rounds and the busy host.

    A suite that is newer than the run is named as not measured.
    """
    if path.exists():
        results = read_results(path)
        measured = {table.suite for table in results.tables}
        newer = [f"`{suite}`" for suite in suites if suite not in measured]
        assert measured <= set(suites)
        assert results.settings == settings
        said = documents(Kept(whole=results))[ROOT / "benchmarks" / "README.md"]
        assert not newer or f"Not measured yet, because newer than this run: {', '.join(newer)}." in said


def test_both_documents_get_the_figures() -> None:
    """The short form has calls and storing; the full one goals, every table and the rejected designs."""
    short, full = documents(Kept(whole=results_of())).values()
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


def test_places_outside_of_the_process_stand_beside_each_other() -> None:
    """A row for each that was measured, with what it takes on both sides; the goals of both are judged."""
    figures = {"rate": 21_234.5, "cpu": 13.25, "server": 17.0}
    rows = [Row(key=f"postgres.{name}", label=name, unit="", value=value) for name, value in figures.items()]
    rows.append(Row(key="http.raw.rate", label="without the rest", unit="", value=90_000.0))
    table = Table(suite="postgres", title="Into PostgreSQL", method="Sent.", rows=rows)
    short, full = documents(Kept(whole=run_of(*results_of().tables, table))).values()
    assert "| PostgreSQL, every commit on the disk | 21,200 | 13.2 | 17 |" in short
    assert "the same requests, delivered to" in short
    assert "a collector" not in short
    assert "≥ 20,000 spans/s | 21,200 spans/s | met" in full
    assert "≥ 80,000 spans/s | 90,000 spans/s | met" in full
    assert "delivered to" not in documents(Kept(whole=results_of()))[ROOT / "README.md"]


def test_a_figure_that_was_not_taken_is_not_invented() -> None:
    """Without a rival the table says so; without storing nothing is said of it."""
    results = msgspec.structs.replace(results_of(), tables=results_of().tables[:1])
    short, full = documents(Kept(whole=results)).values()
    assert "| OpenTelemetry SDK, nothing captured | not measured |" in short
    assert "Into SQLite" not in short
    assert "not measured" in full
    assert "## Rejected designs" not in full


def test_without_results_the_documents_say_so() -> None:
    """Both say that nothing was measured, and how to do it."""
    assert {"make bench" in content for content in documents(Kept()).values()} == {True}


def test_the_full_document_explains_every_suite_command_and_option() -> None:
    """What can be measured and said on the command line stands in the part that is written by hand."""
    text = (ROOT / "benchmarks" / "README.md").read_text().partition(BEGIN)[0]
    named = {"rejected/…" if suite.startswith("rejected/") else suite for suite in SUITES}
    assert [suite for suite in named if f"`{suite}`" not in text] == []
    [commands] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert [name for name in commands.choices if f"python -m benchmarks {name}" not in text] == []
    options = [option for action in commands.choices["run"]._actions for option in action.option_strings]
    assert [option for option in options if option not in {"-h", "--help", "--busy-host"} and option not in text] == []


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


def test_rivals_stand_beside_each_other_in_the_short_form() -> None:
    """A row for each that could be run, by the caller's cost; what is missing, and why, is said below."""
    [short, _] = documents(Kept(rivals=rivals_of())).values()
    rows = [line for line in short.splitlines() if line.startswith("| ")][2:]
    assert rows == [
        "| **tracecore into SQLite** | 0.1.0 | 3 | 1 x | - | - | - | - | - | yes |",
        "| ddtrace | 4.16.0rc1 | 28 | 9.33 x | - | - | - | - | - | no |",
        "| Langfuse | 5.0.4 | 142 | 47.3 x | 254 | 3,900 | - | 340 | 39.4 | yes |",
    ]
    assert "Could not be measured: Opik (No matching distribution found); CPU per span of ddtrace (it hung)." in short
    assert "Not all spans arrived at the collector: 98.0 % (Langfuse)." in short
    assert "](benchmarks/results/rivals.svg)" in short
    assert "Langfuse 142" in short.partition("![")[2].partition("]")[0]


def test_rivals_have_a_part_of_their_own_in_the_full_form() -> None:
    """Their versions, chart and every table stand before the rejected designs."""
    [_, full] = documents(Kept(whole=results_of(), rivals=rivals_of())).values()
    rivals = full.partition("## Rivals")[2].partition("## Rejected designs")[0]
    for said in ("langfuse 5.0.4", "](results/rivals.svg)", "### `rivals/load`", "Weighed.", "| Opik | ns | - |"):
        assert said in rivals
    assert "## Rivals" not in documents(Kept(whole=results_of()))[ROOT / "benchmarks" / "README.md"]


def test_without_rivals_nothing_is_said_of_them() -> None:
    """A run in which no rival could be run, and no run of rivals, leave the newcomer's part as it is."""
    alone = documents(Kept(whole=results_of()))
    failed = msgspec.structs.replace(rivals_of(), tables=rivals_of().tables[1:])
    assert documents(Kept(whole=results_of(), rivals=failed))[ROOT / "README.md"] == alone[ROOT / "README.md"]


@pytest.mark.parametrize(("cost", "outcome"), [(241_000.0, "met"), (239_000.0, "missed"), (None, "not measured")])
def test_goals_are_judged_by_the_run_that_took_their_figure(cost: float | None, outcome: str) -> None:
    """What is said of Langfuse comes from the rivals' run, the rest from the other."""
    rivals = None if cost is None else rivals_of(cost)
    found = {verdict.goal.key: verdict.outcome for verdict in verdicts(Kept(whole=results_of(), rivals=rivals))}
    assert found["rivals.call.langfuse"] == outcome
    assert found["store.rate"] == "met"


def test_report_writes_once_and_check_sees_a_changed_figure(
    in_copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """``report`` brings documents and charts in line; ``--check`` then agrees, until a figure or a document changes."""
    folder = in_copy()
    readme = folder.parent.parent / "README.md"
    write_results(results_of(), kept.LATEST)
    write_results(rivals_of(), kept.RIVALS)
    assert main(["report", "--check"]) == 2
    assert list(folder.glob("*.svg")) == []
    assert main(["report"]) == 0
    assert sorted(path.name for path in folder.glob("*.svg")) == ["call.svg", "rivals.svg"]
    made = "README.md, benchmarks/README.md, benchmarks/results/call.svg, benchmarks/results/rivals.svg"
    assert f"changed: {made}" in capsys.readouterr().out
    assert main(["report", "--check"]) == 0
    readme.write_text(readme.read_text().replace("1,234", "1,134"))
    assert main(["report", "--check"]) == 2
    assert "error: README.md: not what the results say" in capsys.readouterr().err
    assert main(["report"]) == 0
    assert "changed: README.md\n" in capsys.readouterr().out


def test_check_sees_a_chart_that_belongs_to_other_results(
    in_copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A chart of figures that are not kept any more is drawn anew, or removed; to see it nothing is drawn."""
    folder = in_copy()
    write_results(results_of(), kept.LATEST)
    write_results(rivals_of(), kept.RIVALS)
    assert main(["report"]) == 0
    kept.RIVALS.unlink()
    write_results(results_of(1_999.0), kept.LATEST)
    capsys.readouterr()
    assert main(["report", "--check"]) == 2
    assert "benchmarks/results/call.svg, benchmarks/results/rivals.svg: not what" in capsys.readouterr().err
    assert main(["report"]) == 0
    assert main(["report", "--check"]) == 0
    assert [path.name for path in folder.glob("*.svg")] == ["call.svg"]


def test_a_document_without_a_place_leaves_everything_as_it_is(
    in_copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one document cannot be written, the other is not, and no chart is."""
    folder = in_copy()
    write_results(results_of(), kept.LATEST)
    before = (folder.parent.parent / "README.md").read_text()
    (folder.parent / "README.md").write_text("nothing")
    assert main(["report"]) == 2
    assert "error: cannot report: benchmarks/README.md: expected one" in capsys.readouterr().err
    assert (folder.parent.parent / "README.md").read_text() == before
    assert list(folder.glob("*.svg")) == []


def test_report_without_results_is_no_error(in_copy: Callable[[], Path]) -> None:
    """A checkout that was never measured can be reported and checked; what was written before is taken back."""
    folder = in_copy()
    assert main(["report"]) == 0
    assert main(["report", "--check"]) == 0
    assert "Nothing has been measured" in (folder.parent.parent / "README.md").read_text()


@pytest.mark.parametrize("option", ["--results", "--rivals"])
def test_a_results_file_that_was_named_must_be_there(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that somebody asks for and that is not there, or is something else, is an error that changes nothing."""
    before = [path.read_bytes() for path in documents(Kept())]
    assert main(["report", option, str(tmp_path / "none.json")]) == 2
    (tmp_path / "bad.json").write_text("[]")
    assert main(["report", option, str(tmp_path / "bad.json")]) == 2
    other = msgspec.json.encode(msgspec.structs.replace(results_of(), format=FORMAT + 1))
    (tmp_path / "other.json").write_bytes(other)
    assert main(["report", option, str(tmp_path / "other.json")]) == 2
    assert capsys.readouterr().err.count("error: cannot report") == 3
    assert [path.read_bytes() for path in documents(Kept())] == before


def test_results_survive_their_file(tmp_path: Path) -> None:
    """What is written is what is read."""
    path = tmp_path / "deep" / "results.json"
    write_results(results_of(), path)
    assert read_results(path) == results_of()


def test_a_run_is_plotted_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--plot`` draws what was measured and names the files apart from the results, which stay JSON."""
    monkeypatch.setattr(cli, "run_in_child", lambda name, *_: results_of().tables[0 if name == "call" else 1])
    for kind in ("svg", "png"):
        assert main(["run", "call", "store", "--plot", str(tmp_path / "new"), "--plot-format", kind, "--json"]) == 0
        said = capsys.readouterr()
        assert (tmp_path / "new" / f"call.{kind}").stat().st_size > 1_000
        assert said.err == f"charts: {tmp_path / 'new' / 'call'}.{kind}\n"
        assert msgspec.json.decode(said.out, type=Results).row("store.rate") is not None
    assert main(["run", "store", "--plot", str(tmp_path / "none")]) == 0
    assert "none of what was measured" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["run", "call", "--plot", str(tmp_path / "file")]) == 2
    assert "error: --plot: nothing can be written into" in capsys.readouterr().err


def test_a_run_that_could_not_be_plotted_does_not_begin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for minutes to learn that what draws is not installed."""
    monkeypatch.setattr("benchmarks.charts.files.importlib.util.find_spec", lambda name: None)
    for how in (["--plot", "folder"], ["--report"]):
        assert main(["run", *how]) == 2
        assert "charts need matplotlib" in capsys.readouterr().err
