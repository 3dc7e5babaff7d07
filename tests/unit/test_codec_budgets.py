"""Limits cut before they copy, say what they left out, and leave something for whatever follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.codec import DEFAULT_LIMITS, Limits, encoded
from tracecore.walk import walk

MEGABYTES = 10_000_000
UNTIMED = Limits(max_time_ns=10**18)


def written(value: object, **limits: int) -> Any:
    """Return what a reader of the JSON sees."""
    return json.loads(encoded(value, Limits(**{"max_time_ns": 10**18, **limits})))


def test_a_long_string_keeps_both_ends() -> None:
    """A string that is too long becomes its beginning, its end, its length and a fingerprint."""
    found = written("a" * MEGABYTES + "z")["$truncated"]
    assert found["head"] == "a" * (65_536 * 3 // 4)
    assert found["tail"] == "a" * (65_536 // 4 - 1) + "z"
    assert found["length"] == MEGABYTES + 1
    assert len(found["fingerprint"]) == 16


def test_fingerprints_tell_long_values_apart() -> None:
    """Equal values have equal fingerprints; other lengths, ends or contents give others."""

    def fingerprint(text: str) -> str:
        return str(written(text)["$truncated"]["fingerprint"])

    long = "ab" * 100_000
    assert fingerprint(long) == fingerprint("ab" * 100_000)
    others = {fingerprint(other) for other in (long + "a", "x" + long[1:], long[:-1] + "x", "ba" * 100_000)}
    assert len(others | {fingerprint(long)}) == 5


def test_long_bytes_keep_their_beginning() -> None:
    """Bytes that are too long become their beginning, their length and a fingerprint."""
    found = written(b"\x00" * MEGABYTES)["$bytes"]
    assert found["length"] == MEGABYTES
    assert set(found) == {"base64", "length", "fingerprint"}
    assert written(bytearray(MEGABYTES))["$bytes"] == written(memoryview(bytes(MEGABYTES)))["$bytes"] == found


def test_a_string_whose_characters_take_six_bytes_each() -> None:
    """Characters that JSON must escape are counted as what they take."""
    found = encoded("\x01" * 60_000, UNTIMED)
    assert len(found) <= DEFAULT_LIMITS.max_bytes
    assert json.loads(found)["$truncated"]["length"] == 60_000


@pytest.mark.parametrize("element", [1, 1.5, True, None, "text", [1], {"a": 1}, object(), (object(),)])
def test_a_long_list_keeps_its_beginning(element: object) -> None:
    """A list of ten million shows as many elements as there is room for, and how many more there are."""
    found = written([element] * MEGABYTES)
    *shown, last = found
    assert len(shown) > 500
    assert len(shown) + last["$omitted"] == MEGABYTES


def test_a_long_dict_keeps_its_beginning() -> None:
    """A dict of a million shows as many entries as there is room for, and how many more there are."""
    found = written(dict.fromkeys(range(1_000_000), "v"))
    omitted = found.pop("$omitted")
    assert len(found) + omitted == 1_000_000
    assert list(found)[:2] == ["0", "1"]
    slots = written(type("Wide", (), {})())
    assert slots == {"$type": f"{__name__}.Wide"}


def test_an_object_of_a_million_fields() -> None:
    """Fields of an object are cut like entries of a dict."""

    class Wide:
        pass

    wide = Wide()
    vars(wide).update({f"f{number}": number for number in range(100_000)})
    found = written(wide)
    assert len(found) - 1 + found["$omitted"] == 100_001


def test_what_follows_is_not_starved() -> None:
    """Arguments after a huge one are still there."""
    found = written({"documents": ["text" * 50] * 100_000, "query": "what?", "k": 5, "filter": {"lang": "en"}})
    assert found["query"] == "what?"
    assert found["k"] == 5
    assert found["filter"] == {"lang": "en"}
    assert found["documents"][-1]["$omitted"] > 90_000


def test_depth() -> None:
    """What is inside more containers than allowed is named, not read."""
    assert written([[[object()]]], max_depth=2) == [[{"$omitted": {"type": "list", "reason": "depth"}}]]


def test_nodes_and_bytes_are_one_budget() -> None:
    """Few nodes mean few values, few bytes mean few bytes, whatever the other allows."""
    texts = [f"text {number}" for number in range(1_000)]
    assert len(written([{object()} for _ in texts], max_nodes=50)) < 50
    assert len(encoded(texts, Limits(max_bytes=2_000, max_time_ns=10**18))) <= 2_000


@given(
    st.recursive(
        st.one_of(st.text(), st.integers(), st.binary(), st.floats()),
        lambda inside: st.one_of(st.lists(inside), st.dictionaries(st.one_of(st.text(), st.integers()), inside)),
        max_leaves=100,
    ),
    st.builds(Limits, max_bytes=st.integers(1_000, 5_000), max_string=st.integers(10, 1_000)),
)
def test_never_much_more_than_allowed(value: Any, limits: Limits) -> None:
    """What is written stays within max_bytes but for markers, and is valid JSON, wherever it is cut."""
    found = encoded(value, limits)
    json.loads(found)
    assert len(found) <= limits.max_bytes + 700


class SteppingClock:
    """A clock that moves on by ``step`` ns each time it is read."""

    def __init__(self, step: int) -> None:
        self.now = 0
        self.step = step
        self.reads = 0

    def __call__(self) -> int:
        """Return ns."""
        self.reads += 1
        self.now += self.step
        return self.now


@pytest.mark.parametrize(("make", "values"), [(lambda: 1j, 1), (object, 4)], ids=["scalars", "objects"])
def test_time(make: Callable[[], object], values: int) -> None:
    """When the time is over, the values so far are kept and the rest is counted as left out; an object is several."""
    clock = SteppingClock(600_000)
    found = json.loads(walk([make() for _ in range(4_000)], DEFAULT_LIMITS, clock))
    *shown, last = found
    assert clock.reads == 3  # at the start, after 64 values, and after 128: 1.2 ms
    assert 64 < len(shown) * values <= 128
    assert len(shown) + last["$omitted"] == 4_000


def test_the_clock_is_not_looked_at_for_small_values() -> None:
    """A value of a few nodes looks at the clock once."""
    clock = SteppingClock(0)
    walk({"a": object()}, DEFAULT_LIMITS, clock)
    assert clock.reads == 1


def test_strings_inside_time() -> None:
    """Big values count as many: a hundred long strings do not run past the deadline."""
    clock = SteppingClock(10**9)
    found = json.loads(walk([object(), *["x" * MEGABYTES] * 100], DEFAULT_LIMITS, clock))
    assert found[-1]["$omitted"] >= 98


@pytest.mark.parametrize("name", ["max_bytes", "max_string", "max_nodes", "max_depth", "max_time_ns"])
def test_limits_of_nothing_still_give_json(name: str) -> None:
    """A limit of zero or one leaves markers, not errors."""
    for value in (0, 1):
        json.loads(encoded({"a": [object(), "text" * 100], "b": b"x"}, Limits(**{name: value})))
        json.loads(encoded("text" * 100, Limits(**{name: value})))
