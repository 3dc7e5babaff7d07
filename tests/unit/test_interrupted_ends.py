"""A span whose end is interrupted by an exception (of a signal's handler) is open still, or counted: never neither."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.journals import begun
from tracecore.context import POSITION, Route, TraceState
from tracecore.journal import Journal
from tracecore.observe import observe
from tracecore.open_span import OpenSpan, open_child
from tracecore.records import TraceAttributes
from tracecore.ring import Ring
from tracecore.strict_journal import StrictJournal

KERNEL = sys.modules["tracecore"].__path__[0]


def interrupted_at(nth: int, work: Callable[[], object]) -> bool:
    """Do something, raising at the ``nth`` moment at which signals are handled in the kernel; return whether it came.

    That is so when a function begins, and when a call into C has ended.
    """
    moments = 0

    def hook(frame: FrameType, event: str, _: object) -> None:
        nonlocal moments
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(KERNEL):
            moments += 1
            if moments == nth:
                sys.setprofile(None)
                raise KeyboardInterrupt

    previous = sys.getprofile()
    try:
        sys.setprofile(hook)
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(previous)
    return False


def waiting(has_room: Callable[[], bool]) -> bool:
    """Wait for room, to no end."""
    return has_room() and has_room()


def ring_of(kind: str, path: Any) -> Ring[Any]:
    """Return a buffer with room, without it, closed, of bytes in files, or behind a mask."""
    if kind in {"journal", "long"}:
        return begun(path, kind=Journal)
    if kind in {"masked", "synced"}:
        settings = {"mask": str.upper} if kind == "masked" else {"sync": "always"}
        return begun(path, kind=StrictJournal, **settings)
    ring: Ring[Any] = Ring(8, 10**6, on_full=waiting)
    for _ in range(8 if kind == "full" else 0):
        ring.push(span_in(ring, set()))
    ring.closed = kind == "closed"
    return ring


def span_in(ring: Ring[Any], open_spans: set[OpenSpan]) -> OpenSpan:
    """Return an open span that goes into a buffer."""
    route = Route("p", ring, ring.push, open_spans)
    return open_child(TraceState(route, "0" * 31 + "1", TraceAttributes(), {}), None, "span")


def emitted(ring: Ring[Any]) -> int:
    """Return how many items were accepted, or counted as lost."""
    totals = ring.totals()
    return totals["accepted"] + totals["full"] + totals["closed"]


@pytest.mark.parametrize("kind", ["room", "full", "closed", "journal", "long", "masked", "synced"])
def test_an_end_that_is_interrupted_at_any_moment(tmp_path: Any, kind: str) -> None:
    """Whenever an exception comes, the span is open, and can be ended; or it has been counted, once."""
    open_at = counted_at = nth = 0
    early = True
    while early:
        nth += 1
        ring = ring_of(kind, tmp_path / str(nth))
        open_spans: set[OpenSpan] = set()
        span = span_in(ring, open_spans)
        span.output = b'"%s"' % (b"x" * 100_000) if kind == "long" else b""
        before = emitted(ring)
        early = interrupted_at(nth, span.end)
        counted = emitted(ring) - before
        assert (counted, span in open_spans, bool(span.ended)) in {(1, False, True), (0, True, False)}, nth
        open_at, counted_at = open_at + (early and not counted), counted_at + (early and counted)
        span.end()
        assert emitted(ring) - before == 1
        assert open_spans == set()
        ring.closed = True
        ring.end()
    assert open_at
    assert counted_at or kind == "journal", "there is no call after the bytes are there"


@pytest.mark.parametrize("kind", ["room", "full"])
@pytest.mark.parametrize("awaits", [False, True])
def test_an_observed_call_that_is_interrupted_as_it_ends(kind: str, *, awaits: bool) -> None:
    """What decorated functions do at their end, written out, is held to the same."""
    bodies: list[int] = []

    def body() -> None:
        bodies.append(nth)

    async def abody() -> None:
        body()

    traced = observe(body)
    atraced = observe(abody)
    call: Callable[[], object] = (lambda: stepped(atraced())) if awaits else traced
    early, nth = True, 0
    while early:
        nth += 1
        ring = ring_of(kind, None)
        open_spans: set[OpenSpan] = set()
        parent = span_in(ring, open_spans)
        before = emitted(ring)
        POSITION.set(parent)
        try:
            early = interrupted_at(nth, call)
        finally:
            POSITION.set(None)
        children = [span for span in open_spans if span is not parent]
        assert not any(span.ended for span in children)
        if nth in bodies:
            assert (emitted(ring) - before, len(children)) in {(1, 0), (0, 1)}, nth
    assert len(bodies) > 3


def stepped(coroutine: Any) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return


def test_ending_twice_is_ending_once() -> None:
    """A span that had ended is not ended again, nor opened."""
    ring = ring_of("room", None)
    open_spans: set[OpenSpan] = set()
    span = span_in(ring, open_spans)
    span.end()
    ended = span.ended
    span.end()
    assert (emitted(ring), span.ended, open_spans) == (1, ended, set())
