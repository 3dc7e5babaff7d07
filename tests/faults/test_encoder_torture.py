"""The encoder against everything: whatever the value, it is written, as valid JSON, in time, and nothing of it runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.faults.hostile_values import CALLED, HOSTILE, nested_value
from tests.torture.declaring import only_in_full, torture
from tests.torture.trial import Trial
from tracecore.codec import DEFAULT_LIMITS, Limits, binder, encoded, error_info
from tracecore.walk import walk

UNTIMED = Limits(max_time_ns=10**18)
BEYOND_LIMIT = 2_048  # bytes that markers may take


def check(value: Any, limits: Limits = DEFAULT_LIMITS) -> None:
    """Assert that a value becomes JSON that our own readers and others understand, within limits."""
    found = encoded(value, limits)
    json.loads(found)
    msgspec.json.decode(found)
    assert len(found) <= limits.max_bytes + BEYOND_LIMIT
    assert CALLED == []


def cheapest_ns(work: Callable[[], object], limit_ns: int) -> int:
    """Return the CPU time of a piece of work; of several, the least: a collection of garbage may fall into one."""
    least = sys.maxsize
    for _ in range(5):
        started = time.thread_time_ns()
        work()
        least = min(least, time.thread_time_ns() - started)
        if least <= limit_ns:
            break
    return least


@torture("T35", "nothing of a hostile value runs")
@pytest.mark.parametrize("make", HOSTILE)
def test_nothing_of_a_hostile_value_runs(make: Callable[[], Any]) -> None:
    """No method, property or metaclass of the program is called, wherever the value is: alone, inside, as a key."""
    CALLED.clear()
    check(make())
    check({"in": [make()], "set": {make()}, "key": {make(): make()}})
    json.loads(binder(lambda a, *b, **c: None)((make(), make()), {"k": make()}))


@torture("T35", "random values, within limits", rounds=3_000, full=100_000)
def test_any_value_is_written(trial: Trial) -> None:
    """Random nested values of every kind become valid JSON within limits."""
    CALLED.clear()
    for case in trial.cases():
        with case:
            draw = case.chance
            value = nested_value(draw)
            check(value)
            small = Limits(
                max_bytes=draw.choice([500, 5_000]), max_nodes=draw.choice([5, 500]), max_depth=draw.randint(1, 8)
            )
            check(value, small)


@torture("T35", "random values, each in 2 ms of CPU", rounds=100_000)
@only_in_full
def test_any_value_is_written_in_two_milliseconds(trial: Trial) -> None:
    """A hundred thousand random values are written, each within 2 ms of CPU."""
    CALLED.clear()
    for case in trial.cases():
        with case:
            value = nested_value(case.chance)
            check(value)
            assert cheapest_ns(lambda value=value: encoded(value), 2_000_000) <= 2_000_000  # type: ignore[misc] # bound on purpose


def self_references(count: int) -> dict[int, Any]:
    """Return a dict that holds itself ``count`` times."""
    box: dict[int, Any] = {}
    box.update(dict.fromkeys(range(count), box))
    return box


def shared(depth: int) -> list[Any]:
    """Return a graph of ``depth`` lists with 2**depth paths."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value, value]
    return value


def nest(depth: int) -> list[Any]:
    """Return a list ``depth`` deep."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def all_knowing_each_other(count: int) -> list[Any]:
    """Return dicts of which each holds all others."""
    boxes: list[dict[int, Any]] = [{} for _ in range(count)]
    for box in boxes:
        box.update(enumerate(boxes))
    return boxes


BOMBS: dict[str, Callable[[], Any]] = {
    **{f"{count} self references": lambda count=count: self_references(count) for count in range(1, 11)},
    "shared graph of depth 60": lambda: shared(60),
    "nesting of 100,000": lambda: nest(100_000),
    "60 dicts that know each other": lambda: all_knowing_each_other(60),
    "list of 10,000,000 numbers": lambda: list(range(10_000_000)),
    "list of 10,000,000 texts": lambda: ["text"] * 10_000_000,
    "list of 10,000,000 objects": lambda: [object()] * 10_000_000,
    "dict of 1,000,000": lambda: dict.fromkeys(range(1_000_000)),
    "set of 1,000,000": lambda: set(range(1_000_000)),
    "10 MB of text": lambda: "x" * 10_000_000,
    "10 MB of wide text": lambda: "漢" * 5_000_000,
    "10 MB of control characters": lambda: "\x01" * 10_000_000,
    "10 MB of bytes": lambda: bytes(10_000_000),
    "10 MB as a key": lambda: {"x" * 10_000_000: 1},
    "a thousand times 10 MB": lambda: ["x" * 10_000_000] * 1_000,
    "an integer of a million bits": lambda: 1 << 1_000_000,
}


def number_of(bomb: str) -> str:
    """Return which torture a bomb belongs to: large arguments, or graphs."""
    return "T21" if "10 MB" in bomb else "T36"


def bombs(title: str) -> pytest.MarkDecorator:
    """Return every bomb as a parameter, declared as the torture that it is."""
    return pytest.mark.parametrize(
        "bomb", [pytest.param(bomb, marks=torture(number_of(bomb), title)) for bomb in BOMBS]
    )


@bombs("the work is bounded, whatever the clock says")
def test_a_bomb_is_walked_once(bomb: str) -> None:
    """However many paths or elements there are, the work is bounded by the limits, whatever the clock says."""
    CALLED.clear()
    value = BOMBS[bomb]()
    looks = 0

    def standing_clock() -> int:
        nonlocal looks
        looks += 1
        return 0

    found = walk(value, UNTIMED, standing_clock)
    json.loads(found)
    assert len(found) <= UNTIMED.max_bytes + BEYOND_LIMIT
    assert looks <= 2 + 2 * UNTIMED.max_nodes // 64  # the clock is looked at once in 64 values


@only_in_full
@bombs("5 ms of CPU at most")
def test_a_bomb_takes_five_milliseconds(bomb: str) -> None:
    """No graph stalls the caller for more than 5 ms of CPU, and no long string or list for more than 2."""
    value = BOMBS[bomb]()
    assert cheapest_ns(lambda: encoded(value), 1_000_000) <= 5_000_000


@torture("T36", "at the end of the stack")
def test_at_the_end_of_the_stack() -> None:
    """However few frames the program has left of its stack, what cannot be walked is marked, and nothing is raised."""

    def dive(left: int) -> bytes:
        return dive(left - 1) if left else encoded({"a": [object(), {"b": [object()]}], "c": 1})

    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment] # the outermost has none
    for room in range(10, 150):
        json.loads(dive(sys.getrecursionlimit() - depth - room))


@torture("T35", "an exception whose every method raises")
def test_an_exception_that_punishes() -> None:
    """An exception whose every method raises is described; its class is named."""
    CALLED.clear()
    error = HOSTILE[10]()
    info = error_info(error)
    assert info.type == "tests.faults.hostile_values.HostileError"
    assert info.message == "<__str__ raised RuntimeError>"
    CALLED.clear()
