"""Tables on a terminal: with rich and without, wide and narrow, and never acting on it."""

from __future__ import annotations

import re
import sys

import pytest

from tracecore.cli.output import Column, note, print_json, print_table
from tracecore.cli.plain_table import width

COLUMNS = (Column("id", firm=True), Column("name\x1b[31m"), Column("cost", "right"))
ROWS = [["01a20ac9e1117e562e6c", "[red]not markup[/red]\x1b]0;title\x07", "$0.0125"]]


def be_terminal(monkeypatch: pytest.MonkeyPatch, *, columns: int = 100) -> None:
    """Make stdout a terminal, as far as can be told; called by the test, because a fixture has another stdout."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_rich_draws_and_adds_colour_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the headings are bold; text that looks like markup or an escape is shown as it is stored."""
    be_terminal(monkeypatch)
    print_table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert plain != out
    assert "\x1b" not in plain
    assert "\x07" not in plain
    assert r"[red]not markup[/red]\x1b]0;title\x07" in plain


def test_without_rich_the_table_is_plain(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing rich changes the looks only."""
    be_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    print_table(COLUMNS, ROWS)
    assert "\x1b" not in capsys.readouterr().out


def test_no_column_disappears_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a table does not fit, its lines are wrapped rather than its columns left out."""
    be_terminal(monkeypatch, columns=30)
    print_table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert "01a20ac9e1117e562e6c" in out
    assert "$0.0125" in out


@pytest.mark.parametrize("columns", range(60, 160, 3))
def test_a_number_is_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Whatever the width, texts give way and end in an ellipsis; numbers, ids and headings stay whole."""
    shown = (
        Column("id", firm=True),
        Column("user"),
        Column("session"),
        Column("tokens", "right"),
        Column("usd", "right"),
    )
    row = ["01a20ac9e1117e562e6c", "東京" * 5, "s" * 180, "2,037,050,400", "$20,370.24"]
    be_terminal(monkeypatch, columns=columns)
    print_table(shown, [row])
    head, line = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert head.split() == [column.heading for column in shown]
    assert line.split()[0] == row[0]
    assert line.split()[-2:] == row[-2:]
    assert line.split()[2] == "s" * (len(line.split()[2]) - 1) + "…"
    narrowest = 20 + 8 + 8 + 13 + 10 + 4 * 2
    assert width(line) <= columns or columns < narrowest


def test_a_wide_table_that_fits_nowhere_near(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must not be cut, as with ``sql --full``, is written out whole on a terminal too."""
    be_terminal(monkeypatch, columns=40)
    print_table((Column("prompt", limit=sys.maxsize, firm=True), Column("n", "right")), [["word " * 50, "1"]])
    assert "word " * 50 in capsys.readouterr().out


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not a terminal gets no colours, and every row one line."""
    print_table(COLUMNS, [*ROWS, ["a\nb", "", ""]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)


def test_json_and_notes_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """Both other ways to print make hidden characters visible too, and notes stay off stdout."""
    print_json({"a": "\u202e\x9b"})
    note("\x1b[2J")
    captured = capsys.readouterr()
    assert captured.out == '{"a":"\\u202e\\u009b"}\n'
    assert captured.err == "\\x1b[2J\n"
