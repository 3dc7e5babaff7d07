"""Searching: a phrase of whole words in any script, and the fast way equal to the definition."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.phrase import Phrase, contains, is_spaceless, payload_text, words

letters = st.sampled_from('abAB éÉßﬁ-_.,"\\/\n\t12漢字かなカ한글ไทยक्षि।\u0627\u0301\u200dΣς😀\uff21')
texts = st.text(letters, max_size=12)
anything = st.one_of(texts, st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("snake_case kebab-case", ["snake", "case", "kebab", "case"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("Straße", ["strasse"]),
        ("\uff26\uff55\uff4c\uff4c \uff57ide", ["full", "wide"]),
        ("漢字 abc かな", ["漢", "字", "abc", "か", "な"]),
        ("GPT4 costs 3.50", ["gpt4", "costs", "3", "50"]),
        ("ΟΔΟΣ οδος", ["οδοσ", "οδοσ"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा"]),
        ("", []),
        ('{"":[]} — …', []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    """Words are runs of letters and digits, folded; where no spaces are written each character is one."""
    assert words(text) == found


@pytest.mark.parametrize(
    ("text", "phrase", "stands"),
    [
        ("the cat sat", "cat", True),
        ("the cat sat", "CAT, sat", True),
        ("the cat sat", "the sat", False),
        ("concatenate", "cat", False),
        ("cat", "cats", False),
        ("a cat a cat sat", "cat sat", True),
        ("東京都に住む", "京都", True),
        ("東京都に住む", "東都", False),
        ("naïve café", "NAIVE CAFE", True),
        ("anything", "", False),
        ("anything", "?!", False),
        ("", "a", False),
        ("GPT4です", "gpt4", True),
    ],
)
def test_phrases(text: str, phrase: str, stands: bool) -> None:  # noqa: FBT001 - a column of the table
    """A phrase stands in a text when its words stand there one after the other, whole."""
    assert contains(text, phrase) is stands
    assert Phrase(phrase).stands_in(text) is stands


@given(anything, anything)
def test_the_fast_way_is_the_definition(text: str, phrase: str) -> None:
    """Looking for a phrase with patterns finds what comparing lists of words finds."""
    assert Phrase(phrase).stands_in(text) == contains(text, phrase)


@given(anything, anything, anything)
def test_whatever_is_stored_is_found_by_its_own_text(before: str, text: str, after: str) -> None:
    """A text is found by itself, alone or between others that do not run into it."""
    assert Phrase(text).stands_in(f"{before} {text} {after}") is bool(words(text))


@given(anything)
def test_folding_is_done_once(text: str) -> None:
    """Words of words are the same words, so that both sides of a search may be folded on their own."""
    assert words(" ".join(words(text))) == words(text)
    assert words(text.upper()) == words(text.upper().lower())


@given(st.recursive(anything, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3)))
def test_payloads_are_found_however_they_are_escaped(value: object) -> None:
    """Strings of a payload are found whether it was written with escapes or without; half a pair only separates."""
    plain, escaped = msgspec.json.encode(value), json.dumps(value).encode()
    for text in _strings(value):
        for payload in (plain, escaped):
            assert Phrase(text).stands_in_payload(payload) is bool(words(text))
    assert words(payload_text(plain)) == words(payload_text(escaped))


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (rb'"caf\u00e9"', ["cafe"]),
        (rb'"a\nb\tc\"d\/e\\f"', ["a", "b", "c", "d", "e", "f"]),
        (rb'"\\u0041"', ["u0041"]),
        (rb'"\ud83d\ude00 x"', ["x"]),
        (rb'"a\ud83db"', ["a", "b"]),
        (rb'"\ud840\udc0b"', ["\U0002000b"]),
        (b'"\xff\xfea"', ["a"]),
    ],
)
def test_escapes(payload: bytes, found: list[str]) -> None:
    r"""``\uXXXX`` is its character, an escaped backslash begins no escape, and every other escape separates."""
    assert words(payload_text(payload)) == found


def test_characters_of_scripts_without_spaces() -> None:
    """Only one character of such a script is told to be one."""
    assert all(map(is_spaceless, "漢かカ한ไ"))
    assert not any(map(is_spaceless, ["a", "é", "漢字", "", "क", "я", "7"]))


def test_long_texts_take_no_quadratic_time() -> None:
    """A phrase whose first word is everywhere and whose second is nowhere is given up at the first look."""
    assert not Phrase("a b").stands_in("a " * 200_000)
    assert Phrase("a b").stands_in("a " * 200_000 + "b")
