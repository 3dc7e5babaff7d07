"""Payloads in answers: any of them becomes JSON that every client reads, and says what was recorded."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tracecore.exact_json import encode
from tracecore.records import ABSENT
from tracecore.server.api.payloads import members_of, shown, size_of, value_of, within

TEXTS = st.text(st.characters(codec=None))
"""Texts of any characters, halves of surrogate pairs too."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


def payload(value: Any, *, escaped: bool) -> Raw:
    """Return a payload: with escapes, or in bytes as a client may have sent them."""
    return Raw(json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


def answered(value: Any) -> Any:
    """Return what a client reads of an answer, which is UTF-8."""
    return json.loads(encode({"it": value}).decode())["it"]


@given(VALUES, st.booleans())
def test_a_value_is_shown_as_it_is(value: Any, escaped: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    """As a value it is what was recorded; as a text a text is itself, ``null`` nothing, and all else its JSON."""
    recorded = payload(value, escaped=escaped)
    assert answered(value_of(recorded)) == value
    text = answered(shown(recorded))
    if isinstance(value, str) or value is None:
        assert text == value
    else:
        assert json.loads(text) == value


@given(VALUES, st.integers(0, 50), st.booleans())
def test_a_cut_text_is_the_beginning(value: Any, most: int, escaped: bool) -> None:  # noqa: FBT001 - as above
    """What is cut is the beginning of the whole, and never longer than was asked for."""
    recorded = payload(value, escaped=escaped)
    whole, cut = answered(shown(recorded)), answered(within(recorded, most))
    if whole is None:
        assert cut is None
    else:
        assert len(cut) <= most
        assert whole.startswith(cut)
        assert len(whole) > most or cut == whole


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
def test_members_are_merged(first: dict[str, Any], second: dict[str, Any], escaped: bool) -> None:  # noqa: FBT001 - as above
    """Of two objects each member is there, of one that both have the second's."""
    found = members_of(payload(first, escaped=escaped), payload(second, escaped=escaped), ABSENT)
    assert {name: answered(value_of(member)) for name, member in found.items()} == first | second


@given(st.binary())
def test_bytes_that_are_no_text_are_answered(garbage: bytes) -> None:
    """Whatever bytes a store kept inside of a JSON string, the answer is UTF-8."""
    inner = bytes(byte for byte in garbage if byte >= 32 and byte not in b'"\\')
    text = answered(shown(Raw(b'"' + inner + b'"')))
    assert isinstance(text, str)
    assert answered(members_of(Raw(b'{"k":"' + inner + b'"}'))["k"]) == text


def test_what_is_not_there() -> None:
    """No payload is None in every form, and has no size; metadata that is no object has a name of its own."""
    assert (value_of(ABSENT), shown(ABSENT), within(ABSENT, 5), members_of(ABSENT)) == (None, None, None, {})
    assert (size_of(ABSENT, Raw(b"12")), members_of(Raw(b"null"))) == (2, {})
    assert members_of(Raw(b" [1] ")) == {"metadata": Raw(b"[1]")}
