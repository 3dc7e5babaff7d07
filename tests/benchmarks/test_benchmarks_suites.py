"""Each suite runs from end to end in a process of its own, and takes every figure that somebody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import child
from benchmarks.catalogue import SUITES
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.cli import main
from benchmarks.figures import OTHER, OTHER_CAPTURED, RIVALS_FOLDER, ROOT, Results, Settings, Table, read_results
from benchmarks.goals import GOALS
from benchmarks.kept import Kept
from benchmarks.reader import QUESTIONS
from benchmarks.report import documents
from benchmarks.suites import anatomy_call
from benchmarks.workload import (
    ARGUMENTS,
    ARGUMENTS_JSON,
    RESULT,
    RESULT_JSON,
    SEARCH_ARGUMENTS,
    SEARCH_ARGUMENTS_JSON,
    SEARCH_RESULT,
    SEARCH_RESULT_JSON,
    answer,
    search,
)
from tracecore.codec import binder, encoded

QUICKEST = Settings(rounds=1, quick=True, busy_host=False)
OPTIONAL = ("store.backlog.", "store.live.", "rivals.")
"""Figures beside a busy host, which the quickest run leaves out, and of the rivals, which have a run of their own."""
COUNTS_THAT_MUST_BE_ZERO = (
    "ring.missing.64", "ring.missing.65536", "burst.missing", "burst.journal.missing", "burst.away.missing",
    "burst.away.journal.missing", "burst.journal.lost", "burst.away.journal.lost", "outage.paced.memory.lost",
    "outage.paced.journal.lost", "outage.fast.memory.missing", "outage.fast.journal.lost", "store.lost",
    "throughput.lost", "postgres.lost", "http.lost",
    "rejected.index_ring.lost_lane", "rejected.deferred_encoding.edge.wrong",
)  # fmt: skip
UNASKED = [suite.name for suite in SUITES.values() if not suite.only_asked]
SCALES = {
    "scaling.concurrency": (("cpu", "rate"), (1, 10, 100, 1_000)),
    "scaling.payload": (("caller", "cpu", "rate", "bytes", "disk"), (100, 1_024, 10_240, 102_400)),
    "scaling.database": (("cpu", "rate", *QUESTIONS), (2_500, 5_000, 10_000)),
}
"""What is measured, and at which sizes, by the suite's keys; of the file that grows, the sizes of a quick run."""


# All suites run in the set-up of the first test that looks at them; the machine may be busy with something else.
pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def quickest_run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return one whole run, as short as it can be, as the command line makes it."""
    path = tmp_path_factory.mktemp("benchmarks") / "results.json"
    command = [sys.executable, "-m", "benchmarks", "run", "--quick", "--rounds", "1", "--rows", "5000"]
    command += ["--save", str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    run = subprocess.run(
        command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False, timeout=490
    )
    said = [line for line in run.stderr.splitlines() if not line.startswith("warning: load before was ")]
    assert (run.returncode, said) == (0, [])
    return read_results(path)


def test_every_suite_ends_with_a_table(quickest_run: Results) -> None:
    """All suites ran that need not be asked for, in the catalogue's order, and said what they took."""
    assert [table.suite for table in quickest_run.tables] == UNASKED
    for table in quickest_run.tables:
        assert table.rows
        assert table.method
        assert table.seconds > 0
        assert table.peak_mb > 5


def test_keys_are_distinct_and_carry_the_name_of_their_suite(quickest_run: Results) -> None:
    """A figure is found by its key, and by nothing else."""
    rows = [(table.suite, row.key) for table in quickest_run.tables for row in table.rows]
    assert len({key for _, key in rows}) == len(rows)
    assert [(suite, key) for suite, key in rows if not key.startswith(suite.replace("/", ".") + ".")] == []


def test_every_goal_has_its_figure(quickest_run: Results) -> None:
    """No goal waits for a figure that no suite takes."""
    missing = [
        goal.key
        for goal in GOALS
        if not goal.key.startswith(OPTIONAL)
        and ((row := quickest_run.row(goal.key)) is None or (goal.column or None) not in {None, *row.ratios})
    ]
    assert missing == []


