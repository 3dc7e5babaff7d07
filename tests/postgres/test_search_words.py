"""Whatever stands in a text is proposed by the search index: its words have the numbers that are asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracecore.phrase import Phrase, contains
from tracecore.testing.strategies import phrases, texts
from tracecore_postgres.search import holds, indexed_words, wanted_words

NOTHING = (None,) * 6


def stored(text: str) -> tuple[str | None, ...]:
    """Return the searched columns of an observation whose status message is a text."""
    return (None, None, None, text, None, None)


@given(st.lists(st.one_of(texts, phrases), max_size=4).map(" ".join), phrases)
@example("東京都に行く", "京")
@example("東京都に行く", "く")
@example("a東b", "東")
@example("I met 東 京 there", "東京")
def test_what_is_held_is_proposed(text: str, phrase: str) -> None:
    """A text that holds a phrase has every number that is asked for."""
    wanted = Phrase(phrase)
    assert holds(wanted, stored(text)) == contains(text, phrase)
    if contains(text, phrase):
        asked = wanted_words("p", wanted)
        assert asked
        assert set(asked) <= set(indexed_words("p", stored(text)))


@given(texts)
def test_a_text_is_proposed_by_itself(text: str) -> None:
    """Every text is proposed where it is asked for as it is."""
    assert set(wanted_words("p", Phrase(text))) <= set(indexed_words("p", stored(text)))


def test_numbers_never_change() -> None:
    """A word has the same number in every version: an index that is there is read by all that follow."""
    assert indexed_words("default", stored("Creme 東京")) == sorted(
        [-1_864_365_921, -1_842_986_257, 454_033_608, 715_588_173, 2_047_941_473]
    )


def test_everything_searched_is_indexed() -> None:
    """Payloads, the message, an error's type and message and its stack are indexed, keys and escapes decoded."""
    columns = ('{"alpha":1}', b'"b\\u0065ta"', "[null]", "gamma", json.dumps({"type": "T", "message": "delta"}), "line")
    found = set(indexed_words("p", columns))
    for word in ("alpha", "beta", "null", "gamma", "T", "delta", "line"):
        assert set(wanted_words("p", Phrase(word))) <= found
        assert holds(Phrase(word), columns)
    assert not set(wanted_words("p", Phrase("u0065ta"))) <= found


def test_projects_are_kept_apart() -> None:
    """An observation of another project is not proposed, and one without any text has its project alone."""
    assert not set(wanted_words("q", Phrase("word"))) <= set(indexed_words("p", stored("word")))
    assert len(indexed_words("p", NOTHING)) == 1


@pytest.mark.parametrize("phrase", ["", " ", "!?", "\0", "\ud800"])
def test_no_word_asks_for_nothing(phrase: str) -> None:
    """A phrase without a word is asked of no index."""
    assert wanted_words("p", Phrase(phrase)) == []


def test_any_word_has_a_number() -> None:
    """Nothing is too long: a number is one of 32 bits with a sign, whatever the word."""
    found = indexed_words("p", stored("x" * 3_000_000 + " " + "字" * 3))
    assert len(found) == 4
    assert all(-(2**31) <= number < 2**31 for number in found)
