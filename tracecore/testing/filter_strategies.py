"""Random conditions on observations, made of what random records are made of; needs hypothesis, as ``strategies`` does.

Values are often parts of what observations hold, and often next to it: conditions that nothing ever meets prove little.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tracecore.backend import ObservationQuery
from tracecore.conditions import COLUMNS, KINDS, OPERATORS, Column, Condition, Kind, Operator
from tracecore.phrase import words
from tracecore.records import LEVELS, OBSERVATION_TYPES, STATUSES
from tracecore.testing.samples import SECOND, START
from tracecore.testing.strategies import phrases, session_ids, span_ids, texts, trace_ids

__all__ = ["conditions", "filters"]

_short: Final = st.sampled_from(("r1", "r2", "é", "\ud800", ""))
_names: Final = st.one_of(st.sampled_from(("chat", "answer", "")), texts)
_ODD: Final = st.sampled_from(("0", "x", "d800", "d", "b", "\x03", "\x04", "\ud7ff", "\x01", "\x02", "e", "f"))
"""Texts that look like parts of escapes."""
_TEXTS: Final[dict[Column, SearchStrategy[str]]] = {
    "id": span_ids, "parent_id": span_ids, "trace_id": trace_ids, "type": st.sampled_from(OBSERVATION_TYPES),
    "level": st.sampled_from(LEVELS), "status": st.sampled_from(STATUSES), "name": _names,
    "user_id": st.sampled_from(("u1", "u2", "Ж", "")), "session_id": session_ids,
    "environment": st.sampled_from(("production", "staging", "default", "")), "version": _short, "release": _short,
    "trace_name": _names, "model": st.sampled_from(("gpt-x", "é", "\ud800")),
}  # fmt: skip
"""What some columns hold; the others hold any text."""
_times: Final = st.one_of(
    st.integers(0, 8).map(lambda n: START + n * SECOND), st.integers(START, START + 3),
    st.sampled_from((0, 2**62, -(2**63), 2**63 - 1)),
)  # fmt: skip
_seconds: Final = st.sampled_from((0, 1, 2, 3, 0.5, 1e-9, 1.1, -1, 2**40 / 1e9, 2**62, 1e300, 1e-300))
_amounts: Final = st.one_of(
    st.integers(-1, 100), st.integers(0, 8).map(lambda n: n / 2), st.integers(0, 4096).map(lambda n: n / 1024),
    st.sampled_from((2**53, 2**53 - 0.5, -1e300, 2**63 - 1, 1e9)),
)  # fmt: skip
_keys: Final = st.one_of(st.sampled_from(("k", "l", "é", "a\0b", "alpha", "", "metadata")), texts)
_tags: Final = st.lists(st.sampled_from(("web", "beta", "a,b", 'q"t', "é", "\ud800", "")), max_size=3).map(tuple)


def _cut(text: str, first: int, last: int) -> str:
    return text[first : len(text) - last]


def _parts_of(whole: SearchStrategy[str]) -> SearchStrategy[str]:
    """Return texts, whole and with something cut off at either end."""
    few = st.integers(0, 3)
    return st.one_of(whole, _ODD, st.builds(_cut, whole, few, few))


_matched: Final = st.one_of(
    st.sampled_from(("ALPHA", "beta", "Alpha beta", "мир", "京", "都に", "ß", "STRASSE", "crème", "1", "42")), texts
).filter(lambda text: bool(words(text)))
_OF_KIND: Final[dict[Kind, SearchStrategy[Any]]] = {
    "tags": _tags, "flag": st.booleans(), "time": _times, "number": _amounts,
}  # fmt: skip


@st.composite
def _one_condition(draw: st.DrawFn) -> Condition:
    column = draw(st.sampled_from(COLUMNS))
    kind = KINDS[column]
    operator = draw(st.sampled_from(OPERATORS[kind]))
    key = draw(_keys) if kind == "member" and operator not in {"is null", "is not null"} else None
    return Condition(column, operator, draw(_value_for(column, operator)), key)


def _value_for(column: Column, operator: Operator) -> SearchStrategy[Any]:
    """Return what a condition may compare with."""
    kind = KINDS[column]
    if operator.startswith("is "):
        return st.none()
    if column in {"latency", "time_to_first_token"}:
        return _seconds
    if kind in _OF_KIND:
        return _OF_KIND[kind]
    if operator == "matches":
        return _matched
    if kind == "member" and operator in {"=", ">", "<", ">=", "<="}:
        return st.one_of(_amounts, texts) if operator == "=" else _amounts
    found = _TEXTS.get(column, texts)
    return st.lists(found, max_size=3).map(tuple) if operator in {"any of", "none of"} else _parts_of(found)


conditions: Final[SearchStrategy[Condition]] = _one_condition()
filters: Final[SearchStrategy[ObservationQuery]] = st.builds(
    ObservationQuery,
    limit=st.sampled_from((1, 2, 3, 1000)),
    search=st.one_of(*[st.none()] * 15, phrases),
    trace_id=st.one_of(*[st.none()] * 9, trace_ids),
    bodies=st.booleans(),
    where=st.integers(0, 3).flatmap(lambda n: st.tuples(*[conditions] * max(1, n))),
)
"""Queries for observations that meet one to three conditions, more often one."""
