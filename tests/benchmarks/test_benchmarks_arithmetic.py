"""The arithmetic of the benchmarks: rounds, ratios, percentiles, verdicts and tables."""

from __future__ import annotations

import io
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import machine
from benchmarks.catalogue import GROUPS, SUITES, chosen, load
from benchmarks.figures import FORMAT, Results, Row, Settings, Table
from benchmarks.goals import GOALS, Goal, Verdict, verdicts
from benchmarks.kept import Kept
from benchmarks.measure import interleaved, less, percentile, ratio, row_of, spread_of
from benchmarks.progress import ProgressLine
from benchmarks.tables import cells_of, figure, heading_of, markdown, text_report

SEEDS = st.integers(0, 2**32)
FIGURES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50)


def results_of(*rows: Row, quick: bool = False) -> Results:
    """Return a run of one suite."""
    table = Table(suite="call", title="One call", method="As it is.", rows=list(rows), seconds=1.5, peak_mb=30.0)
    facts = {"CPU": "a processor", "cores": "2 of 2", "Python": "CPython 3.11", "SQLite": "3.40"}
    return Results(
        format=FORMAT, when="2026-01-01 00:00 UTC", facts=facts, settings=Settings(quick=quick), tables=[table]
    )


def silent(_: str, __: float) -> None:
    """Show no progress."""


@given(rounds=st.integers(1, 12), seed=SEEDS)
def test_every_candidate_has_its_turn_in_every_round(rounds: int, seed: int) -> None:
    """Each round runs each candidate once, and the first round is not among the figures."""
    runs: list[str] = []
    candidates = {name: (lambda name=name: float(runs.append(name) or len(runs))) for name in "abc"}
    taken = interleaved(candidates, rounds=rounds, seed=seed, step=silent)
    assert len(runs) == 3 * (rounds + 1)
    for first in range(0, len(runs), 3):
        assert sorted(runs[first : first + 3]) == ["a", "b", "c"]
    for name, figures in taken.items():
        assert figures == [position for position, ran in enumerate(runs, 1) if ran == name][1:]


def test_the_order_of_turns_changes_and_comes_from_the_seed() -> None:
    """Two runs of one seed take turns alike; the order within a round is not always the same."""

    def order(seed: int) -> list[str]:
        runs: list[str] = []
        candidates = {name: (lambda name=name: float(runs.append(name) or 0)) for name in "abcd"}
        interleaved(candidates, rounds=8, seed=seed, step=silent)
        return runs

    assert order(3) == order(3)
    assert order(3) != order(4)
    assert len({tuple(order(3)[first : first + 4]) for first in range(0, 36, 4)}) > 1


def test_progress_goes_from_nothing_to_less_than_all() -> None:
    """Progress is told before each round, the warm-up first, and never goes back."""
    said: list[tuple[str, float]] = []
    interleaved({"a": lambda: 1.0}, rounds=3, seed=1, step=lambda what, share: said.append((what, share)))
    assert [what for what, _ in said] == ["warm-up", "round 1 of 3", "round 2 of 3", "round 3 of 3"]
    assert [share for _, share in said] == [0.0, 0.25, 0.5, 0.75]


def test_what_is_subtracted_belongs_to_the_same_round() -> None:
    """Figures and base are paired, and must be as many."""
    assert less([10.0, 30.0], [1.0, 20.0]) == [9.0, 10.0]
    with pytest.raises(ValueError, match="shorter"):
        less([1.0, 2.0], [1.0])


@given(FIGURES)
def test_a_row_says_median_minimum_and_spread(figures: list[float]) -> None:
    """The middle is the median, the minimum is the least, and the spread is not negative; one round has none."""
    row = row_of("k", "label", "ns", figures, ratios={"x": 2.0}, note="n")
    assert (row.value, row.minimum) == (statistics.median(figures), min(figures))
    assert (row.spread is None) == (len(figures) == 1)
    assert row.spread is None or row.spread >= 0
    if 1 < len(figures) < 4:
        assert row.spread == max(figures) - min(figures)


