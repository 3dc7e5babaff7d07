"""Trees of spans: written down, grown from what ended, and compared."""

from __future__ import annotations

import pytest

from tracecore.testing.tracers import Finished
from tracecore.testing.tracers.trees import Tree, by_name, drawn, grown, left_over, parsed


def test_a_tree_is_read_as_it_is_written() -> None:
    """Indentation, statuses and counts, with names of several words."""
    assert parsed("""
        the consumer
          numbers: cancelled
            step * 2
          *: any
    """) == (
        Tree(
            "the consumer",
            inside=(Tree("numbers", "cancelled", (Tree("step"), Tree("step"))), Tree("*", "any")),
        ),
    )
    assert parsed("") == ()


@pytest.mark.parametrize("text", ["one\n    two", "one\n  two\n   three", "one\n two"])
def test_a_tree_that_is_indented_otherwise_is_refused(text: str) -> None:
    """A slip in the text of a case is an error and no other tree."""
    with pytest.raises(ValueError, match="is indented by"):
        parsed(text)


def test_spans_grow_to_trees_by_their_ids() -> None:
    """Parents are found whatever the order."""
    spans = [Finished("b", "2", "1", "t", "error"), Finished("a", "1", None, "t", "ok")]
    assert grown(spans).trees == (Tree("a", inside=(Tree("b", "error"),)),)
    assert grown(spans).wrong == ()


def test_what_is_wrong_whatever_was_expected() -> None:
    """A second end, a parent that never ended, two traces in one tree, one trace with two roots."""
    root = Finished("a", "1", None, "t", "ok")
    assert grown([root, root]).wrong == ("a ended 2 times",)
    assert grown([Finished("b", "2", "1", "t", "ok")]).wrong == ("b is below a span that has not ended",)
    assert grown([root, Finished("b", "2", "1", "u", "ok")]).wrong == ("b is in another trace than a",)
    assert grown([root, Finished("b", "2", None, "t", "ok")]).wrong == ("2 roots share a trace",)


@pytest.mark.parametrize(
    ("expected", "found", "missing", "surplus"),
    [
        ("a\nb", "b\na", "nothing", "nothing"),
        ("a\n  b\n  c", "a\n  c\n  b", "nothing", "nothing"),
        ("a\n  b", "a\n  c", "a(b)", "a(c)"),
        ("a", "a\na", "nothing", "a"),
        ("*\na", "a\nb", "nothing", "nothing"),
        ("*", "", "*", "nothing"),
    ],
)
def test_trees_are_compared_without_order(expected: str, found: str, missing: str, surplus: str) -> None:
    """What is left on either side is what differs; what fits everything takes nothing from what fits one thing."""
    left = left_over(parsed(expected), parsed(found), by_name)
    assert (drawn(left[0]), drawn(left[1])) == (missing, surplus)


def test_what_may_be_missing_may_be_there() -> None:
    """An optional span is matched, and not missed."""
    expected = (Tree("a", inside=(Tree("b", "any", optional=True),)),)
    for found in ("a", "a\n  b: error"):
        assert left_over(expected, parsed(found), by_name) == ((), ())
    assert drawn(expected) == "a(b?: any)"
    assert left_over(expected, parsed("a\n  c"), by_name)[0] == expected


def test_a_long_drawing_is_cut() -> None:
    """A thousand different spans do not fill the screen."""
    assert drawn([Tree("a")] * 3) == "a * 3"
    assert len(drawn(Tree(f"span {number}") for number in range(1_000))) < 500
