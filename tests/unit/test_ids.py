"""Ids have the W3C form, never repeat, and trace ids order by the time at which they were drawn."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore import ids
from tracecore.ids import new_span_id, new_trace_id, tick

HEX = re.compile(r"[0-9a-f]+")
MILLISECOND = 1_000_000
POOL_SEVERAL_TIMES = 5_000


@pytest.mark.parametrize(("draw", "length"), [(new_span_id, 16), (new_trace_id, 32)])
def test_format(draw: type[str], length: int) -> None:
    """An id is lower-case hexadecimal of the length that W3C Trace Context asks for, across refills of the pool."""
    for _ in range(POOL_SEVERAL_TIMES):
        found = draw()
        assert len(found) == length
        assert HEX.fullmatch(found)


@pytest.mark.parametrize("draw", [new_span_id, new_trace_id])
def test_never_twice_in_any_thread(draw: type[str]) -> None:
    """No id is handed out twice, however many threads draw and refill at once."""
    together = threading.Barrier(8)

    def draw_many(_: int) -> list[str]:
        together.wait()
        return [draw() for _ in range(POOL_SEVERAL_TIMES)]

    with ThreadPoolExecutor(8) as threads:
        drawn = [found for part in threads.map(draw_many, range(8)) for found in part]
    assert len(set(drawn)) == len(drawn) == 8 * POOL_SEVERAL_TIMES


def test_randomness_uses_every_digit() -> None:
    """Each of the digits that sampling and uniqueness rest on takes all 16 values."""
    drawn = [new_trace_id() for _ in range(POOL_SEVERAL_TIMES)]
    for position in range(12, 32):
        assert len({found[position] for found in drawn}) == 16, position


@given(milliseconds=st.lists(st.integers(0, (1 << 48) - 1), min_size=2, max_size=5, unique=True))
def test_order_of_trace_ids_is_order_of_time(milliseconds: list[int]) -> None:
    """Trace ids drawn after a later tick sort after those drawn before, and begin with the milliseconds."""
    drawn = []
    for moment in sorted(milliseconds):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ids, "wall_ns", lambda moment=moment: moment * MILLISECOND)
            new_trace_id()  # a refill brings the time up to date too: let it happen under this clock
            tick()
            drawn.append(new_trace_id())
    tick()
    assert drawn == sorted(drawn)
    assert [int(found[:12], 16) for found in drawn] == sorted(milliseconds)


def test_time_wraps_instead_of_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock before 1970 or far in the future still gives ids of the right length."""
    for moment in (-1, -(1 << 70), 1 << 80):
        monkeypatch.setattr(ids, "wall_ns", lambda moment=moment: moment)
        tick()
        assert len(new_trace_id()) == 32
    monkeypatch.undo()
    tick()


def test_forked_child_draws_other_ids() -> None:
    """What parent and child draw after a fork never coincides, even from a pool that was full at the fork."""
    new_span_id()
    new_trace_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, "".join(draw() for draw in [new_span_id, new_trace_id] for _ in range(700)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    spans = {text[at : at + 16] for at in range(0, 700 * 16, 16)}
    traces = {text[at : at + 32] for at in range(700 * 16, 700 * 48, 32)}
    assert len(spans) == len(traces) == 700
    assert spans.isdisjoint(new_span_id() for _ in range(2_000))
    assert {found[12:] for found in traces}.isdisjoint(new_trace_id()[12:] for _ in range(2_000))


def test_no_entropy_is_asked_of_the_system_per_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing never calls ``os.urandom``, which lets go of the GIL and waits for it beside a busy thread."""
    new_span_id()
    new_trace_id()

    def refuse(_: int) -> bytes:
        message = "os.urandom was called"
        raise AssertionError(message)

    monkeypatch.setattr(os, "urandom", refuse)
    for _ in range(POOL_SEVERAL_TIMES):
        new_span_id()
        new_trace_id()