def test_the_spread_of_many_figures_leaves_outliers_out() -> None:
    """One round that went wrong does not make the spread large."""
    assert spread_of([10.0] * 12 + [9_999.0]) == 0
    assert spread_of([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2.5)


def test_a_ratio_to_nothing_is_nothing() -> None:
    """Dividing by zero yields 0, not an error in the middle of a run."""
    assert ratio(6.0, 2.0) == 3.0
    assert ratio(6.0, 0.0) == 0.0


@given(figures=FIGURES, percent=st.integers(1, 100))
def test_a_percentile_is_a_figure_that_enough_do_not_exceed(figures: list[float], percent: int) -> None:
    """So many percent of all figures are at most the percentile, and it is the least figure of which that is true."""
    found = percentile(figures, percent)
    assert found in figures
    assert sum(one <= found for one in figures) * 100 >= percent * len(figures)
    smaller = [one for one in figures if one < found]
    assert len(smaller) * 100 < percent * len(figures)


@pytest.mark.parametrize(
    ("settings", "rounds", "size"),
    [
        (Settings(), 40, 1_000),
        (Settings(quick=True), 10, 250),
        (Settings(rounds=3), 3, 1_000),
        (Settings(rounds=3, quick=True), 3, 250),
    ],
)
def test_settings_say_how_much(settings: Settings, rounds: int, size: int) -> None:
    """A quick run takes a quarter of rounds and sizes; a number of rounds that is asked for wins."""
    assert (settings.rounds_of(40), settings.size_of(1_000)) == (rounds, size)


def test_a_quick_run_has_at_least_two_rounds() -> None:
    """There is a spread even of the quickest run."""
    assert Settings(quick=True).rounds_of(5) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (7.0, "7"),
        (0.4213, "0.42"),
        (8.146, "8.15"),
        (73.94, "73.9"),
        (218.4, "218"),
        (41_283.2, "41,300"),
        (999.6, "1,000"),
        (1_638, "1,638"),
        (-12.34, "-12.3"),
    ],
)
def test_figures_have_three_digits_that_mean_something(value: float | None, text: str) -> None:
    """A measured figure is rounded to three digits; a count is written as it is."""
    assert figure(value) == text


def test_cells_stand_under_their_headings() -> None:
    """Each row has as many cells as the heading, with each ratio in its own column or an empty cell."""
    first = Row(key="a", label="first", unit="ns", value=2.0, minimum=1.0, spread=0.5, ratios={"p": 4.0}, note="n")
    second = Row(key="b", label="second", unit="ns", value=None, ratios={"q": 0.25})
    table = Table(suite="s", title="t", method="m", rows=[first, second])
    assert heading_of(table) == ["t", "unit", "figure", "min", "spread", "p", "q", ""]
    assert cells_of(first, table.ratio_titles) == ["first", "ns", "2", "1", "0.50", "4 x", "", "n"]
    assert cells_of(second, table.ratio_titles) == ["second", "ns", "-", "", "", "", "0.25 x", ""]


def test_a_bar_in_a_cell_does_not_make_a_column() -> None:
    """Markdown tables escape what would end a cell, and align figures to the right."""
    lines = markdown(["a|b", "n"], [["c|d", "1"]], numbers=range(1, 2)).splitlines()
    assert lines == ["| a\\|b | n |", "| --- | ---: |", "| c\\|d | 1 |"]


def test_a_report_for_a_terminal_names_machine_method_and_time() -> None:
    """What a figure depends on is printed with it."""
    text = text_report(results_of(Row(key="call.off", label="tracing disabled", unit="ns", value=93.5, note="why")))
    for said in ("a processor", "CPython 3.11", "As it is.", "tracing disabled", "93.5", "why", "call: 1.5 s", "30 MB"):
        assert said in text


