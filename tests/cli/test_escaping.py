"""Nothing that was recorded can act on a terminal: properties of escaping."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.cli.escaping import harmless_json, visible, visible_lines

# Default_Ignorable_Code_Point of Unicode that is in no category C, from DerivedCoreProperties.txt.
IGNORABLE = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
IGNORABLE |= set(range(0xE0000, 0xE1000))
ANY_TEXT = st.text(st.characters())  # surrogates, controls and the unassigned included


def assert_harmless(text: str) -> None:
    """Fail unless each character is seen as itself."""
    for character in text:
        assert unicodedata.category(character)[0] != "C", hex(ord(character))
        assert unicodedata.category(character) not in {"Zl", "Zp"}
        assert ord(character) not in IGNORABLE


@given(ANY_TEXT)
def test_nothing_hidden_comes_out(text: str) -> None:
    """No control, format, surrogate, unassigned or ignorable character and no line break survives."""
    assert_harmless(visible(text))


@given(ANY_TEXT)
def test_lines_hide_nothing_either(text: str) -> None:
    """Text of several lines is harmless line by line."""
    for line in visible_lines(text):
        assert_harmless(line)


def test_every_character_there_is() -> None:
    """Each code point of Unicode is either shown as itself or as an escape."""
    for start in range(0, 0x110000, 0x1000):
        block = "".join(map(chr, range(start, start + 0x1000)))
        shown = set(visible(block))
        assert_harmless("".join(shown))
        assert all(character in shown or visible(character).startswith("\\") for character in block)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_stays(text: str) -> None:
    """Printable ASCII is not touched."""
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil", r"\u202eevil"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("a\nb\tc\rd\0", r"a\nb\tc\rd\x00"),
        ("\ud800", r"\ud800"),
        ("naïve 東京 🙂 Привет", "naïve 東京 🙂 Привет"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    """Escape sequences, overrides and invisible characters are written out; any script stays readable."""
    assert visible(text) == shown


@given(
    st.recursive(st.none() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner))
)
def test_json_keeps_its_meaning(value: object) -> None:
    """JSON for a program means the same, and is harmless on a terminal too."""
    document = json.dumps(value, ensure_ascii=False)
    safe = harmless_json(document)
    assert json.loads(safe) == json.loads(document)
    assert_harmless(safe.replace("\n", ""))
