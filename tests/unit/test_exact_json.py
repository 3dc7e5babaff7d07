"""JSON that loses nothing: whatever a record holds comes back from its text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw, Struct, UnsetType

from tracecore import exact_json
from tracecore.backend import LedgerTotals, ObservationQuery, Page, TraceQuery
from tracecore.exact_json import Malformed, decode, encode
from tracecore.records import Observation, Record, Span, Trace, TraceAttributes
from tracecore.testing import strategies
from tracecore.testing.comparing import same
from tracecore.testing.samples import entry, full_generation, generation, json_of, score, session, span
from tracecore.wire import Lookup, Search, decode_batch, encode_search

HUGE = 2**70
LONE = "\ud800 and \udfff"
ODD: list[Record] = [
    span(1, name=LONE, start_ns=HUGE),
    span(2, input=Raw(b'"\\ud800"'), output=Raw(b'"\xed\xa0\x80"'), metadata=Raw(b'{"\\udc00" :1}')),
    span(3, input=Raw(b'{"a" : 1,\n "a": 2}'), trace=TraceAttributes(metadata=Raw(b'["\\ud83d"]'), tags=(LONE,))),
    generation(4, usage_details={"input": HUGE, LONE: -HUGE}, cost_details={LONE: 0.5}),
    session(LONE, environment="\0"),
    score(LONE, metadata=Raw(b'"\\ud800"'), value=-0.0),
    entry(LONE, lost={LONE: 3}, emitted=HUGE),
]


@pytest.mark.parametrize("record", ODD, ids=lambda record: type(record).__name__)
def test_odd_records_come_back(record: Record) -> None:
    """Lone surrogates, integers beyond 64 bits and payloads that are not UTF-8 survive, each byte of them."""
    same(decode_batch(encode([record])), [record])


def test_odd_records_come_back_among_others() -> None:
    """One odd record changes nothing for those beside it."""
    batch = [full_generation(9), *ODD, full_generation(10)]
    same(decode_batch(encode(batch)), batch)


@given(st.lists(strategies.records, max_size=4))
def test_any_records_come_back(batch: list[Record]) -> None:
    """Whatever the fields hold, decoding is the inverse of encoding."""
    same(decode_batch(encode(batch)), batch)


@given(strategies.observation_queries, strategies.texts)
def test_any_query_comes_back(query: ObservationQuery, project: str) -> None:
    """A question keeps every condition, and says nothing of those that are not set."""
    asked = encode_search(project, query)
    same(decode(asked, Search[ObservationQuery]), Search(project, query))
    assert all(json.loads(asked)["query"][name] != default for name, default in _set_defaults(query).items())


def _set_defaults(query: ObservationQuery) -> dict[str, Any]:
    said = json.loads(encode_search("p", query))["query"]
    return {name: getattr(ObservationQuery(), name) for name in said}


def test_an_empty_payload_says_nothing() -> None:
    """A payload without a byte is left out, whichever object it is, and the text stays JSON."""
    empty = span(1, input=Raw(b""), trace=TraceAttributes(metadata=Raw(b"")))
    same(decode_batch(encode([empty])), [span(1)])


def test_answers_come_back() -> None:
    """Pages, single records, none, lists and totals are values like others."""
    page = Page([Trace("p", LONE, input=Raw(b'"\\ud800"'))], next_cursor="c")
    same(decode(encode(page), Page[Trace]), page)
    same(decode(encode(page.items[0]), Trace | None), page.items[0])
    assert decode(encode(None), Trace | None) is None
    tree = [record for record in ODD if isinstance(record, Span)]
    same(decode(encode(tree), list[Observation]), tree)
    same(decode(encode(LedgerTotals(lost={LONE: 1})), LedgerTotals), LedgerTotals(lost={LONE: 1}))
    same(decode(encode(Lookup(LONE, trace_id="\0")), Lookup), Lookup(LONE, trace_id="\0"))
    same(decode(encode_search("p", TraceQuery(limit=HUGE)), Search[TraceQuery]).query.limit, HUGE)


def test_payloads_are_spliced() -> None:
    """A payload stands in the text as it was given, not as a text of its own."""
    assert encode(span(1, input=json_of({"k": [1]}))).endswith(b'"input":{"k": [1]}}')


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"[", b"{}", b"[1]", b"null", b"\xff", b"[]x", b"[" * 100_000, b'[{"record":"span"}]', b'["\\ud800"]',
        b'[{"record":"nothing","name":"\\ud800"}]', b'[{"record":"span","name":"\\ud800"', b'[{"record":"span",}]',
        b'[{"record":"session","project":"p","session_id":"\\ud800"} x]', b'[{"record":"span" "name":"\\ud800"}]',
        b'[{"record":"session","project":"p","session_id":"\\ud800"}]]', b'{"\\ud800":' * 50_000,
    ],
)  # fmt: skip
def test_garbage_is_malformed(garbage: bytes) -> None:
    """What is no batch is one kind of error, whatever is the matter with it."""
    with pytest.raises(Malformed):
        decode_batch(garbage)


def test_white_space_of_others_does_not_matter() -> None:
    """A text that somebody else wrote, with space between, is read as well, odd or not."""
    for text in (b'[ {"record" : "session",\n"project": "p" , "session_id": "s" } ]', b"\t[\r\n]"):
        assert len(decode_batch(text)) == text.count(b"{")
    mine = b'{"record" : "session",\n"project": "p" , "session_id": "\\ud800" }'
    theirs = (
        b'{"record":"score","project":"p","score_id":"1","name":"n","timestamp_ns":1, "metadata": { "a" : "\\ud800" } }'
    )
    found = decode_batch(b" [ %b\t,%b ] " % (mine, theirs))
    assert found[0] == session("\ud800", project="p")
    assert bytes(found[1].metadata) == b'{ "a" : "\\ud800" }'  # type: ignore[union-attr]  # it is a score


def test_only_what_is_odd_is_written_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary records take one call into C, both ways."""
    monkeypatch.setattr(exact_json, "_written", None)
    monkeypatch.setattr(exact_json, "_Reader", None)
    batch = [full_generation(1), span(2), session("s"), score("1"), entry()]
    same(decode_batch(encode(batch)), batch)


class _Answer(Struct, rename="camel"):
    shown_text: str
    left_out: str | UnsetType = UNSET


@pytest.mark.parametrize("text", ["plain", 'odd ":,', "half \ud800"])
def test_members_have_the_names_that_their_type_gives_them(text: str) -> None:
    """A Struct under other names, with members that are not set, is the same object whatever its texts hold."""
    assert json.loads(encode(_Answer(text))) == {"shownText": text}
