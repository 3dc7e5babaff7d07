"""Tables on a terminal: with rich and without, wide and narrow, and never acting on it."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@given(
    st.lists(st.tuples(st.booleans(), st.text("a東\N{SLIGHTLY SMILING FACE}1", max_size=60)), min_size=1, max_size=9),
    st.integers(min_value=20, max_value=160),
)
@settings(max_examples=50)
def test_a_number_is_never_cut(cells: list[tuple[bool, str]], columns: int) -> None:
    """Whatever the width, rows stay on one line where they can, texts give way, and numbers and ids are whole."""
    shown = [Column(f"c{i}", "right" if number else "left") for i, (number, _) in enumerate(cells)]
    row = [str(10**12 + i) if number else text for i, (number, text) in enumerate(cells)]
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign] # a terminal, as far as can be told
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        be_terminal(patch, columns=columns)
        print_table(shown, [row])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert len(lines) == 2
    assert [word for word in row if word.startswith("1000000000")] == re.findall("1000000000[0-9]{3}", lines[1])
    assert lines[0].split() == [column.heading for column in shown]
    least = sum(13 if number else min(8, max(2, width(text))) for number, text in cells) + 2 * (len(cells) - 1)
    assert max(map(width, lines)) <= columns or least > columns


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