@pytest.mark.parametrize(
    ("goal", "row", "value", "outcome"),
    [
        (Goal(what="w", key="k", bound=5, unit="ns"), {"value": 5.0}, 5.0, "met"),
        (Goal(what="w", key="k", bound=5, unit="ns"), {"value": 5.1}, 5.1, "missed"),
        (Goal(what="w", key="k", bound=5, unit="ns", least=True), {"value": 5.0}, 5.0, "met"),
        (Goal(what="w", key="k", bound=5, unit="ns", least=True), {"value": 4.9}, 4.9, "missed"),
        (Goal(what="w", key="k", bound=5, unit="ns", minimum=True), {"value": 9.0, "minimum": 4.0}, 4.0, "met"),
        (Goal(what="w", key="k", bound=5, unit="x", column="c"), {"value": 1.0, "ratios": {"c": 6.0}}, 6.0, "missed"),
        (Goal(what="w", key="k", bound=5, unit="x", column="c"), {"value": 1.0}, None, "not measured"),
        (Goal(what="w", key="k", bound=5, unit="ns"), {"value": None}, None, "not measured"),
        (Goal(what="w", key="other", bound=5, unit="ns"), {"value": 1.0}, None, "not measured"),
    ],
)
def test_a_goal_is_met_missed_or_not_measured(
    goal: Goal, row: dict[str, object], value: float | None, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound is met when it is reached exactly; a figure that is not there meets nothing and misses nothing."""
    monkeypatch.setattr("benchmarks.goals.GOALS", (goal,))
    [verdict] = verdicts(Kept(whole=results_of(Row(key="k", label="l", unit="ns", **row))))  # type: ignore[arg-type]  # by name
    assert (verdict.value, verdict.outcome) == (value, outcome)


def test_a_quick_run_is_not_judged_by_what_it_did_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A goal about a million spans says nothing of a run that stored five thousand."""
    goal = Goal(what="w", key="k", bound=5, unit="ns", whole=True)
    monkeypatch.setattr("benchmarks.goals.GOALS", (goal,))
    row = Row(key="k", label="l", unit="ns", value=1.0)
    assert [verdict.outcome for verdict in verdicts(Kept(whole=results_of(row)))] == ["met"]
    assert [verdict.outcome for verdict in verdicts(Kept(whole=results_of(row, quick=True)))] == ["not measured"]


def test_a_remark_is_shown_where_the_goal_is_missed() -> None:
    """What remains, and why, is said of missed goals only."""
    goal = Goal(what="w", key="k", bound=1_500, unit="ns", remark="because")
    assert Verdict(goal, 1_600.0, "missed").cells == ["w", "≤ 1,500 ns", "1,600 ns", "missed", "because"]
    assert Verdict(goal, 1_400.0, "met").cells[-1] == ""
    assert Verdict(goal, None, "not measured").cells[2] == "-"


def test_goals_are_distinct_and_of_known_suites() -> None:
    """No goal is there twice, and each belongs to a suite."""
    assert len({(goal.key, goal.column, goal.large) for goal in GOALS}) == len(GOALS)
    assert {goal.key.partition(".")[0] for goal in GOALS} <= GROUPS


def test_suites_are_chosen_by_name_and_by_group() -> None:
    """Nothing asked for means all that need not be; a group means its suites; order is the catalogue's."""
    assert chosen([]) == [suite.name for suite in SUITES.values() if not suite.only_asked]
    assert chosen(["soak"]) == ["soak"]
    assert chosen([], rivals=True) == chosen(["rivals"]) == [name for name in SUITES if name.startswith("rivals/")]
    assert chosen(["call"], rivals=True) == ["call", *chosen(["rivals"])]
    assert chosen(["ring", "call"]) == ["call", "ring"]
    rejected = chosen(["rejected"])
    assert len(rejected) >= 5
    assert all(name.startswith("rejected/") for name in rejected)
    assert chosen(["rejected/index_ring", "rejected"]) == rejected
    with pytest.raises(KeyError, match="nonsense"):
        chosen(["nonsense"])


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_can_be_loaded(name: str) -> None:
    """The catalogue names modules that exist and can run."""
    assert callable(load(name))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_progress_is_drawn_over_all_suites_and_taken_away() -> None:
    """The bar counts suites that are done, and nothing of it stays."""
    terminal = Terminal()
    line = ProgressLine(2, terminal)
    line.show("call", "round 1", 0.5)
    line.suite_done()
    line.show("ring", "round 1", 0.5)
    line.clear()
    shown = terminal.getvalue()
    assert " 25%  call: round 1" in shown
    assert " 75%  ring: round 1" in shown
    assert shown.endswith("\r\x1b[K")


def test_progress_is_silent_where_nobody_looks() -> None:
    """A log file gets no bar."""
    stream = io.StringIO()
    line = ProgressLine(1, stream)
    line.show("call", "round 1", 0.5)
    line.clear()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"load before": "1.01", "cores": "2 of 4"}, "1.01 on 2 cores"),
        ({"load before": "1.00", "cores": "2 of 4"}, ""),
        ({"load before": "unknown", "cores": "2 of 4"}, ""),
        ({}, ""),
    ],
)
def test_busyness_begins_at_half_a_core_per_core(facts: dict[str, str], said: str) -> None:
    """A machine that did something else is named with its load; one that does not tell is not suspected."""
    assert machine.busyness(facts) == said
