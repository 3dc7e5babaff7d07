"""Texts as payloads: JSON is kept to the byte but for its escapes, and everything else is a text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_records import json_values
from tests.server.otlp.otlp_requests import one, plain
from tracecore.markers import encode_text
from tracecore.server.otlp.payloads import json_of, object_payload_of, payload_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1e400, "b": 123456789012345678901234567890, "a": 1.10, "z": 0.1e-7, "y": -0.0}',
        "[1,  2,\n\t3]", "{}", "[]", '{"a":{"a":{"a":[[[]]]}}}', '["\\"", "\\\\u00fc", "\\n"]', '["ü", "\\/"]',
    ],
)  # fmt: skip
def test_json_is_kept_as_it_is(text: str) -> None:
    """Numbers, order, repeated names, blanks: nothing changes."""
    assert bytes(payload_of(text)) == text.encode()
    assert bytes(payload_of(f" \n{text}\t")) == text.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'["\u00fc\u0416\u4e2d"]', '["üЖ中"]'),
        (r'["\ud83d\ude00!"]', '["😀!"]'),
        (r'{"\u00e9": "\u0041\u000a\u0022\u005c"}', r'{"é": "A\u000a\u0022\u005c"}'),
        (r'["\\u00fc", "\\\u00fc"]', r'["\\u00fc", "\\ü"]'),
        (r'["\u0000\u001f\u007f"]', '["\\u0000\\u001f\x7f"]'),
        (r'["\ud83d", "\ude00x", "\ud83d\u0041", "ok"]', r'["\\ud83d", "\\ude00x", "\\ud83dA", "ok"]'),
    ],
)
def test_escapes_become_the_characters_that_they_are(text: str, expected: str) -> None:
    """But for those that JSON cannot hold as such; half of a surrogate pair becomes visible."""
    assert bytes(payload_of(text)) == expected.encode()


@pytest.mark.parametrize(
    "text",
    [
        "", "plain", "42", "null", "true", '"quoted"', "{", "{not json}", "[1,]", "[1] and more", "\x00",
        "{'a': 1}", " 42", "[" * 5_000 + "]" * 5_000, '["\\x"]', "[01]", "ü\u2028\U0001f600",
    ],
)  # fmt: skip
def test_any_other_text_is_a_text(text: str) -> None:
    """It is the JSON string that says exactly that."""
    assert json.loads(bytes(payload_of(text))) == text


@given(json_values(texts).filter(lambda value: "Infinity" not in json.dumps(value)))
def test_what_was_encoded_is_what_is_stored(value: Any) -> None:
    """Escaped or not, an object or an array means the same afterwards; and it stays what it is when read once more."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        stored = bytes(payload_of(text))
        assert json.loads(stored) == (value if isinstance(value, list | dict) else text)
        assert json.loads(bytes(json_of(text))) == value
        assert bytes(payload_of(stored.decode())) == stored or not isinstance(value, list | dict)


def test_numbers_that_json_does_not_have_are_text() -> None:
    """As Python's encoder writes them; everything around them stays as it is."""
    text = '{"a": [NaN, -Infinity, Infinity], "NaN": "\\"NaN", "b": 1.50}'
    assert bytes(payload_of(text)) == b'{"a": ["NaN", "-Infinity", "Infinity"], "NaN": "\\"NaN", "b": 1.50}'
    assert bytes(payload_of("[NaN")) == b'"[NaN"'


@given(texts)
def test_any_text_is_a_payload(text: str) -> None:
    """Nothing raises, and the payload is JSON."""
    for read in (payload_of, json_of):
        json.loads(bytes(read(text)))
    object_payload_of(text)


def test_values_that_are_no_text() -> None:
    """Numbers, truth values, bytes, arrays and maps are JSON; what JSON has no number for is text."""
    given_values: dict[str, Any] = {
        "least": -(2**63), "most": 2**63 - 1, "tiny": 5e-324, "third": 1 / 3, "nan": float("nan"),
        "inf": float("inf"), "yes": True, "bytes": b"\x00\xff", "list": [1, [None, "x"]], "map": {"k": {"k": 1.5}},
    }  # fmt: skip
    found = plain(one(given_values))["metadata"]["attributes"]
    assert found == {
        **given_values, "nan": "NaN", "inf": "Infinity", "bytes": {"$bytes": {"base64": "AP8=", "length": 2}},
    }  # fmt: skip
    assert bytes(one({"langfuse.observation.input": float("-inf")}).input) == b'"-Infinity"'
    assert bytes(one({"langfuse.observation.input": [1, {"a": "ü"}]}).input) == '[1,{"a":"ü"}]'.encode()


def test_a_payload_is_found_by_its_words_in_any_script() -> None:
    """What Langfuse's SDK escapes is stored as characters."""
    record = one({"langfuse.observation.output": json.dumps({"answer": "新しい自転車"})})
    assert "自転車" in bytes(record.output).decode()


@given(texts)
def test_a_text_is_encoded_at_once_or_piece_by_piece(text: str) -> None:
    """What is no object and no array is the JSON string that :func:`encode_text` makes."""
    stored = bytes(payload_of(text))
    assert stored == encode_text(text, 1 << 20) or text.lstrip(" \t\r\n")[:1] in {"{", "["}
