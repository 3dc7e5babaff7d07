"""W3C headers: the specifications' examples, garbage, and round trips."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracecore.propagation import (
    MAX_BAGGAGE_BYTES,
    MAX_BAGGAGE_MEMBERS,
    format_baggage,
    format_traceparent,
    header,
    parse_baggage,
    parse_traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OTHER = "12345678901234567890123456789012"
TRACEPARENT = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
BAGGAGE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+=[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
hexadecimal = st.integers(1, 2**128 - 1).map("{:032x}".format), st.integers(1, 2**64 - 1).map("{:016x}".format)
tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=10)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-ff",
        f" \t00-{TRACE}-{SPAN}-01 \t",
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"fe-{TRACE}-{SPAN}-01-",
    ],
)
def test_valid_traceparents(text: str) -> None:
    """Version 00, and any later version that begins like it, names a trace and a parent, whatever the flags."""
    assert parse_traceparent(text) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-what",
        f"00-{TRACE}-{SPAN}-01,00-{OTHER}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-not-be-like",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE[:-1]}\N{ARABIC-INDIC DIGIT ONE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n00-{TRACE}-{SPAN}-01",
    ],
)
def test_invalid_traceparents_are_ignored(text: str) -> None:
    """What breaks the specification names nothing, so that a new trace begins."""
    assert parse_traceparent(text) is None


@given(*hexadecimal, st.booleans())
def test_traceparents_round_trip(trace_id: str, span_id: str, sampled: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """What is written is read again, is version 00, and says whether the trace is sampled."""
    text = format_traceparent(trace_id, span_id, sampled=sampled)
    assert parse_traceparent(text) == (trace_id, span_id)
    assert text.startswith("00-")
    assert int(text[-2:], 16) & 1 == sampled
    assert len(text) == 55


near_misses = st.text("0123456789abcdefg-. \t", max_size=60)


@given(st.one_of(st.text(max_size=80), near_misses, st.text(max_size=5).map(lambda end: f"00-{TRACE}-{SPAN}-01{end}")))
@example("\x00" * 55)
def test_garbage_never_raises(text: str) -> None:
    """Any text is either ignored or names ids of the right form, and any text is some baggage."""
    found = parse_traceparent(text)
    assert found is None or all(form.fullmatch(part) for form, part in zip(TRACEPARENT, found, strict=True))
    members = parse_baggage(text)
    assert parse_baggage(format_baggage(members)) == members


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("key1=value1,key2=value2;property1;property2, key3=value3; propertyKey=propertyValue",
         {"key1": "value1", "key2": "value2", "key3": "value3"}),
        ("userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false",
         {"userId": "Amélie", "serverNode": "DF 28", "isProduction": "false"}),
        ("  key1  =  value1  ;p , \t key2 = value2 ", {"key1": "value1", "key2": "value2"}),
        ("key=a=b=c", {"key": "a=b=c"}),
        ("key=", {"key": ""}),
        ("", {}),
        (",,;,=,=x, ,k;p=1", {}),
        ("bad key=1,good=2,(x)=3,\N{LATIN SMALL LETTER E WITH ACUTE}=4", {"good": "2"}),
        ("broken=%zz%4,latin=%E9", {"broken": "%zz%4", "latin": "\N{REPLACEMENT CHARACTER}"}),
        ("same=1,same=2", {"same": "2"}),
    ],
)  # fmt: skip
def test_baggage_examples(text: str, members: dict[str, str]) -> None:
    """The specification's examples are read; what is malformed is skipped, and the rest of the header is not."""
    assert parse_baggage(text) == members


@given(st.dictionaries(tokens, values, max_size=MAX_BAGGAGE_MEMBERS))
def test_baggage_round_trips(members: dict[str, str]) -> None:
    """Any text travels as a value; the header has only the characters that the specification allows."""
    text = format_baggage(members)
    assert parse_baggage(text) == members
    assert all(BAGGAGE.fullmatch(part) for part in text.split(",") if members)


def test_values_cannot_break_the_header() -> None:
    """Line ends, commas, quotes and separators in a value stay in the value; lone surrogates become question marks."""
    members = {"k": 'a\r\nSet-Cookie: x, other=1; "p"\\', "l": "\ud800"}
    text = format_baggage(members)
    assert not set(text) & set('\r\n"\\ ;')
    assert parse_baggage(text) == {"k": members["k"], "l": "?"}


def test_illegal_keys_are_left_out() -> None:
    """A key that is no token costs its member only."""
    assert format_baggage({"": "0", "a b": "1", "a,b": "2", "ok": "3", "é": "4"}) == "ok=3"


@given(st.lists(st.integers(0, 3000), max_size=100))
def test_limits_hold_both_ways(lengths: list[int]) -> None:
    """No header beyond the limits is written, and of one that is read only whole members within them are taken."""
    members = {f"k{number}": "x" * length for number, length in enumerate(lengths)}
    written = format_baggage(members)
    assert len(written) <= MAX_BAGGAGE_BYTES
    assert written.count("=") <= MAX_BAGGAGE_MEMBERS
    assert parse_baggage(written).items() <= members.items()
    sent = ",".join(f"{key}={value}" for key, value in members.items())
    read = parse_baggage(sent)
    assert read.items() <= members.items()
    assert len(read) <= MAX_BAGGAGE_MEMBERS
    if len(sent) <= MAX_BAGGAGE_BYTES and len(members) <= MAX_BAGGAGE_MEMBERS:
        assert read == members


def test_an_endless_header_costs_no_more_than_a_long_one() -> None:
    """A header of many megabytes is cut before it is taken apart; one without a comma is no member."""
    assert len(parse_baggage("k=v," * 10_000_000)) == 1
    assert parse_baggage("k=" + "v" * 50_000_000) == {}


class Broken(dict[str, str]):
    """Be a mapping that raises."""

    def get(self, *_: Any) -> Any:
        """Raise."""
        raise ValueError

    items = get


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_headers_in_any_case(name: str) -> None:
    """A header is found whatever the case of its name."""
    assert header({"other": "x", name: "value"}, "traceparent") == "value"


@pytest.mark.parametrize(
    "headers",
    [{}, None, [], "text", 5, Broken(), {b"traceparent": b"x"}, {"traceparent": b"x"}, {"traceparent": ["x"]},
     {1: 2}, {None: None}, {"traceparent": None}, [(b"traceparent", b"x")]],
)  # fmt: skip
def test_what_is_no_mapping_of_text_has_no_header(headers: Any) -> None:
    """A value of the wrong type is as good as absent: a request must not fail by its headers."""
    assert header(headers, "traceparent") is None
