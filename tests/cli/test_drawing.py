"""Trees, waterfalls, excerpts and tables: nothing is missing, nothing hides, nothing breaks the frame."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.cli.escaping import is_harmless
from tracecore.cli.output import Column
from tracecore.cli.payloads import excerpt, full_lines
from tracecore.cli.plain_table import cut, draw, pad, width
from tracecore.cli.tree import branches
from tracecore.cli.waterfall import Axis, waterfall
from tracecore.records import STATUSES, ErrorInfo, Generation, Observation, Span

IDS = st.sampled_from(["a", "b", "c", "d", "e", "f"])
TIMES = st.integers(min_value=0, max_value=2**63 - 1)
TEXT = st.text(st.characters(), max_size=30)


@st.composite
def traces(draw: Any) -> list[Observation]:
    """Draw the observations of one trace, with parents, times and texts that make no sense."""
    ids = draw(st.lists(IDS, unique=True))
    return [
        Generation(
            "p", "t", span_id, draw(TEXT), draw(TIMES),
            parent_id=draw(st.none() | IDS | st.just("elsewhere")),
            duration_ns=draw(st.none() | TIMES),
            status=draw(st.sampled_from(STATUSES)),
            status_message=draw(st.none() | TEXT),
            error=draw(st.none() | st.builds(ErrorInfo, TEXT, TEXT, TEXT)),
            input=msgspec.Raw(draw(st.binary(max_size=40))),
            model=draw(st.none() | TEXT),
            usage_details=draw(st.none() | st.dictionaries(TEXT, st.integers())),
            total_cost=draw(st.none() | st.floats()),
        )
        for span_id in ids
    ]  # fmt: skip


@given(traces())
def test_every_observation_is_placed_once(spans: list[Observation]) -> None:
    """Orphans and circles included, each observation comes once, and never before a parent that is in the tree."""
    placed = branches(spans)
    assert sorted(branch.observation.span_id for branch in placed) == sorted(span.span_id for span in spans)
    position = {branch.observation.span_id: i for i, branch in enumerate(placed)}
    for branch in placed:
        if branch.depth:
            assert position[str(branch.observation.parent_id)] < position[branch.observation.span_id]


def test_children_follow_their_parent_by_time() -> None:
    """Siblings stand in the order of their starts, each followed by what is below it."""
    spans = [
        Span("p", "t", "late", "late", 30, parent_id="root"),
        Span("p", "t", "early", "early", 10, parent_id="root"),
        Span("p", "t", "below", "below", 40, parent_id="early"),
        Span("p", "t", "root", "root", 0),
    ]
    assert [(b.observation.name, b.depth) for b in branches(spans)] == [
        ("root", 0), ("early", 1), ("below", 2), ("late", 1),
    ]  # fmt: skip


def test_only_a_lost_parent_makes_an_orphan() -> None:
    """An observation whose parent is in another service is the root of this one's part."""
    lost = Span("p", "t", "a", "a", 0, parent_id="gone")
    entered = Span("p", "t", "b", "b", 1, parent_id="remote", app_root=True)
    assert [branch.orphan for branch in branches([lost, entered])] == [True, False]


def test_a_chain_of_twenty_thousand_is_drawn() -> None:
    """Depth costs neither recursion nor quadratic memory, and lines stay of a width."""
    spans = [Span("p", "t", f"{i}", "n", i, parent_id=f"{i - 1}" if i else None, duration_ns=1) for i in range(20_000)]
    lines = waterfall(spans, columns=100)
    assert len(lines) == 20_000
    assert max(map(width, lines)) <= 100


@given(traces(), st.integers(min_value=80, max_value=300))
def test_no_line_is_longer_than_the_terminal(spans: list[Observation], columns: int) -> None:
    """A line that a terminal wraps breaks the tree and the bars."""
    assert max(map(width, waterfall(spans, columns=columns)), default=0) <= columns


