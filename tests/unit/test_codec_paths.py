"""The fast path, the walk, and the walk without any help from C write the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.codec import DEFAULT_LIMITS, Limits, binder, encoded, snapshot
from tracecore.plain import room_after_dict, room_after_list
from tracecore.walk import walk

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
PLAIN = st.recursive(
    SCALARS,
    lambda inside: st.one_of(
        st.lists(inside, max_size=40),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=30, max_size=70),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inside, max_size=24),
        st.tuples(inside, inside),
    ),
    max_leaves=60,
)
SMALL_LIMITS = st.builds(
    Limits,
    max_bytes=st.integers(64, 20_000),
    max_string=st.integers(8, 500),
    max_nodes=st.integers(1, 200),
    max_depth=st.integers(1, 8),
)
UNTIMED = Limits(max_time_ns=10**18)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Make the walk write every value itself."""
    with mock.patch.multiple(
        "tracecore.walk",
        room_after_dict=lambda *_: -1,
        room_after_list=lambda *_: -1,
        are_plain_numbers=lambda _: False,
        _is_short=lambda _: False,
    ):
        yield


def is_fast(value: Any, limits: Limits = UNTIMED) -> bool:
    """Return whether the fast path takes the value."""
    if type(value) is dict:
        return room_after_dict(value, limits.room, limits.max_depth) >= 0
    return room_after_list((value,), limits.room, limits.max_depth + 1) >= 0


@given(PLAIN)
def test_every_path_writes_the_same(value: Any) -> None:
    """A plain value becomes the same JSON by all three ways, and that JSON says what the value was."""
    fast = encoded(value, UNTIMED)
    assert is_fast(value)
    assert fast == walk(value, UNTIMED)
    with one_by_one():
        assert fast == walk(value, UNTIMED)
    assert json.loads(fast) == json.loads(json.dumps(value))


@given(PLAIN, SMALL_LIMITS)
def test_walk_cuts_nothing_that_the_fast_path_takes(value: Any, limits: Limits) -> None:
    """Whatever the limits, what the fast path accepts is written whole by the walk too."""
    untimed = msgspec.structs.replace(limits, max_time_ns=10**18)
    if is_fast(value, untimed):
        with one_by_one():
            assert walk(value, untimed) == encoded(value, untimed)


@given(st.lists(PLAIN, max_size=5), st.dictionaries(st.sampled_from(["a", "b", "k", "c"]), PLAIN, max_size=3))
def test_binding_writes_what_a_dict_of_the_arguments_would(args: list[Any], kwargs: dict[str, Any]) -> None:
    """A call that binds is written as the dict of its arguments by name, defaults included, in their order."""

    def function(a: Any, b: Any = 7, *, k: Any = "key") -> dict[str, Any]:
        return {"a": a, "b": b, "k": k}

    try:
        by_name: dict[str, Any] = function(*args, **kwargs)
    except TypeError:
        by_name = {"args": args, "kwargs": kwargs}
    bound = binder(function)(tuple(args), kwargs, UNTIMED)
    with one_by_one():
        assert bound == walk(by_name, UNTIMED)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")] * 40,
        2**64,
        [2**64] * 40,
        -(2**63) - 1,
        {1: 2},
        b"x",
        "\ud800",
        {"\ud800": 1},
        {1, 2},
        object(),
        "x" * 40_000,
        list(range(3_000)),
        {"x" * 40_000: 1},
        [[]] * 3_000,
    ],
)
def test_fast_path_refuses_what_is_not_plain_or_not_small(value: Any) -> None:
    """What JSON has no exact form for, or what is large, is not left to C as it is."""
    if is_fast(value):  # lone surrogates, which C itself refuses
        with pytest.raises(UnicodeEncodeError):
            msgspec.json.encode(value)


def test_depth_is_the_same_on_both_paths() -> None:
    """Exactly max_depth containers inside each other are written whole; one more is cut at the same place."""
    value: list[Any] = []
    for _ in range(DEFAULT_LIMITS.max_depth - 1):
        value = [value]
    assert is_fast(value)
    with one_by_one():
        assert walk(value, UNTIMED) == encoded(value, UNTIMED)
    assert not is_fast([value])
    assert b'{"$omitted":{"type":"list","reason":"depth"}}' in encoded([value], UNTIMED)


def test_a_value_that_another_thread_changes_is_still_written() -> None:
    """When a dict changes while it is looked at, the walk, which copies it in one step, writes it."""

    def changed(value: dict[str, int], *_: object) -> int:
        raise RuntimeError("dictionary changed size during iteration")

    with mock.patch("tracecore.snapshots.room_after_dict", changed):
        assert encoded({"a": 1}) == b'{"a":1}'


def test_snapshot_wraps_what_encoded_returns() -> None:
    """A snapshot is a payload: the same bytes, ready to be spliced into a record."""
    assert bytes(snapshot({"a": [1]})) == encoded({"a": [1]}) == msgspec.json.encode(snapshot({"a": [1]}))