@pytest.mark.parametrize("key", COUNTS_THAT_MUST_BE_ZERO)
def test_nothing_is_unaccounted_for(key: str, quickest_run: Results) -> None:
    """What must be exact is exact in the shortest run too."""
    row = quickest_run.row(key)
    assert row is not None
    assert row.value == 0


def test_figures_are_of_what_they_say(quickest_run: Results) -> None:
    """Costs that differ tenfold are in that order, ratios are of the values beside them, counts of what was done."""
    value = {row.key: row.value or 0.0 for table in quickest_run.tables for row in table.rows}
    assert value["call.off"] < value["call.generation"]
    assert 0 < value["call.nested"] < value["call.otel_captured"]
    nested, off = quickest_run.row("call.nested"), quickest_run.row("call.off")
    assert nested is not None
    assert nested.ratios[OTHER] == pytest.approx(value["call.otel"] / value["call.nested"])
    assert nested.ratios[OTHER_CAPTURED] == pytest.approx(value["call.otel_captured"] / value["call.nested"])
    assert off is not None
    assert OTHER not in off.ratios
    for kept, memory in (("journal", "nested"), ("journal_generation", "generation"), ("journal_sqlite", "sqlite")):
        more = value[f"call.{kept}"] - value[f"call.{memory}"]  # of one round
        assert value[f"call.{kept}.over"] == pytest.approx(more)
    assert value["store.read_back"] == 5_000
    assert value["throughput.read_back"] == 2 * 12_505
    assert value["postgres.read_back"] == 2 * 10_005
    assert value["http.checked"] == 8 * 7_505
    assert 0 < value["postgres.server"] < 1_000
    assert value["http.zstd.bytes"] < value["http.raw.bytes"] / 2
    for database in ("postgres.read", "postgres.read.sqlite"):
        assert min(value[f"{database}.{name}"] for name in QUESTIONS) > 0
    assert 200 < value["pump.retained"] < value["pump.otel_retained"]
    for burst in ("burst", "burst.journal", "burst.away", "burst.away.journal", "outage.fast.memory"):
        assert value[f"{burst}.made"] == value[f"{burst}.stored"] + value[f"{burst}.lost"]
    for spans in ("1k", "3k"):
        assert min(value[f"recovery.{spans}.read"], value[f"recovery.{spans}.stored"]) > 0
        assert value[f"recovery.{spans}.spans"] == pytest.approx((8 << 20) / (1_024 * int(spans[0])), rel=0.05)
    assert value["sync.none"] < value["sync.always"]
    assert min(value[f"server.{file}.{figure}"] for file in ("new", "protobuf") for figure in ("rate", "core")) > 0
    lists = [value[f"server.list.{name}"] for name in ("newest", "type", "session", "scores")]
    assert 0 < min(lists) <= value["server.list.p95"] <= max(lists)


@pytest.mark.parametrize("suite", SCALES)
def test_each_scale_has_its_figure_at_every_size(suite: str, quickest_run: Results) -> None:
    """The key of a figure ends with the size, and all figures of all sizes are more than nothing."""
    names, sizes = SCALES[suite]
    [table] = [table for table in quickest_run.tables if table.suite == suite.replace(".", "/")]
    assert {row.key for row in table.rows} == {f"{suite}.{name}.{size}" for name in names for size in sizes}
    assert all(row.value for row in table.rows)


def test_what_grows_with_its_size_does_so(quickest_run: Results) -> None:
    """A thousandfold payload costs more CPU, takes more of the disk, and carries more bytes a second."""
    value = {row.key: row.value or 0.0 for table in quickest_run.tables for row in table.rows}
    for name in ("caller", "cpu", "bytes", "disk"):
        assert value[f"scaling.payload.{name}.100"] < value[f"scaling.payload.{name}.102400"]
    assert value["scaling.payload.disk.102400"] > 102_400


def test_a_whole_run_fills_both_documents(quickest_run: Results) -> None:
    """Nothing that the documents show is missing in a run of all suites."""
    short, full = documents(Kept(whole=quickest_run)).values()
    assert "not measured" not in short
    for table in quickest_run.tables:
        assert table.method in full