@pytest.mark.parametrize("columns", [80, 120, 160])
def test_bars_stand_below_each_other(columns: int) -> None:
    """Thirty levels, long and wide names, every status: all bars begin and end in the same columns, nothing is lost."""
    names = ["a name as long as a sentence that goes on and on", "東京タワーを検索する", "x"]
    chain = [
        Generation(
            "p", "t", f"{i:02}", names[i % 3], i, parent_id=f"{i - 1:02}" if i else None, duration_ns=60 - i,
            type="generation", status=STATUSES[i % 5], model="a-model-with-a-name", usage_details={"input": 10**6},
            total_cost=1.5, completion_start_ns=i,
        )
        for i in range(30)
    ]  # fmt: skip
    lines = waterfall(chain, columns=columns)
    bars = [line for line in lines if line.count("|") == 2]
    assert len(bars) == 30
    assert len({(width(line[: line.index("|")]), width(line[: line.rindex("|")])) for line in bars}) == 1
    assert max(map(width, lines)) <= columns
    assert sum("first token" in line for line in lines) == 30


def test_facts_stand_beside_the_bar_where_there_is_room() -> None:
    """Model, tokens and cost are in the bar's line on a wide terminal, and in one of their own on a narrow one."""
    call = Generation("p", "t", "a", "call", 0, duration_ns=1, model="large-language-model-2", total_cost=1.5)
    assert ["large-language-model-2" in line for line in waterfall([call], columns=80)] == [True]
    assert ["large-language-model-2" in line for line in waterfall([call], columns=50)] == [False, True]


def test_folded_levels_keep_the_tree_in_line() -> None:
    """Where the outer lines have no room, their number stands in their place, and the names below stay aligned."""
    spans = [Span("p", "t", f"{i}", "n", i, parent_id=f"{i - 1}" if i else None, duration_ns=1) for i in range(130)]
    lines = waterfall(spans, columns=100)
    assert {line.index("└") for line in lines[12:]} == {33}
    assert (lines[13][:5], lines[22][:5], lines[129][:6]) == ("(3)  ", "(12) ", "(119) ")


@given(traces(), st.booleans(), st.integers(min_value=10, max_value=300))
def test_a_waterfall_hides_nothing(spans: list[Observation], full: bool, columns: int) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Whatever is stored, each observation has a line and every character on it can be seen."""
    lines = waterfall(spans, columns=columns, full=full)
    assert sum("|" in line for line in lines) >= len(spans)
    assert all(is_harmless(character) for line in lines for character in line)


@given(TIMES, TIMES, TIMES, TIMES, st.integers(min_value=1, max_value=60))
def test_a_bar_fits_its_axis(start: int, end: int, first: int, last: int, cells: int) -> None:
    """A bar is as wide as the axis and has at least one cell filled, also for times outside."""
    bar = Axis(start, end, cells).bar(first, last)
    assert len(bar) == cells
    assert "█" in bar
    assert "█ █" not in bar.strip()


@pytest.mark.parametrize(
    ("payload", "columns", "shown"),
    [
        (b'"two\\nlines  \\ud83d\\ude42"', 40, "two lines 🙂"),
        (b'{"a": 1}', 40, '{"a": 1}'),
        (b'"' + b"x" * 5000 + b'"', 10, "xxxxxxxxx…"),
        (b'"\\u001b[2J"', 40, "\\x1b[2J"),
        (b'"\\ud800"', 40, "\\ud800"),
        (b"not json \xff", 40, "not json \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_excerpts(payload: bytes, columns: int, shown: str) -> None:
    """A string is shown as what it says, anything else as JSON, on one line, cut with an ellipsis."""
    assert excerpt(msgspec.Raw(payload), columns) == shown


@given(st.binary(), st.integers(min_value=2, max_value=80))
def test_an_excerpt_of_anything_fits(payload: bytes, columns: int) -> None:
    """No bytes make an excerpt raise or grow beyond its columns, and the whole is shown without raising too."""
    assert width(excerpt(msgspec.Raw(payload), columns)) <= columns
    assert full_lines(msgspec.Raw(payload))


@given(TEXT, st.integers(min_value=2, max_value=40))
def test_cut_and_pad_know_the_width_of_characters(text: str, columns: int) -> None:
    """A cut text fits, and a padded one is exactly as wide as asked for, wide characters included."""
    short = cut(text, columns)
    assert width(short) <= columns
    assert width(pad(short, columns)) == columns


def test_a_table_is_aligned() -> None:
    """Columns start at the same place in every line, numbers end there."""
    columns = [Column("name"), Column("n", "right"), Column("note", limit=5)]
    assert draw(columns, [["東京", "1", "long text"], ["a", "1,000", ""]]) == [
        "name      n  note",
        "東京      1  long…",
        "a     1,000",
    ]
