"""Readers of attributes and fields: no value, whatever its own code does, makes them raise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.attributes import (
    MAX_TAGS,
    cost_of,
    extend_attributes,
    level_of,
    prompt_of,
    text_of,
    texts_of,
    time_ns_of,
    type_of,
    usage_of,
)
from tracecore.fields import TraceFields
from tracecore.records import Generation, TraceAttributes, encode_record


class Text(str):
    """Lie about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError

    __getitem__ = __len__ = __iter__ = encode = __str__


class Hostile:
    """Raise at every touch."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)

    @property
    def __class__(self) -> Any:
        raise ValueError

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __iter__ = __len__ = __bool__ = __eq__ = __hash__ = __float__ = __int__ = __str__


class HostileMapping(dict[str, Any]):
    """Be a mapping that raises."""

    def items(self) -> Any:
        """Raise."""
        raise ValueError

    get = __iter__ = __getitem__ = __len__ = items


class Endless(Mapping[str, int]):
    """Be a mapping without an end."""

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"key {number}"

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 0


class HostileList(list[str]):
    """Be a list that raises."""

    def __iter__(self) -> Any:
        raise ValueError

    __len__ = __getitem__ = __iter__


class HostileFloat(float):
    """Be a number that raises."""

    def __float__(self) -> float:
        raise ValueError

    __le__ = __ge__ = __lt__ = __gt__ = __eq__ = __int__ = __float__
    __hash__ = float.__hash__


class HostileZone(tzinfo):
    """Be a time zone that raises."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        """Raise."""
        raise ValueError


HOSTILE: list[Any] = [
    *(Hostile(), Hostile, HostileMapping(a=1), HostileMapping(prompt_tokens_details={}), Endless(), Text("x")),
    *(HostileList(["a"]), HostileFloat(1), datetime(2025, 1, 1, tzinfo=HostileZone())),
    *(datetime(1, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001 - local time of these cannot be told
    *(10**400, -(10**400), float("nan"), float("inf")),
    *({"a": Hostile()}, {Hostile: 1}, {"a": 10**400, "b": float("inf"), "c": HostileFloat(1)}),
    *({"prompt_tokens_details": HostileMapping()}, {"total": 1e308, "b": 1e308}, {"\ud800": 1}),
    *((Hostile(), Hostile()), [Hostile()], {"name": Hostile(), "version": 10**30}, ("p", -1)),
    *("\ud800", "\x00", "x" * 100_000, b"\xff", object(), NotImplemented, lambda: None),
]
scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    *(st.datetimes(), st.decimals(), st.uuids(), st.integers(0, len(HOSTILE) - 1).map(lambda number: HOSTILE[number])),
)  # not HOSTILE.__getitem__: hypothesis would show all of the list

NAMES = ["input", "total", "prompt_tokens", "prompt_tokens_details", "name", "version"]
names = st.one_of(st.text(max_size=5), st.sampled_from(NAMES))


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return lists and dicts of values."""
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4))


anything = st.recursive(scalars, containers, max_leaves=8)


def check_every_reader(value: Any) -> None:
    """Read a value in every way, and hold the results to what a store can keep."""
    generation = Generation("p", "0" * 32, "0" * 16, "n", 0, level=level_of(value), type=type_of(value))
    buckets, provided = usage_of(value)
    costs, total = cost_of(value)
    fields: Any = dict.fromkeys(TraceFields.__annotations__, value)
    extended = extend_attributes(TraceAttributes(), fields)
    whole = msgspec.structs.replace(
        generation, usage_details=buckets, provided_usage_details=provided, cost_details=costs, total_cost=total,
        completion_start_ns=time_ns_of(value), tool_call_names=texts_of(value), trace=extended, **prompt_of(value),
    )  # fmt: skip
    decoded = msgspec.json.decode(encode_record(whole), type=Generation)
    assert decoded.usage_details == buckets
    assert decoded.cost_details == costs
    assert decoded.trace.tags == extended.tags
    assert all(0 <= units < 2**63 for units in (buckets or {}).values())
    assert total is None or math.isfinite(total)
    assert whole.completion_start_ns is None or 0 <= whole.completion_start_ns < 2**63
    assert whole.prompt_version is None or 0 <= whole.prompt_version < 2**63
    text = text_of(value)
    assert text is None or (type(text) is str and len(text) <= 200 and text.encode() is not None)
    assert len(extended.tags) <= MAX_TAGS


@given(anything)
def test_no_value_makes_a_reader_raise(value: Any) -> None:
    """Whatever is given, every reader returns something that can be encoded, decoded and stored."""
    check_every_reader(value)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_no_hostile_value_makes_a_reader_raise(number: int) -> None:
    """Objects whose own code raises, endless mappings and numbers beyond every type cost themselves only."""
    check_every_reader(HOSTILE[number])
