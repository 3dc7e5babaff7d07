"""Langfuse's filters become typed conditions, or an error that says what would have done."""

from __future__ import annotations

import contextlib
import json
from itertools import product
from typing import Any

import pytest

from tracecore.conditions import COLUMNS, MOST_CONDITIONS, OPERATORS, Condition
from tracecore.server.api.filters import conditions_of
from tracecore.server.langfuse_errors import InvalidRequest

TYPES = (
    "datetime", "string", "stringOptions", "arrayOptions", "number", "stringObject", "numberObject", "boolean", "null",
)  # fmt: skip
NAMES = (
    "id", "type", "name", "traceId", "parentObservationId", "startTime", "endTime", "environment", "level",
    "statusMessage", "version", "release", "userId", "sessionId", "isRootObservation", "traceName", "traceTags", "tags",
    "latency", "timeToFirstToken", "tokensPerSecond", "inputTokens", "outputTokens", "totalTokens", "tokens",
    "inputCost", "outputCost", "totalCost", "model", "providedModelName", "promptName", "promptVersion", "input",
    "output", "metadata",
)  # fmt: skip
YES: Any = True
NEW_YEAR = 1_767_225_600 * 10**9


def given(kind: str, column: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    """Return one condition as clients send it."""
    return {"type": kind, "column": column, "operator": operator, "value": value, **more}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (given("string", "name", "contains", "chat"), Condition("name", "contains", "chat")),
        (given("string", "traceId", "=", "a" * 32), Condition("trace_id", "=", "a" * 32)),
        (given("stringOptions", "type", "any of", ["SPAN", "TOOL"]), Condition("type", "any of", ("span", "tool"))),
        (given("string", "type", "=", "SPAN"), Condition("type", "=", "span")),
        (given("categoryOptions", "level", "none of", ["ERROR"], key="k"), Condition("level", "none of", ("ERROR",))),
        (given("datetime", "startTime", ">=", "2026-01-01T00:00:00Z"), Condition("start_time", ">=", NEW_YEAR)),
        (given("datetime", "endTime", "<", "2026-01-01T01:00:00+01:00"), Condition("end_time", "<", NEW_YEAR)),
        (given("number", "latency", ">", 1.5), Condition("latency", ">", 1.5)),
        (given("number", "tokens", "=", 7), Condition("total_tokens", "=", 7)),
        (given("number", "totalTokens", "<=", 2**62), Condition("total_tokens", "<=", 2**62)),
        (given("arrayOptions", "traceTags", "all of", ["a", "b"]), Condition("tags", "all of", ("a", "b"))),
        (given("arrayOptions", "tags", "none of", []), Condition("tags", "none of", ())),
        (given("boolean", "isRootObservation", "<>", YES), Condition("is_root", "<>", YES)),
        (given("null", "userId", "is null", ""), Condition("user_id", "is null")),
        (given("null", "endTime", "is not null"), Condition("end_time", "is not null")),
        (given("stringObject", "metadata", "=", "gold", key="tier"), Condition("metadata", "=", "gold", "tier")),
        (given("stringObject", "metadata", "is set", "", key="tier"), Condition("metadata", "is set", None, "tier")),
        (given("numberObject", "metadata", ">", 3, key="n"), Condition("metadata", ">", 3, "n")),
        (given("string", "input", "matches", "no such city"), Condition("input", "matches", "no such city")),
        (given("string", "providedModelName", "starts with", "gpt"), Condition("model", "starts with", "gpt")),
        ({**given("string", "model", "=", "m"), "future": 1}, Condition("model", "=", "m")),
    ],
)  # fmt: skip
def test_one_condition(sent: dict[str, Any], meant: Condition) -> None:
    """A condition means what it says, under our name of its column."""
    assert conditions_of(json.dumps([sent])) == (meant,)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (given("string", "nam", "=", "x"), "no column 'nam'; use one of id, type, name"),
        (given("text", "name", "=", "x"), "no type 'text'; use one of datetime, string"),
        (given("number", "name", "=", 1), "no type for name 'number'; use one of string, stringOptions"),
        (given("string", "name", "like", "x"), "no operator for type string 'like'; use one of =, contains"),
        (given("string", "name", "matches", "x"), "name has no operator 'matches'"),
        (given("string", "name", "=", 5), "name = needs a text, not 5"),
        (given("string", "name", "=", None), "name = needs a text, not None"),
        (given("number", "latency", ">", "1"), "latency > '1': this operator compares with a finite number"),
        (given("number", "latency", ">", YES), "latency > True"),
        (given("number", "totalTokens", ">", 2**70), "at most 64 bits"),
        (given("boolean", "isRootObservation", "=", 1), "compares with true or false"),
        (given("datetime", "startTime", ">", 5), "needs an ISO 8601 time, not 5"),
        (given("datetime", "startTime", ">", "yesterday"), "'yesterday' is no ISO 8601 time"),
        (given("stringOptions", "level", "any of", "ERROR"), "compares with an array of texts"),
        (given("stringOptions", "level", "any of", ["ERROR", 1]), "needs an array of texts"),
        (given("stringObject", "metadata", "=", "x"), "metadata needs a key"),
        (given("numberObject", "metadata", "=", "x", key="k"), "needs a number, not 'x'"),
        (given("string", "input", "contains", "x"), "at least one condition on them with = or matches"),
        (given("null", "output", "is null"), "at least one condition on them with = or matches"),
        (given("string", "input", "matches", "?!"), "at least one letter or digit"),
    ],
)
def test_refusals(sent: dict[str, Any], says: str) -> None:
    """What is no condition is refused: the message names what is wrong, and what is allowed."""
    with pytest.raises(InvalidRequest) as caught:
        conditions_of(json.dumps([given("string", "name", "=", "x"), sent]))
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[", '["x"]', '[{"type":"string"}]', "null", "[" * 100_000, '["\ud800"]'])
def test_what_is_no_filter(text: str) -> None:
    """Any other text is refused as a whole."""
    with pytest.raises(InvalidRequest, match="no JSON array"):
        conditions_of(text)


def test_many_conditions() -> None:
    """As many as a query takes are taken, one more is refused; none at all select everything."""
    one = given("string", "name", "=", "x")
    assert conditions_of("[]") == ()
    assert len(conditions_of(json.dumps([one] * MOST_CONDITIONS))) == MOST_CONDITIONS
    with pytest.raises(InvalidRequest, match="at most"):
        conditions_of(json.dumps([one] * (MOST_CONDITIONS + 1)))


def test_contains_beside_an_indexed_condition() -> None:
    """Substrings of payloads may be asked for where words lead to them."""
    found = conditions_of(
        json.dumps([given("string", "input", "matches", "city"), given("string", "output", "contains", "x")])
    )
    assert [condition.operator for condition in found] == ["matches", "contains"]


def test_every_operator_can_be_said() -> None:
    """No column or operator of ours is out of reach but those that Langfuse does not have."""
    said: set[tuple[str, str]] = set()
    for kind, column, operator in product(TYPES, NAMES, {one for some in OPERATORS.values() for one in some}):
        value: Any = {"number": 1, "numberObject": 1, "boolean": True, "datetime": "2026-01-01T00:00:00Z"}.get(
            kind, "x"
        )
        sent = given(kind, column, operator, [value] if "Options" in kind else value, key="k")
        with contextlib.suppress(InvalidRequest):
            said.add((conditions_of(json.dumps([sent, given("string", "input", "matches", "x")]))[0].column, operator))
    assert {column for column, _ in said} == set(COLUMNS) - {"status", "public"}
    assert {operator for _, operator in said} == {operator for some in OPERATORS.values() for operator in some}
