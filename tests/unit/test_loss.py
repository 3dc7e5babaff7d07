"""Losses count by reason, know every reason, and are never changed; of each trace its own are known."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.clock import monotonic_ns
from tracecore.loss import REASONS, Losses, LostTraces, Reason


def test_every_reason_is_counted_from_zero() -> None:
    """A new count names every reason there is, each with zero."""
    assert Losses().counts() == dict.fromkeys(get_args(Reason), 0)
    assert set(REASONS) == set(get_args(Reason))


@given(additions=st.lists(st.tuples(st.sampled_from(REASONS), st.integers(0, 10**12))))
def test_counts_add_up(additions: list[tuple[Reason, int]]) -> None:
    """Each reason's count is the sum of what was added for it, and of nothing else."""
    losses = Losses()
    for reason, count in additions:
        losses = losses.plus({reason: count})
    for reason in REASONS:
        assert losses.counts()[reason] == sum(count for added, count in additions if added == reason)
    assert losses.total() == sum(count for _, count in additions)


def test_counts_are_never_changed() -> None:
    """What a reader does to the counts it got changes nothing, and counting more leaves the earlier count as it was."""
    losses = Losses({"rejected": 1})
    losses.counts()["rejected"] = 99
    losses.plus({"rejected": 5})
    assert losses.counts()["rejected"] == 1


def test_a_trace_is_told_its_own_losses() -> None:
    """Whoever asks about a trace hears of its losses by reason, and of no other's."""
    traces = LostTraces()
    traces.add("a", "ring_full")
    traces.add("a", "ring_full")
    traces.add("a", "rejected")
    traces.add("b", "closing")
    traces.add(None, "closing")
    assert traces.of("a") == {"ring_full": 2, "rejected": 1}
    assert traces.of("c") == {}


def test_what_is_remembered_of_traces_is_bounded() -> None:
    """Of more traces than are remembered the oldest is forgotten, and nobody vouches for what began before that."""
    traces = LostTraces(most=2)
    before = monotonic_ns()
    for trace in "ab":
        traces.add(trace, "ring_full")
    assert traces.vouches_for(before)
    traces.add("c", "ring_full")
    assert (traces.of("a"), traces.of("b"), traces.of("c")) == ({}, {"ring_full": 1}, {"ring_full": 1})
    assert not traces.vouches_for(before)
    assert traces.vouches_for(monotonic_ns())


def test_whoever_loses_something_waits_for_nobody() -> None:
    """While somebody counts, losses of others are noted, within bounds, and counted by whoever looks next."""
    traces = LostTraces(most=3)
    before = monotonic_ns()
    with traces._lock:
        for _ in range(3):
            traces.add("a", "ring_full")
        assert traces.vouches_for(before)
        assert traces.of("a") is None, "and a reader does not wait for ever, nor take it for nothing"
    assert traces.of("a") == {"ring_full": 3}
    with traces._lock:
        for _ in range(4):
            traces.add("a", "ring_full")
    assert traces.of("a") == {"ring_full": 6}
    assert not traces.vouches_for(before)


def test_losses_in_the_middle_of_counting_losses() -> None:
    """Whoever loses more at every step of counting a loss (a profiler that emits into a full buffer) ends."""
    traces = LostTraces(most=50)
    inside = False

    def hook(frame: FrameType, _: str, __: object) -> None:
        nonlocal inside
        if not inside and frame.f_code.co_filename == LostTraces.add.__code__.co_filename:
            inside = True
            traces.add("a", "closing")
            inside = False

    previous = sys.getprofile()
    sys.setprofile(hook)
    try:
        for _ in range(100):
            traces.add("a", "closing")
    finally:
        sys.setprofile(previous)
    assert traces.of("a")["closing"] >= 100


def test_losses_that_are_forgotten_in_the_middle_of_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a signal's handler ends the counting, nobody vouches for traces of before, and counting goes on."""
    traces = LostTraces(most=4)
    before = monotonic_ns()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for trace in "abc":
        traces.add(trace, "ring_full")
    with monkeypatch.context() as patch:
        patch.setattr(traces, "_count_one", interrupt)
        with pytest.raises(KeyboardInterrupt):
            traces.add("d", "ring_full")
    assert not traces.vouches_for(before)
    traces.add("e", "ring_full")
    assert traces.of("e") == {"ring_full": 1}


def test_losses_in_many_threads_are_counted_exactly() -> None:
    """Losses of one trace from many threads at once are all counted."""
    traces = LostTraces()
    threads = [threading.Thread(target=lambda: [traces.add("a", "closing") for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert traces.of("a") == {"closing": 8_000}
