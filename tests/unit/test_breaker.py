"""The breaker waits longer with every failure in a row, opens after five, and lets a probe through when it is time."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes import ManualClock
from tracecore.breaker import Breaker, asked_for


def longest(_: float, high: float) -> float:
    """Draw the longest wait."""
    return high


def test_waits_double_up_to_a_bound() -> None:
    """The first failure costs up to 50 ms, each further one twice that, and none more than 5 s."""
    breaker = Breaker(ManualClock(), longest)
    waits = [breaker.failed() for _ in range(10)]
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_jitter_is_drawn_from_nothing_to_the_bound() -> None:
    """Every wait is drawn anew between nothing and the bound of that failure."""
    drawn: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 2

    breaker = Breaker(ManualClock(), jitter)
    assert [breaker.failed() for _ in range(3)] == [0.025, 0.05, 0.1]
    assert drawn == [(0, 0.05), (0, 0.1), (0, 0.2)]


def test_closed_open_half_open_closed() -> None:
    """Five failures in a row open it, time half opens it, failure opens it again, success closes it."""
    clock = ManualClock()
    breaker = Breaker(clock, longest)
    states = []
    for _ in range(5):
        states.append(breaker.state)
        breaker.failed()
    assert states == ["closed"] * 5
    assert breaker.state == "open"
    clock.advance(breaker.wait())
    assert (breaker.state, breaker.wait()) == ("half_open", 0.0)
    breaker.failed()
    assert breaker.state == "open"
    clock.advance(5)
    breaker.succeeded()
    assert (breaker.state, breaker.wait()) == ("closed", 0.0)
    assert breaker.failed() == 0.05, "and the count begins anew"


def test_a_success_in_between_keeps_it_closed() -> None:
    """Only failures in a row open it."""
    breaker = Breaker(ManualClock(), longest)
    for _ in range(10):
        for _ in range(4):
            breaker.failed()
        breaker.succeeded()
    assert breaker.state == "closed"


def test_what_the_other_side_asks_for_is_obeyed() -> None:
    """A wait is at least as long as was asked for, even where the breaker would try earlier."""
    clock = ManualClock()
    breaker = Breaker(clock, longest)
    assert breaker.failed(retry_after=30) == 30
    assert breaker.wait() == 30
    assert breaker.failed(retry_after=0.01) == 0.1


@pytest.mark.parametrize("garbage", [None, math.nan, -5, -math.inf, "30", "soon", [], True, object(), b"3"])
def test_garbage_is_not_obeyed(garbage: object) -> None:
    """What is no number of seconds costs nobody anything."""
    assert asked_for(garbage) == 0
    assert Breaker(ManualClock(), longest).failed(garbage) == 0.05


@given(st.floats() | st.integers() | st.none() | st.text())
@example(10**400)
@example(-(10**400))
def test_nobody_is_made_to_wait_for_ever(retry_after: object) -> None:
    """Whatever is asked for, a wait is at most an hour."""
    assert 0 <= Breaker(ManualClock(), longest).failed(retry_after) <= 3_600


def test_fails_for_years() -> None:
    """A thousand failures in a row are no number that is too large."""
    breaker = Breaker(ManualClock(), longest)
    for _ in range(5_000):
        breaker.failed()
    assert breaker.failed() == 5.0


def test_other_measures() -> None:
    """Whoever guards something else says how many failures open it and how long it waits."""
    breaker = Breaker(ManualClock(), longest, opens_after=1, first_wait=2, longest_wait=3)
    assert (breaker.failed(), breaker.state) == (2, "open")
    assert breaker.failed() == 3
