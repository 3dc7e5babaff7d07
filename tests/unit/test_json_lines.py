"""Lines of records: each is one line, loses nothing, and is JSON to everybody else; lines of one record are merged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tracecore.json_lines import Malformed, identity, line_of, merged, record_in
from tracecore.records import Record, Trace, merge
from tracecore.testing import strategies
from tracecore.testing.samples import entry, event, full_generation, score, session, span, trace_id_of

BLANKS = st.text(" \t\r\n", max_size=6)


@given(st.one_of(strategies.records, strategies.entries))
def test_a_record_is_one_line_and_comes_back(record: Record) -> None:
    """Whatever a record holds, its line has one line feed, which ends it, and says the same."""
    line = line_of(record)
    assert line.index(b"\n") == len(line) - 1
    assert b"\r" not in line
    assert record_in(line) == record
    assert record_in(line[:-1]) == record


@given(BLANKS, BLANKS)
def test_white_space_inside_a_payload_comes_back(first: str, second: str) -> None:
    """Line breaks and tabs between the values of a payload survive, and the line is the same JSON to other readers."""
    payload = f'{{"a":{first}["x\\n",{second}2]{first}}}'.encode()
    record = span(1, input=Raw(payload), output=Raw(b"1"))
    line = line_of(record)
    assert record_in(line) == record
    assert line.count(b"\n") == 1
    assert json.loads(line)["input"] == json.loads(payload)


def test_tabs_of_others_are_white_space() -> None:
    """A line that another program has written with tabs is read: a tab alone stands for nothing."""
    line = b'{\t"record":"session",\t\t"project": "p",\t "session_id"\t:"s"}'
    assert record_in(line) == session("s", project="p")


def test_a_trace_is_a_line_too() -> None:
    """What an export may hold is read as it was written."""
    trace = Trace("p", trace_id_of(1), "name")
    assert record_in(line_of(trace)) == trace


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}", b"null", b'{"record":"span"}', b'{"record":"x"}', b'{"record":"span","pro', b"\xff"]
)
def test_what_is_no_record_is_said(line: bytes) -> None:
    """A line that is no JSON, or no record, is one error."""
    with pytest.raises(Malformed):
        record_in(line)


def test_lines_of_one_record_are_merged() -> None:
    """Each record comes once, where it came first, with everything that was said of it."""
    records: list[Record] = [
        span(1, status="running"), score("a"), span(1), session("s"), entry(emitted=1), score("a", comment="c"),
        span(1, project="other"), event(1, within=2), entry(emitted=2, ended=True), session("s", public=True),
    ]  # fmt: skip
    assert merged(records) == [
        merge(records[0], records[2]), merge(records[1], records[5]), merge(records[3], records[9]),
        merge(records[4], records[8]), records[6], records[7],
    ]  # fmt: skip
    assert merged([]) == []


def test_identities_tell_records_apart() -> None:
    """Kind, project and ids make an identity, and nothing else does."""
    different = [
        span(1), span(2), span(1, within=2), span(1, project="q"), session("s"), score("s"), session("s", project="q"),
        entry("s"), entry("s", minute=1),
    ]  # fmt: skip
    assert len({identity(record) for record in different}) == len(different)
    assert identity(span(1)) == identity(full_generation(1))
