"""The conformance suite of conditions on observations: what each column means, and what an absent value meets."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tracecore.backend import ObservationQuery
from tracecore.conditions import COLUMNS, KINDS, OPERATORS, Column, Condition, Operator
from tracecore.records import ABSENT, Observation, TraceAttributes
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, observations_in, opened_with, pages_of
from tracecore.testing.samples import PROJECT, SECOND, START, event, generation, json_of, span, span_id_of, trace_id_of

__all__ = ["FilterSuite"]

_YES: Final[Any] = True
_BIG: Final = 2**53 - 1
_SIX: Final[tuple[Observation, ...]] = (
    span(
        1, name="chat", version="2", status_message="Half of it",
        input=json_of("Why is the sky blue?"), output=json_of({"answer": "no idea"}),
        metadata=json_of({"tier": "gold", "n": 7, "deep": {"k": "v"}, "null": None, "text": "12.5", "on": True}),
        trace=TraceAttributes("ask", "u1", "s1", ("web", 'q"t'), ABSENT, "r1", "1", "staging", public=True),
    ),
    generation(
        2, within=2, after_s=1, parent_id=span_id_of(1), duration_ns=2 * SECOND, model="gpt-x", level="WARNING",
        completion_start_ns=START + SECOND + SECOND // 10, total_cost=0.75, prompt_name="greet", prompt_version=3,
        usage_details={"input": 10, "output": 5, "input_cached": 2}, cost_details={"input": 0.25, "output": 0.5},
        input=json_of(["the", "SKY", 1.5]), output=Raw(b'"\\u0063af\\u00e9 noir"'),
        metadata=Raw(
            b'{"tier": "Gold", "n": 7.5, "big": 9007199254740993, "tier": "silver", "m\\u0065tal": "\\u0067old"}'
        ),
        trace=TraceAttributes(user_id="u2", tags=("web", "a,b"), metadata=json_of({"n": 8, "tenant": "acme"})),
    ),
    event(3, within=3, after_s=2, parent_id=span_id_of(9), app_root=True, output=json_of(""), metadata=json_of("tier")),
    generation(
        4, within=3, after_s=3, parent_id=span_id_of(3), type="embedding", status="running",
        usage_details={"input": _BIG, "total": _BIG}, trace=TraceAttributes(version="1", public=False),
    ),
    span(5, within=3, after_s=4, parent_id=span_id_of(3), type="tool", level="ERROR", status="error", name=""),
    generation(
        6, within=3, after_s=5, duration_ns=0, parent_id="", cost_details={}, total_cost=0.0, input=Raw(b"null")
    ),
)  # fmt: skip
"""Six observations, newest last."""
_Case = tuple[Column, Operator, Any, str]
_CASES: Final[tuple[_Case, ...]] = (
    ("id", "=", span_id_of(3), "3"),
    ("id", "any of", (span_id_of(1), span_id_of(5), "none"), "15"),
    ("type", "=", "embedding", "4"),
    ("type", "none of", ("generation", "span"), "345"),
    ("type", "contains", "e", "2346"),
    ("name", "=", "", "5"),
    ("name", "contains", "", "123456"),
    ("name", "contains", "CHAT", ""),
    ("name", "starts with", "work", "2346"),
    ("name", "ends with", "at", "1"),
    ("name", "is null", None, "5"),
    ("trace_id", "=", trace_id_of(3), "3456"),
    ("trace_id", "does not contain", "3", "12"),
    ("parent_id", "is null", None, "16"),
    ("parent_id", "=", span_id_of(3), "45"),
    ("environment", "=", "default", "23456"),
    ("environment", "none of", ("default",), "1"),
    ("level", "=", "DEFAULT", "1346"),
    ("level", "any of", ("WARNING", "ERROR"), "25"),
    ("status", "any of", ("running", "error"), "45"),
    ("status_message", "starts with", "Half", "1"),
    ("status_message", "does not contain", "Half", "23456"),
    ("status_message", "is not null", None, "1"),
    ("version", "=", "2", "1"),
    ("version", "=", "1", "4"),
    ("version", "is null", None, "2356"),
    ("release", "=", "r1", "1"),
    ("user_id", "none of", ("u1",), "23456"),
    ("user_id", "any of", ("u1", ""), "13456"),
    ("user_id", "any of", (), ""),
    ("user_id", "none of", (), "123456"),
    ("session_id", "is not null", None, "1"),
    ("trace_name", "=", "ask", "1"),
    ("model", "starts with", "gpt", "2"),
    ("model", "is null", None, "13456"),
    ("prompt_name", "contains", "ree", "2"),
    ("is_root", "=", True, "13"),
    ("is_root", "<>", True, "2456"),
    ("public", "=", True, "1"),
    ("public", "=", False, "23456"),
    ("tags", "any of", ("web", "beta"), "12"),
    ("tags", "all of", ("web", 'q"t'), "1"),
    ("tags", "all of", (), "123456"),
    ("tags", "none of", ("a,b",), "13456"),
    ("tags", "any of", ("a", "b", "we"), ""),
    ("start_time", ">=", START + 3 * SECOND, "456"),
    ("start_time", "<", START + SECOND, "1"),
    ("start_time", "is not null", None, "123456"),
    ("end_time", "<=", START + 3 * SECOND, "123"),
    ("end_time", ">", START + 3 * SECOND - 1, "256"),
    ("end_time", "is null", None, "4"),
    ("latency", "=", 1, "15"),
    ("latency", ">", 1.5, "2"),
    ("latency", "<", 1e300, "12356"),
    ("latency", ">", 1e300, ""),
    ("latency", ">", 2 - 1e-9, "2"),
    ("latency", "is null", None, "4"),
    ("time_to_first_token", "=", 0.1, "2"),
    ("time_to_first_token", ">", 0.1, ""),
    ("time_to_first_token", "is null", None, "13456"),
    ("tokens_per_second", "=", 2.5, "2"),
    ("tokens_per_second", "is null", None, "13456"),
    ("input_tokens", "=", 12, "2"),
    ("input_tokens", ">", _BIG - 0.5, "4"),
    ("input_tokens", ">", 12.5, "4"),
    ("input_tokens", "<=", 12.5, "2"),
    ("input_tokens", "=", 12.5, ""),
    ("output_tokens", "=", 0, "4"),
    ("total_tokens", ">=", 17, "24"),
    ("total_tokens", "is null", None, "1356"),
    ("input_cost", "=", 0.25, "2"),
    ("output_cost", ">", 0.25, "2"),
    ("input_cost", "=", 0, "6"),
    ("input_cost", "is null", None, "1345"),
    ("output_cost", "is not null", None, "26"),
    ("total_cost", "<", 1, "26"),
    ("total_cost", "=", 0, "6"),
    ("prompt_version", "=", 3, "2"),
    ("prompt_version", "=", 3.5, ""),
    ("prompt_version", "<", 3.5, "2"),
    ("prompt_version", "<", 2.5, ""),
    ("prompt_version", "<=", 3.5, "2"),
    ("prompt_version", "<=", 2.5, ""),
    ("prompt_version", ">", 2.5, "2"),
    ("prompt_version", ">", 3.5, ""),
    ("prompt_version", ">=", 2.5, "2"),
    ("prompt_version", ">=", 3.5, ""),
    ("prompt_version", "is null", None, "13456"),
    ("input", "=", "Why is the sky blue?", "1"),
    ("input", "=", '["the", "SKY", 1.5]', "2"),
    ("input", "=", "null", "6"),
    ("input", "=", "", "345"),
    ("input", "starts with", "", "123456"),
    ("input", "contains", "sky", "1"),
    ("input", "matches", "sky", "12"),
    ("input", "matches", "the Sky", "1"),
    ("input", "matches", "sk", ""),
    ("input", "is null", None, "345"),
    ("input", "does not contain", "sky", "23456"),
    ("output", "=", "caf\u00e9 noir", "2"),
    ("output", "starts with", '{"answer"', "1"),
    ("output", "ends with", "noir", "2"),
    ("output", "is not null", None, "12"),
    ("output", "matches", "CAF\u00c9", "2"),
    ("output", "is null", None, "3456"),
    ("metadata", "is null", None, "456"),
    ("metadata", "is not null", None, "123"),
)
"""A condition, and the numbers of the observations that meet it."""
_MEMBERS: Final[tuple[tuple[str, Operator, Any, str], ...]] = (
    ("tier", "is set", None, "12"),
    ("tier", "is not set", None, "3456"),
    ("tier", "=", "gold", "1"),
    ("tier", "=", "silver", "2"),
    ("metal", "=", "gold", "2"),
    ("metal", "matches", "gold", "2"),
    ("tier", "does not contain", "gold", "2"),
    ("tier", "matches", "gold", "1"),
    ("tier", "matches", "Gold", ""),
    ("n", "=", 7, "1"),
    ("n", "=", "7", "1"),
    ("n", ">", 7.5, "2"),
    ("n", "<=", 7.5, "1"),
    ("tenant", "=", "acme", "2"),
    ("tenant", "is not set", None, "13456"),
    ("metadata", "=", "tier", "3"),
    ("metadata", "is set", None, "3"),
    ("big", "=", 9007199254740993, "2"),
    ("big", "=", 9007199254740992.0, ""),
    ("text", ">", 12, "1"),
    ("text", "=", 12.5, "1"),
    ("deep", "=", '{"k": "v"}', "1"),
    ("deep", "contains", '"k"', "1"),
    ("k", "is set", None, ""),
    ("null", "is set", None, "1"),
    ("null", "=", "null", "1"),
    ("on", "=", "true", "1"),
    ("on", "=", 1, ""),
    ("", "is set", None, ""),
)
"""A member of the metadata, a condition on it, and the numbers of the observations that meet it."""


class FilterSuite(Contract):
    """Prove that observations are found by conditions as :mod:`tracecore.filtering` says."""

    async def test_every_condition_selects_what_meets_it(self, make: MakeBackend) -> None:
        """Filtering: texts, times, numbers, flags, tags and bodies, and what each means where it is not there."""
        async with opened_with(make(), _SIX) as backend:
            for column, operator, value, numbers in _CASES:
                await _selects(backend, ObservationQuery(where=(Condition(column, operator, value),)), numbers)
        assert {case[0] for case in _CASES} == set(COLUMNS), "every column is tried"
        for kind, operators in OPERATORS.items():
            tried = {operator for column, operator, _, _ in _CASES if KINDS[column] == kind}
            assert kind == "member" or tried == set(operators), f"every operator of a {kind} is tried"

    async def test_conditions_on_payloads_that_are_indexed(self, make: MakeBackend) -> None:
        """Filtering: "an index of words leads there", and says nothing else than looking at every payload does."""
        cases = [case for case in _CASES if KINDS[case[0]] == "body"]
        async with opened_with(make(), _SIX) as backend:
            while await backend.maintain():
                pass
            for column, operator, value, numbers in cases:
                await _selects(backend, ObservationQuery(where=(Condition(column, operator, value),)), numbers)

    async def test_members_of_metadata(self, make: MakeBackend) -> None:
        """Filtering: the metadata is "what it says itself and, laid over that, what is said of its trace"."""
        async with opened_with(make(), _SIX) as backend:
            for key, operator, value, numbers in _MEMBERS:
                where = (Condition("metadata", operator, value, key),)
                await _selects(backend, ObservationQuery(where=where), numbers)

    async def test_conditions_stand_beside_everything_else(self, make: MakeBackend) -> None:
        """ObservationQuery.where: "there, too, all must hold", whatever leads to what is asked for."""
        sky, gold = Condition("input", "matches", "sky"), Condition("metadata", "=", "gold", "tier")
        late = Condition("start_time", ">", START)
        async with opened_with(make(), _SIX) as backend:
            for query, numbers in (
                (ObservationQuery(where=(sky, gold)), "1"),
                (ObservationQuery(where=(sky, late)), "2"),
                (ObservationQuery(where=(sky,), user_id="u1"), "1"),
                (ObservationQuery(where=(sky,), trace_id=trace_id_of(2)), "2"),
                (ObservationQuery(where=(late,), trace_id=trace_id_of(3), has_error=True), "5"),
                (ObservationQuery(where=(sky,), search="blue"), "1"),
                (ObservationQuery(where=(gold,), search="the sky"), "1"),
                (ObservationQuery(where=(late,), search="the sky"), "2"),
                (ObservationQuery(where=(sky,), search="..."), ""),
                (ObservationQuery(where=(sky, late, gold)), ""),
            ):
                await _selects(backend, query, numbers)

    async def test_conditions_take_any_text(self, make: MakeBackend) -> None:
        """Conditions: whoever compiles one "has nothing to escape": each text is found by itself, whole and in part."""
        records = [
            span(n, after_s=n, name=f"<{text}>", status_message=f"<{text}>", metadata=_metadata(text))
            for n, text in enumerate(HOSTILE_TEXTS, 1)
        ]
        async with opened_with(make(), records) as backend:
            for number, text in enumerate(HOSTILE_TEXTS, 1):
                whole = f"<{text}>"
                for where in (
                    Condition("name", "=", whole),
                    Condition("name", "contains", whole),
                    Condition("name", "starts with", whole),
                    Condition("status_message", "ends with", whole),
                    Condition("status_message", "any of", (whole, text + "?")),
                    Condition("metadata", "=", text, "text"),
                    Condition("metadata", "is set", None, whole),
                    Condition("metadata", "starts with", "yes", whole),
                ):
                    await _selects(backend, ObservationQuery(where=(where,)), (number,))

    async def test_no_text_contains_what_it_is_stored_as(self, make: MakeBackend) -> None:
        """Filtering: a text is what was recorded; how a store spells what it cannot hold is nobody's business."""
        records = [span(n, after_s=n, name=text) for n, text in enumerate(_ODD, 1)]
        async with opened_with(make(), records) as backend:
            for part in _SPELLED:
                for operator in ("contains", "ends with", "starts with"):
                    where = (Condition("name", operator, part),)
                    numbers = tuple(n for n, text in enumerate(_ODD, 1) if _holds(text, operator, part))
                    await _selects(backend, ObservationQuery(where=where), numbers)

    async def test_lists_by_conditions_leave_payloads_out(self, make: MakeBackend) -> None:
        """ObservationQuery.bodies: without it payloads are absent, also those that a condition was on."""
        where = (Condition("input", "matches", "sky"), Condition("input_cost", "is null"))
        async with opened_with(make(), _SIX) as backend:
            find = observations_in(backend).find
            (bare,) = (await find(PROJECT, ObservationQuery(where=where))).items
            (whole,) = (await find(PROJECT, ObservationQuery(where=where, bodies=True))).items
        same(whole, _SIX[0])
        same(bare, replace(_SIX[0], input=ABSENT, output=ABSENT, metadata=ABSENT))

    async def test_too_many_conditions_are_refused(self) -> None:
        """ObservationQuery: a query has at most a hundred conditions, which name at most five hundred texts."""
        one = Condition("name", "any of", tuple(map(str, range(5))))
        ObservationQuery(where=(one,) * 100)
        for where in ((one,) * 101, (*(one,) * 99, Condition("name", "any of", tuple("123456")))):
            with pytest.raises(ValueError, match="at most"):
                ObservationQuery(where=where)

    async def test_as_many_conditions_as_there_may_be(self, make: MakeBackend) -> None:
        """ObservationQuery: whatever may be asked is answered."""
        several = [Condition("name", "contains", "a"), Condition("tags", "none of", ("x", "y", "z"))]
        several += [
            Condition("latency", ">", 0.5),
            Condition("input", "starts with", "Why"),
            Condition("is_root", "=", _YES),
        ]
        many = tuple(several * 20)
        tags = Condition("tags", "none of", tuple(map(str, range(500))))
        async with opened_with(make(), _SIX) as backend:
            await _selects(backend, ObservationQuery(where=many), "1")
            await _selects(backend, ObservationQuery(where=(tags, *several[2:])), "1")


