"""Conditions are checked when they are made, travel without a loss, and mean what plain Python says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec import Raw

from tracecore.backend import ObservationQuery, ScoreQuery
from tracecore.conditions import COLUMNS, KINDS, OPERATORS, BadCondition, Condition
from tracecore.filtering import cost_of, meets, metadata_meets, seconds, tokens_per_second
from tracecore.testing import filter_strategies
from tracecore.testing.samples import SECOND, span
from tracecore.wire import Malformed, Search, decode, encode_search

VALUES: dict[str, Any] = {
    "a text": "x", "nothing": None, "an integer": 5, "a float": 1.5, "texts": ("x",), "a boolean": True,
}  # fmt: skip
TAKEN: dict[str, set[str]] = {
    "time": {"an integer"}, "text": {"a text"}, "body": {"a text"}, "tags": {"texts"},
    "number": {"an integer", "a float"}, "flag": {"a boolean"}, "member": {"a text"},
}  # fmt: skip


def taken(kind: str, operator: str) -> set[str]:
    """Return what an operator of a kind of column compares with."""
    if operator.startswith("is "):
        return {"nothing"}
    if operator in {"any of", "none of"}:
        return {"texts"}
    if kind == "member" and operator in {"=", ">", "<", ">=", "<="}:
        return {"an integer", "a float", *(["a text"] if operator == "=" else [])}
    return TAKEN[kind]


def test_every_combination_is_taken_or_refused() -> None:
    """Of all columns, operators and values those that mean something can be made, and no others."""
    operators = {operator for some in OPERATORS.values() for operator in some}
    for column in COLUMNS:
        kind = KINDS[column]
        for operator in operators:
            for name, value in VALUES.items():
                key = "k" if kind == "member" and operator not in {"is null", "is not null"} else None
                if operator in OPERATORS[kind] and name in taken(kind, operator):
                    assert Condition(column, operator, value, key).value == value
                else:
                    with pytest.raises(BadCondition, match=column):
                        Condition(column, operator, value, key)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nme", "=", "x"), "no column 'nme'; use one of id, type"),
        (("name", "like", "x"), "name has no operator 'like'; use one of =, contains"),
        (("name", "=", 5), "name = 5: this operator compares with a text"),
        (("name", "=", "x", "k"), "name has no members; leave out the key 'k'"),
        (("metadata", "=", "x"), "metadata = needs a key"),
        (("metadata", "is null", None, "k"), "metadata is null needs no key"),
        (("latency", ">", float("nan")), "a finite number"),
        (("latency", ">", float("inf")), "a finite number"),
        (("total_tokens", "=", 2**63), "at most 64 bits"),
        (("start_time", ">", -(2**63) - 1), "fits into 64 bits"),
        (("input", "matches", "_-!"), "at least one letter or digit"),
    ],
)
def test_refusals_say_what_would_do(arguments: Any, says: str) -> None:
    """What is wrong is named, and what is allowed."""
    with pytest.raises(BadCondition) as caught:
        Condition(*arguments)
    assert says in str(caught.value)


@given(filter_strategies.filters)
def test_conditions_travel(query: ObservationQuery) -> None:
    """A query with conditions is the same at the other end, whatever its texts are made of."""
    assert decode(encode_search("p", query), Search[ObservationQuery]).query == query


@pytest.mark.parametrize(
    "where",
    [
        '[{"column":"nme","operator":"=","value":"x"}]', '[{"column":"name","operator":"=","value":5}]',
        '[{"column":"name","operator":"=","value":"x","more":1}]', '[{"column":"name"}]', '{"name":"x"}',
        '[{"column":"total_tokens","operator":"=","value":36893488147419103232}]',
        "[" + ",".join(['{"column":"name","operator":"is null"}'] * 101) + "]",
    ],
)  # fmt: skip
def test_conditions_are_checked_where_they_arrive(where: str) -> None:
    """A server takes no condition that a client could not have made."""
    with pytest.raises(Malformed):
        decode(f'{{"project":"p","query":{{"where":{where}}}}}'.encode(), Search[ObservationQuery])


def test_an_older_server_refuses_conditions() -> None:
    """Who does not know conditions says so, and does not answer with everything; without any nothing is sent."""

    class Older(msgspec.Struct, forbid_unknown_fields=True):
        limit: int = 50

    sent = encode_search("p", ObservationQuery(where=(Condition("name", "=", "x"),)))
    with pytest.raises(Malformed, match="where"):
        decode(sent, Search[Older])
    assert decode(encode_search("p", ObservationQuery(limit=3)), Search[Older]).query.limit == 3


def test_lists_of_values_are_bounded() -> None:
    """A query for scores names so many values, and no more."""
    ScoreQuery(names=("x",) * 500)
    with pytest.raises(BadCondition, match="names with 501 values"):
        ScoreQuery(names=("x",) * 501)


@pytest.mark.parametrize(
    ("payload", "key", "text"),
    [
        (b'{"k": "v"}', "k", "v"),
        (b' { "a" : [1, {"k": 2}] , "k" : {"x": [1,2]} } ', "k", '{"x": [1,2]}'),
        (b'{"k":1,"k":2}', "k", "2"),
        (b'{"\\u006b":"v"}', "k", "v"),
        (b'{"k":"\\ud800"}', "k", "\ud800"),
        (b'{"x":"\\ud800", "k" : 1e2 , "y":[]}', "k", "1e2"),
        ('{"\ud800":" v"}'.encode("utf-8", "surrogatepass"), "\ud800", " v"),
        (b'{"a\\u0000b":"\\u0000"}', "a\0b", "\0"),
        (b'{"k":12345678901234567890123}', "k", "12345678901234567890123"),
        (b'{"x":"\xff","k":"v"}', "k", "v"),
    ],
)
def test_members_are_found_however_they_are_written(payload: bytes, key: str, text: str) -> None:
    """A member is found under its name, and is its text or its JSON as it was recorded."""
    for own, of_trace in ((payload, b""), (payload, b'{"other": 1}'), (b'{"k": 0}', payload)):
        assert metadata_meets(own, of_trace, Condition("metadata", "=", text, key))
        assert metadata_meets(own, of_trace, Condition("metadata", "is set", None, key))
        assert not metadata_meets(own, of_trace, Condition("metadata", "=", text + "?", key))
        assert metadata_meets(own, of_trace, Condition("metadata", "is not set", None, key + "?"))


@pytest.mark.parametrize("payload", [b"", b"null", b'"k"', b'["k"]', b"{", b'{"k"', b'{"k":', b"[" * 100_000, b'{"\\'])
def test_what_is_no_object_has_no_members(payload: bytes) -> None:
    """Whatever is recorded, asking for a member of it raises nothing."""
    for own, of_trace in ((payload, b""), (b"", payload), (payload, payload)):
        assert metadata_meets(own, of_trace, Condition("metadata", "is not set", None, "k"))
        assert not metadata_meets(own, of_trace, Condition("metadata", "does not contain", "x", "k"))


def test_metadata_that_is_no_object_is_a_member_of_itself() -> None:
    """It is found under the name under which it is shown; nothing and null are not."""
    for payload, text in ((b'"k"', "k"), (b" [1, 2]", "[1, 2]"), (b"5", "5")):
        assert metadata_meets(payload, b"", Condition("metadata", "=", text, "metadata"))
    for payload in (b"", b"null", b'{"k": 1}'):
        assert metadata_meets(payload, b"", Condition("metadata", "is not set", None, "metadata"))


def test_a_tenth_of_a_second_is_a_tenth() -> None:
    """Seconds are the decimal number that somebody wrote, not the float next to it."""
    assert seconds(0.1) == SECOND // 10
    assert seconds(3) == 3 * SECOND
    one = span(1, duration_ns=SECOND // 10)
    assert meets(one, Condition("latency", "=", 0.1))
    assert not meets(one, Condition("latency", ">", 0.1))


def test_what_is_unknown_has_no_sum() -> None:
    """No costs are no cost of 0, and no time has no rate."""
    assert cost_of(None, "input") is None
    assert cost_of({}, "input") == 0
    assert cost_of({"input": 0.5, "input_cached": 0.25, "output": 1.0}, "input") == 0.75
    assert tokens_per_second(5, 2 * SECOND) == 2.5
    assert tokens_per_second(5, 0) is None
    assert tokens_per_second(None, SECOND) is None


def test_payloads_are_compared_as_they_were_recorded() -> None:
    """A text is compared as what it says, everything else as it is written, and nothing as the empty text."""
    for payload, text in (
        (b'"\\u00e9"', "\u00e9"),
        (b' "a"', "a"),
        (b"[1, 2]", "[1, 2]"),
        (b"null", "null"),
        (b"", ""),
    ):
        assert meets(span(1, input=Raw(payload)), Condition("input", "=", text))
        assert meets(span(1, input=Raw(payload)), Condition("input", "is null")) == (text == "")