def test_a_failing_suite_says_why_and_gives_no_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command fails with what the suite said, and writes no results."""

    def fail(name: str, *_: object) -> Table:
        raise SuiteFailed(f"{name} failed with exit code 1:\nit lost a span")

    monkeypatch.setattr("benchmarks.cli.run_in_child", fail)
    assert main(["run", "ring", "--save", str(tmp_path / "results.json")]) == 2
    assert "it lost a span" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_a_child_that_talks_too_much_still_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However much a child complains, its parent neither waits for ever nor loses the end of it."""
    program = tmp_path / "talkative"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stderr.write('x' * 300_000 + 'the end')\nsys.exit(3)\n")
    program.chmod(0o755)
    monkeypatch.setattr(child.sys, "executable", str(program))
    with pytest.raises(SuiteFailed, match="exit code 3") as failed:
        run_in_child("ring", QUICKEST, lambda *_: None)
    assert str(failed.value).endswith("the end")


def test_nobodys_settings_reach_a_suite() -> None:
    """Variables that change what a program or its interpreter does stay behind; those that say where things are go."""
    told = dict.fromkeys(
        ("TRACECORE_BACKEND", "OTEL_SDK_DISABLED", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONHASHSEED"),
        "1",
    )
    there = {"PATH": "/bin", "PYTHONHOME": "/usr", RIVALS_FOLDER: "/rivals"}
    path = os.pathsep.join(filter(None, sys.path))
    assert child.without_settings(told | there) == there | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nonsense"], "no suite is called 'nonsense'"), (["--rounds", "0"], "at least one is needed")],
)
def test_misuse_is_refused_before_anything_runs(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite that is not there, and no rounds, end at once with what is wrong."""
    assert main(["run", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_a_word_everything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m benchmarks`` runs every suite that need not be asked for, whole, beside a busy host too."""
    ran: list[tuple[str, Settings]] = []

    def note(name: str, settings: Settings, _: object) -> Table:
        ran.append((name, settings))
        return Table(suite=name, title=name, method="", rows=[])

    monkeypatch.setattr("benchmarks.cli.run_in_child", note)
    assert main([]) == 0
    assert ran == [(name, Settings()) for name in UNASKED]


def test_the_list_names_every_suite(capsys: pytest.CaptureFixture[str]) -> None:
    """``list`` shows each suite with what it measures."""
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SUITES)
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize(
    ("one_more", "said"),
    [("sink.records", "null sink"), ("journal_sink.records", "journal"), ("kept_in_memory", "memory")],
)
def test_the_ladder_believes_its_sinks_only(one_more: str, said: str) -> None:
    """A span that a sink has and nobody made, or the other way round, is an error, whatever the recorder says."""
    program = f"from benchmarks.ladder import Ladder; ladder = Ladder(calls=1); ladder.{one_more} += 1; ladder.check(0)"
    environment = child.without_settings(os.environ)
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert run.returncode == 1
    assert f"{said}: expected 0 spans, found 1" in run.stderr


def test_a_bad_round_of_the_bare_call_makes_no_piece_of_a_call_smaller() -> None:
    """The anatomy of a call subtracts leasts: a round in which the bare call was slow is none of them."""
    taken = {
        anatomy_call._BARE: [100.0, 900.0], anatomy_call._WHOLE: [2_100.0, 2_200.0], anatomy_call._NOTHING: [500.0] * 2
    } | {piece.key: [1_900.0, 2_000.0] for piece in anatomy_call._PIECES}  # fmt: skip
    whole, *pieces, left = (row.value for row in anatomy_call._rows(taken))
    assert (whole, set(pieces), left) == (2_000.0, {200.0}, 400.0)


def test_workloads_are_captured_as_they_say() -> None:
    """The payloads of the call ladder are the JSON, and have the sizes, that its tables speak of."""
    assert binder(answer)(ARGUMENTS, {}) == ARGUMENTS_JSON
    assert binder(search)(SEARCH_ARGUMENTS, {}) == SEARCH_ARGUMENTS_JSON
    assert encoded(RESULT) == RESULT_JSON
    assert encoded(SEARCH_RESULT) == SEARCH_RESULT_JSON
    assert (len(ARGUMENTS_JSON), len(RESULT_JSON)) == (116, 84)
    assert json.loads(RESULT_JSON) == RESULT
