"""An emit to several buffers that is interrupted (by a signal's handler that raises) is in all of them, or in none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.test_interrupted_ends import emitted, interrupted_at, ring_of
from tracecore.context import Route, TraceState
from tracecore.fan_out import FanOut
from tracecore.open_span import OpenSpan, open_child
from tracecore.records import TraceAttributes
from tracecore.ring import Ring

KINDS = [("room", "room"), ("full", "room"), ("room", "full"), ("closed", "room"), ("journal", "room"),
         ("room", "journal"), ("masked", "full"), ("room", "room", "room")]  # fmt: skip


def span_into(fan: FanOut, open_spans: set[OpenSpan]) -> OpenSpan:
    """Return an open span that goes into several buffers."""
    route = Route("p", fan, fan.push, open_spans)
    return open_child(TraceState(route, "0" * 31 + "1", TraceAttributes(), {}), None, "span")


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
def test_an_end_that_is_interrupted_at_any_moment(tmp_path: Any, kinds: tuple[str, ...]) -> None:
    """Whenever an exception comes, the span is open and in no buffer; or every buffer has counted it, once."""
    open_at = counted_at = nth = 0
    early = True
    while early:
        nth += 1
        rings = [ring_of(kind, tmp_path / f"{nth}-{place}") for place, kind in enumerate(kinds)]
        open_spans: set[OpenSpan] = set()
        span = span_into(FanOut(rings), open_spans)
        before = [emitted(ring) for ring in rings]
        early = interrupted_at(nth, span.end)
        counted = {emitted(ring) - old for ring, old in zip(rings, before, strict=True)}
        found = counted, span in open_spans, bool(span.ended)
        assert found in [({1}, False, True), ({0}, True, False)], nth
        open_at, counted_at = open_at + (early and counted == {0}), counted_at + (early and counted == {1})
        span.end()
        assert [emitted(ring) - old for ring, old in zip(rings, before, strict=True)] == [1] * len(rings)
        assert open_spans == set()
        for ring in rings:
            ring.closed = True
            ring.end()
    assert open_at
    assert counted_at


class Broken(Ring[Any]):
    """A buffer whose push is interrupted each time, before it counts anything."""

    def __init__(self, times: int) -> None:
        super().__init__(10, 10**6)
        self.interruptions = times

    def push(self, item: Any, size: int = 0) -> bool:
        """Be interrupted, unless that was often enough."""
        if self.interruptions:
            self.interruptions -= 1
            raise KeyboardInterrupt(self.interruptions)
        return super().push(item, size)


class Late(Broken):
    """A buffer whose push is interrupted when it has counted the item."""

    def push(self, item: Any, size: int = 0) -> bool:
        """Count, and be interrupted."""
        accepted = Ring.push(self, item, size)
        if self.interruptions:
            self._local.counted = item
            raise KeyboardInterrupt("late")
        return accepted


def test_what_an_interrupted_buffer_has_counted_is_not_handed_to_it_again() -> None:
    """A second signal that comes when the item is in the next buffer already leaves it there once."""
    rings: list[Ring[Any]] = [Late(1), Late(1), Ring(10, 10**6)]
    open_spans: set[OpenSpan] = set()
    span = span_into(FanOut(rings), open_spans)
    with pytest.raises(KeyboardInterrupt, match="late"):
        span.end()
    assert [emitted(ring) for ring in rings] == [1, 1, 1]
    assert (open_spans, bool(span.ended)) == (set(), True)


def test_who_is_interrupted_again_goes_on_again() -> None:
    """A second signal while the rest is handed on is raised in the end, and the rest is handed on all the same."""
    rings: list[Ring[Any]] = [Ring(10, 10**6), Broken(2), Ring(10, 10**6)]
    open_spans: set[OpenSpan] = set()
    span = span_into(FanOut(rings), open_spans)
    with pytest.raises(KeyboardInterrupt, match="0"):
        span.end()
    assert [emitted(ring) for ring in rings] == [1, 1, 1]
    assert (open_spans, bool(span.ended)) == (set(), True)


def test_who_is_interrupted_for_ever_does_not_go_on_for_ever() -> None:
    """A buffer that cannot be reached, however often that is tried, keeps no other from its record."""
    rings: list[Ring[Any]] = [Ring(10, 10**6), Broken(1_000), Ring(10, 10**6)]
    open_spans: set[OpenSpan] = set()
    span = span_into(FanOut(rings), open_spans)
    with pytest.raises(KeyboardInterrupt):
        span.end()
    assert [emitted(ring) for ring in rings] == [1, 0, 1]
    assert open_spans == set()
