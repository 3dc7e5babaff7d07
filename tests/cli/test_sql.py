"""``tracecore sql``: whatever comes out of the file is shown, none of it acts on the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from tests.cli.recorded import Cli, Store
from tracecore.records import Record


@pytest.fixture
def url(stored: Store, sample: list[Record]) -> str:
    """Return the URL of a file with the sample in it."""
    return stored(sample, "sqlite:///traces.db")


def test_an_answer_is_a_table(cli: Cli, url: str) -> None:
    """Headings are the names of the columns, numbers stand right, NULL is told apart from empty text."""
    out = cli("sql", "select trace_id as id, total_cost, '' as empty from traces order by start", "--backend", url).out
    lines = out.splitlines()
    assert lines[0].split() == ["id", "total_cost", "empty"]
    assert [line.split()[1] for line in lines[1:]] == ["0.0125", "NULL", "NULL"]


def test_an_answer_as_json(cli: Cli, url: str) -> None:
    """Columns and rows are apart, because two columns may have one name."""
    answer = cli("sql", "select 1 as a, 'x' as a, null, x'00ff'", "--json", "--backend", url).json
    assert answer == {"columns": ["a", "a", "null", "x'00ff'"], "rows": [[1, "x", None, "00ff"]], "truncated": False}


def test_long_answers_are_cut_and_said_to_be(cli: Cli, url: str) -> None:
    """More rows than asked for are mentioned, long cells end in an ellipsis, and both can be had in full."""
    many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50) select i from n"
    cut = cli("sql", many, "--limit", "10", "--backend", url)
    assert len(cut.out.splitlines()) == 11
    assert "more rows than 10" in cut.err
    wide = "select replace(printf('%0200d', 0), '0', 'x') as wide"
    assert "x…" in cli("sql", wide, "--backend", url).out
    assert "x" * 200 in cli("sql", wide, "--full", "--backend", url).out


def test_a_statement_from_standard_input(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads the statement, as long as it may be."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 6 * 7 as answer"))
    assert cli("sql", "-", "--backend", url).out.split() == ["answer", "42"]


@pytest.mark.parametrize(
    "cell", ["char(27) || '[2J'", "char(8238)", "cast(x'ff' as text)", "x'1b5b324a'", "char(0)", "char(55296)", "9e999"]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_hostile_cells(cli: Cli, url: str, cell: str, form: list[str]) -> None:
    """Escapes, overrides, broken text and infinities are shown; none is written as it is, and none is an error."""
    result = cli("sql", f"select {cell} as cell", *form, "--backend", url)
    assert (result.code, result.err) == (0, "")
    assert result.out.replace("\n", "").isprintable()


def test_a_hostile_heading(cli: Cli, url: str) -> None:
    """The name of a column is text like any other."""
    assert "\x1b" not in cli("sql", 'select 1 as "\x1b[2J"', "--backend", url).out


def test_what_runs_too_long_is_ended(cli: Cli, url: str) -> None:
    """A statement has a time after which it is given up."""
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    result = cli("sql", endless, "--timeout", "0.2", "--backend", url)
    assert result.code == 1
    assert result.err.count("\n") == 1


def test_a_view_that_does_not_exist(cli: Cli, url: str) -> None:
    """The error names what is not there, and what is."""
    result = cli("sql", "select * from span", "--backend", url)
    assert result.code == 1
    assert "no such table: span" in result.err
    assert "select from spans, generations, traces, sessions, scores" in result.err


def test_a_number_is_written_as_sqlite_itself_would(cli: Cli, url: str) -> None:
    """A table shows the fifteen digits that mean something; JSON holds the number as it is."""
    statement = "select 5.769999999999999e-05 as usd, 0.1 + 0.2 as ms, 3.0 as whole, 9e15 / 7 as large"
    out = cli("sql", statement, "--backend", url).out
    assert out.splitlines()[1].split() == ["5.77e-05", "0.3", "3.0", "1.28571428571429e+15"]
    assert cli("sql", statement, "--json", "--backend", url).json["rows"][0][:2] == [5.769999999999999e-05, 0.1 + 0.2]


@pytest.mark.parametrize(
    "order",
    [("--json", "-- how many?\nselect 1 as one"), ("--\nselect 1", "--json"), ("--json", "--", "-- 1\nselect 1")],
)
def test_a_statement_may_begin_with_a_comment(cli: Cli, url: str, order: tuple[str, ...]) -> None:
    """What was copied with the comment above it is a statement, and no option; a wrong option is still one."""
    assert cli("sql", "--backend", url, *order).json["rows"] == [[1]]
    assert "No such option '--jso'" in cli("sql", "--jso", "select 1").err


def test_full_means_full_on_a_terminal_too(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of the terminal cuts no cell that was asked for whole."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    wide = "select replace(printf('%0200d', 0), '0', 'x') as wide, 1 as n"
    assert "x" * 200 in cli("sql", wide, "--full", "--backend", url).out
