"""Texts that PostgreSQL cannot hold are escaped so that nothing is lost, and the order of texts stays what it was."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from tracecore_postgres.packing import NULL, SEPARATOR
from tracecore_postgres.texts import (
    escape,
    has_escapes,
    needs_escaping,
    stored_value,
    stored_values,
    unescape,
    value_of,
    values_of,
)

SPECIAL = "\x00\x01\x02\x03\x04\x05\x06\ud7fe\ud7ff\ud800\udbff\udc00\udfff\ue000\ufdd00dfx8"
texts = st.text(st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=())), max_size=12)
pieces = st.sampled_from([b"\xed\xb2\x80", b"\x80", b"\0", b"\x01", "\ud7ff".encode(), b"x80", b"a"])
payloads = st.one_of(
    st.binary(max_size=12),
    texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(pieces).map(b"".join),
)


@given(texts)
@example("\ud7ff0")
@example("\ud7ffd800")
@example("\x01\x03")
def test_a_text_comes_back(text: str) -> None:
    """Escaped, it is UTF-8 without NUL and without the separator; unescaped, it is what it was."""
    stored = escape(text)
    assert not re.search(f"[\0{SEPARATOR}]", stored)
    stored.encode()
    assert unescape(stored) == text


@given(texts, texts)
def test_the_order_of_texts_stays(first: str, second: str) -> None:
    """Sorting what is stored by code points sorts what was recorded."""
    assert (escape(first) < escape(second)) == (first < second)
    assert (escape(first) == escape(second)) == (first == second)


@given(payloads)
@example(b"\xed\xb2\x80\x80")
@example(b"\xff\xfe")
def test_bytes_come_back(payload: bytes) -> None:
    """Whatever bytes a payload has, they are those that are read."""
    stored = stored_value(payload)
    assert isinstance(stored, str)
    stored.encode()
    found = unescape(stored)
    assert (found if isinstance(found, bytes) else found.encode("utf-8", "surrogatepass")) == payload


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_what_looks_ordinary_is_stored_as_it_is(text: str) -> None:
    """Where the cheap looks see nothing and UTF-8 holds it, escaping would change nothing: both ways store the same."""
    if not needs_escaping(text) and SEPARATOR not in text:
        assert escape(text) == text
        assert not has_escapes(text)


def test_other_values_are_left_alone() -> None:
    """Numbers and None pass both ways; a row without escapes is the very row."""
    assert stored_values([None, 1, 1.5, "a\0"]) == [None, 1, 1.5, "a\x01\x03"]
    row = (None, 1, "text")
    assert values_of(row) is row
    assert values_of(("a\x01\x03", 2)) == ["a\0", 2]
    assert value_of(3) == 3


def test_null_is_no_text_of_anybody() -> None:
    """What stands for NULL on the way is drawn at random, and costs no text its ASCII."""
    assert len(NULL) == 9
    assert NULL.isascii()
    assert escape(NULL) == NULL
