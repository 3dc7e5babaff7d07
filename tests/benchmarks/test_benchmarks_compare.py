"""Two runs are compared figure by figure: what changed beyond the spreads, which way, and what else was different."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import kept
from benchmarks.cli import main
from benchmarks.compare import OF_BYTES, TAKEN_ONCE, Comparison, compared, text_of, verdict_of
from benchmarks.figures import FORMAT, Results, Row, Settings, Table, write_results

FACTS = {"CPU": "a processor", "cores": "2 of 2", "load before": "0.10", "SQLite": "3.40"}
UNITS = ("ns", "µs", "ms", "s", "bytes", "MB", "spans/s", "rows/s", "MB/s", "x", "%", "spans", "")
FIGURES = st.floats(0.001, 1e9)


def row(value: float | None, unit: str = "ns", *, spread: float | None = 0.0, key: str = "call.nested") -> Row:
    """Return one figure."""
    return Row(key=key, label="a label", unit=unit, value=value, spread=spread)


def run(*rows: Row, settings: Settings | None = None, **facts: str) -> Results:
    """Return a run with these figures, on a machine of which something is different."""
    table = Table(suite="call", title="One call", method="As it is.", rows=list(rows))
    return Results(format=FORMAT, when="now", facts=FACTS | facts, settings=settings or Settings(), tables=[table])


def saved(folder: Path, name: str, results: Results) -> str:
    """Return the path of a results file."""
    write_results(results, folder / name)
    return str(folder / name)


@given(unit=st.sampled_from(UNITS), old=FIGURES, new=FIGURES, spreads=st.tuples(FIGURES, FIGURES))
def test_a_difference_within_the_greater_spread_is_none(
    unit: str, old: float, new: float, spreads: tuple[float, float]
) -> None:
    """Figures are the same exactly where they differ by no more than the greater of both spreads."""
    verdict = verdict_of(row(old, unit, spread=spreads[0]), row(new, unit, spread=spreads[1]))
    assert (verdict == "same") == (abs(new - old) <= max(spreads))


@pytest.mark.parametrize(
    ("unit", "down", "up"),
    [
        *((unit, ("faster", False), ("slower", True)) for unit in ("ns", "µs", "ms", "s")),
        *((unit, ("slower", True), ("faster", False)) for unit in ("spans/s", "rows/s", "MB/s")),
        *((unit, ("less", False), ("more", True)) for unit in ("bytes", "MB")),
        *((unit, ("less", True), ("more", False)) for unit in ("x", "%")),
        *((unit, ("less", False), ("more", False)) for unit in ("spans", "items", "")),
    ],
)
def test_the_unit_says_which_way_is_worse(unit: str, down: tuple[str, bool], up: tuple[str, bool]) -> None:
    """Times and sizes are better low, rates and shares high; of a count nobody but its suite can say."""
    for new, expected in ((50.0, down), (200.0, up), (100.0, ("same", False))):
        [change] = compared(run(row(100.0, unit)), run(row(new, unit))).figures
        assert (change.verdict, change.worse) == expected


@pytest.mark.parametrize(
    ("unit", "part"), [("ms", TAKEN_ONCE), ("MB", TAKEN_ONCE), ("bytes", OF_BYTES), ("spans", 0.0)]
)
def test_a_figure_taken_once_varies_by_a_tenth_unless_it_is_exact(unit: str, part: float) -> None:
    """Where no spread is known, a measured figure has leave to differ a little, bytes have less, and counts none."""
    old = row(1_000.0, unit, spread=None)
    assert verdict_of(old, row(1_000.0 * (1 + part), unit, spread=None)) == "same"
    assert verdict_of(old, row(1_000.0 * (1 + part) + 120.0, unit, spread=None)) != "same"


def test_a_ratio_is_given_where_it_means_something() -> None:
    """New ÷ old needs both above zero; a difference of two lags may be neither."""
    assert compared(run(row(4.0)), run(row(6.0))).figures[0].ratio == 1.5
    for old, new in ((0.0, 6.0), (-1.0, 6.0), (4.0, 0.0)):
        assert compared(run(row(old)), run(row(new))).figures[0].ratio is None


def test_what_only_one_run_took_is_listed() -> None:
    """A key that is new or gone, a figure that could not be taken, and one in another unit are not compared."""
    old = run(
        row(1.0, key="call.gone"), row(1.0, key="call.both"), row(1.0, "ns", key="call.unit"), row(1.0, key="a.b")
    )
    new = run(
        row(1.0, key="call.both"), row(1.0, "µs", key="call.unit"), row(None, key="a.b"), row(2.0, key="call.new")
    )
    comparison = compared(old, new)
    assert [change.key for change in comparison.figures] == ["call.both"]
    assert (comparison.only_old, comparison.only_new) == (["call.gone", "call.unit", "a.b"], ["call.unit", "call.new"])
    text = text_of(comparison)
    assert "only in the old run: call.gone, call.unit, all 1 of a\n" in text
    assert "only in the new run: call.unit, call.new\n" in text


def test_other_machines_versions_and_settings_are_named_first() -> None:
    """Whoever reads figures learns before them that the runs are not alike; a quiet machine's load is not news."""
    old = run(row(1.0))
    new = run(row(9.0), settings=Settings(rounds=2), SQLite="3.50", uvloop="0.23", **{"load before": "0.90"})
    assert compared(old, new).warnings == [
        "SQLite: 3.40 in the old run, 3.50 in the new one",
        "uvloop: not said in the old run, 0.23 in the new one",
        "setting rounds: None in the old run, 2 in the new one",
    ]
    text = text_of(compared(old, new))
    assert text.startswith("warning: SQLite")
    assert text.index("warning: setting") < text.index("call.nested")


