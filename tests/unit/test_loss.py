"""Losses count by reason, know every reason, and hand out copies."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.loss import REASONS, Losses, Reason


def test_every_reason_is_counted_from_zero() -> None:
    """A new count names every reason there is, each with zero."""
    assert Losses().counts() == dict.fromkeys(get_args(Reason), 0)
    assert set(REASONS) == set(get_args(Reason))


@given(additions=st.lists(st.tuples(st.sampled_from(REASONS), st.integers(0, 10**12))))
def test_counts_add_up(additions: list[tuple[Reason, int]]) -> None:
    """Each reason's count is the sum of what was added for it, and of nothing else."""
    losses = Losses()
    for reason, count in additions:
        losses.add(reason, count)
    for reason in REASONS:
        assert losses.counts()[reason] == sum(count for added, count in additions if added == reason)


def test_counts_are_the_callers() -> None:
    """What a reader does to the counts it got changes nothing."""
    losses = Losses()
    losses.add("rejected")
    losses.counts()["rejected"] = 99
    assert losses.counts()["rejected"] == 1


def test_unknown_reason_is_a_mistake_of_ours() -> None:
    """A reason that does not exist is refused, not counted under a new name."""
    with pytest.raises(KeyError):
        Losses().add("bad luck")  # type: ignore[arg-type]  # the point of the test
