"""Columns are packed so that each value comes out as it went in, and what no column holds is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from tracecore.errors import BackendRejected
from tracecore_postgres.packing import NULL, SEPARATOR, NotPlain, packed
from tracecore_postgres.texts import stored_value

numbers = st.lists(st.one_of(st.just(NULL), st.integers(), st.integers(-(2**63), 2**63 - 1), st.floats()))
texts = st.lists(st.one_of(st.just(NULL), st.text(st.sampled_from("a,\x00\x01\x02\ud7ff\ud800"), max_size=3)))


def cut(text: str, separator: str, rows: int) -> list[str]:
    """Return what the server makes of a packed column: cut, filled up beside longer ones, without the last row."""
    values = text.split(separator)
    assert values.pop() == NULL
    return values + [NULL] * (rows - len(values))


def is_same(number: float, text: str) -> bool:
    """Return whether a text is how PostgreSQL may be told a number."""
    if isinstance(number, int):
        return text == str(number)
    return float(text) == number or (math.isnan(number) and math.isnan(float(text)))


@given(numbers)
@example([2**64])
@example([0.1, NULL, math.inf])
@example([1e300, -0.0, 5e-324])
def test_numbers_come_out(column: list[Any]) -> None:
    """Of whatever size and kind they are, also where the encoder of JSON cannot write them."""
    (text,) = packed([column], ["bigint"], escaped=False)
    values = cut(text, ",", len(column))
    assert len(values) == len(column)
    for number, value in zip(column, values, strict=True):
        assert value == NULL if number is NULL else is_same(number, value)


@given(texts)
def test_texts_come_out(column: list[str]) -> None:
    """Escaped they are what is stored; unescaped they are themselves, or the batch has to be escaped."""
    (text,) = packed([column], ["text"], escaped=True)
    assert cut(text, SEPARATOR, len(column)) == [one if one is NULL else stored_value(one) for one in column]
    try:
        (text,) = packed([column], ["text"], escaped=False)
    except NotPlain:
        assert any(set(one) & set("\x00\x01\x02\ud7ff") for one in column)
    else:
        assert cut(text, SEPARATOR, len(column)) == column


@pytest.mark.parametrize("type_", ["bigint", "text"])
def test_a_column_of_nulls_is_one(type_: str) -> None:
    """Nothing is sent for each row, nor for no row; one value between NULLs is."""
    assert packed([[NULL] * 5, []], [type_, type_], escaped=False) == [NULL, NULL]
    value = 7 if type_ == "bigint" else "7"
    (text,) = packed([[NULL, value, NULL]], [type_], escaped=False)
    assert text.count("7,") + text.count(f"7{SEPARATOR}") == 1


@pytest.mark.parametrize("strange", [True, None, Raw(b"1,2"), [1], {"a": 1}, (1, 2)])
def test_what_is_no_number_is_refused(strange: object) -> None:
    """It is named by its type, wherever the encoder of JSON would have written it as something."""
    with pytest.raises(BackendRejected, match=type(strange).__name__):
        packed([[1, strange]], ["bigint"], escaped=False)


def test_a_text_for_a_number_makes_no_rows() -> None:
    """The server is asked about a text that may be a number; one that would be several is refused at once."""
    assert packed([["1"]], ["bigint"], escaped=False) == [f"1,{NULL}"]
    with pytest.raises(BackendRejected, match="comma"):
        packed([["1,2", 3]], ["bigint"], escaped=False)


def test_bytes_have_to_be_escaped() -> None:
    """A payload that is no UTF-8 comes as bytes, and is a text only when escaped."""
    with pytest.raises(NotPlain):
        packed([["a", b"\xff"]], ["text"], escaped=False)
    assert packed([["a", b"\xff"]], ["text"], escaped=True) == [SEPARATOR.join(("a", "\ud7ffxff", NULL))]