def test_a_machine_that_was_busy_before_a_run_is_named() -> None:
    """Above half of its cores the load makes figures somebody else's."""
    quiet, busy = run(row(1.0)), run(row(1.0), **{"load before": "1.01"})
    assert compared(quiet, busy).warnings == ["load before the new run was 1.01 on 2 cores"]
    assert compared(busy, quiet).warnings == ["load before the old run was 1.01 on 2 cores"]
    assert compared(quiet, run(row(1.0), **{"load before": "unknown"})).warnings == []


def test_changes_are_shown_and_the_rest_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures that stayed the same are left out unless ``--all``, in tables as in JSON."""
    rows = [row(100.0, key="call.nested"), row(5.0, key="call.off")]
    old = saved(tmp_path, "old.json", run(*rows))
    new = saved(tmp_path, "new.json", run(row(150.0, key="call.nested"), rows[1]))
    assert main(["compare", old, new]) == 0
    shown = capsys.readouterr().out
    assert ["call.nested", "ns", "100", "150", "1.50", "x", "slower", "a", "label"] in map(
        str.split, shown.splitlines()
    )
    assert "call.off" not in shown
    assert "2 figures compared: 1 slower, 1 same" in shown
    assert main(["compare", old, new, "--all"]) == 0
    assert "call.off" in capsys.readouterr().out
    for everything, keys in ((), ["call.nested"]), (("--all",), ["call.nested", "call.off"]):
        assert main(["compare", old, new, "--json", *everything]) == 0
        said = msgspec.json.decode(capsys.readouterr().out, type=Comparison)
        assert [change.key for change in said.figures] == keys


@pytest.mark.parametrize(
    ("new", "percent", "code"),
    [
        (row(150.0, "ns"), "49", 1),
        (row(150.0, "ns"), "50", 0),
        (row(150.0, "ns", spread=60.0), "0", 0),
        (row(50.0, "ns"), "0", 0),
        (row(50.0, "spans/s"), "49", 1),
        (row(150.0, "spans/s"), "0", 0),
        (row(150.0, "spans"), "0", 0),
    ],
)
def test_a_figure_that_got_worse_fails_where_asked(new: Row, percent: str, code: int, tmp_path: Path) -> None:
    """``--fail-above`` fails for what is worse, beyond the spread, and by more than so many percent."""
    before = saved(tmp_path, "old.json", run(row(100.0, new.unit)))
    after = saved(tmp_path, "new.json", run(new))
    assert main(["compare", before, after, "--fail-above", percent]) == code
    assert main(["compare", before, after]) == 0


def test_worse_than_nothing_is_worse_by_any_percent(tmp_path: Path) -> None:
    """A lag that was zero and is not any more fails whatever the bound."""
    old, new = saved(tmp_path, "o.json", run(row(0.0, "ms"))), saved(tmp_path, "n.json", run(row(3.0, "ms")))
    assert main(["compare", old, new, "--fail-above", "1e6"]) == 1


def test_the_kept_runs_have_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``latest`` and ``rivals`` mean the results that the documents show."""
    for constant, name, value in (("LATEST", "latest.json", 1.0), ("RIVALS", "rivals.json", 2.0)):
        monkeypatch.setattr(kept, constant, Path(saved(tmp_path, name, run(row(value)))))
    assert main(["compare", "latest", "rivals"]) == 0
    assert "2 x" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "not JSON"])
def test_what_holds_no_results_is_an_error_in_one_sentence(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not there, or is something else, ends the command with its name and exit code 2."""
    other = tmp_path / "other.json"
    if content is not None:
        other.write_text(content)
    good = saved(tmp_path, "good.json", run(row(1.0)))
    for old, new in ((good, str(other)), (str(other), good)):
        assert main(["compare", old, new]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"error: cannot compare: {other} ")
        assert said.err.count("\n") == 1


def test_a_bound_below_zero_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can get worse by less than nothing."""
    for percent in ("-1", "nan"):
        assert main(["compare", "latest", "latest", "--fail-above", percent]) == 2
        assert "zero or more" in capsys.readouterr().err