_ODD: Final = ("\0", "\x01", "\x02", "\ud7ff", "\ud800", "a\0d800", "\ud7ff0", "\udfffx", "0", "\x03d", "\0\x03")
"""Texts in which a store may have to spell something in another way."""
_SPELLED: Final = (
    "\x03",
    "\x04",
    "\x05",
    "\x01",
    "0",
    "d800",
    "800",
    "d",
    "x",
    "\ud7ff",
    "\0",
    "\ud800",
    "u",
    "\\",
    "\ufffd",
)
"""Of what such spellings consist."""


def _holds(text: str, operator: Operator, part: str) -> bool:
    return {"contains": part in text, "ends with": text.endswith(part), "starts with": text.startswith(part)}[operator]


def _metadata(text: str) -> Raw:
    """Return metadata with a text as a value and as a key, written with escapes."""
    return Raw(json.dumps({"text": text, f"<{text}>": "yes"}).encode())


async def _selects(backend: Any, query: ObservationQuery, numbers: str | tuple[int, ...]) -> None:
    """Assert which observations a query finds, newest first, in pages of every length."""
    expected = [span_id_of(number) for number in sorted(map(int, numbers), reverse=True)]
    for limit in (1, 4, 1000):
        pages = await pages_of(observations_in(backend).find, PROJECT, replace(query, limit=limit))
        same([one.span_id for page in pages for one in page], expected, f"{query.where}, {query}, limit {limit}")
