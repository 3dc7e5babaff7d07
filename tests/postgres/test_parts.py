"""A batch is cut into statements between traces, in the order of the locks, and nothing of it is left out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tracecore.records import Observation, Span
from tracecore_postgres import writer

ROWS = 4
CHARACTERS = 12
drawn = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 15)), max_size=30)


def parts_of(spans: list[Observation]) -> list[list[Observation]]:
    """Return the parts of spans, with small statements."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writer, "ROWS_AT_ONCE", ROWS)
        patched.setattr(writer, "_CHARACTERS_AT_ONCE", CHARACTERS)
        return list(writer.parts(spans))


def is_one_statement(spans: list[Observation]) -> bool:
    """Return whether a statement may hold so much."""
    return len(spans) == 1 or (len(spans) <= ROWS and sum(len(one.input) for one in spans) <= CHARACTERS)


@given(drawn)
def test_a_batch_is_cut_between_traces(drawn: list[tuple[int, int]]) -> None:
    """Every span is in one part, every part fits, parts follow in order, and a trace that fits is in one part only."""
    spans: list[Observation] = [
        Span("p", f"{trace}", f"{number}", "n", 1, input=Raw(b"1" * size)) for number, (trace, size) in enumerate(drawn)
    ]
    parts = parts_of(spans)
    assert sorted((one.span_id for part in parts for one in part), key=int) == [one.span_id for one in spans]
    assert all(part and is_one_statement(part) for part in parts)
    of_parts = [{one.trace_id for one in part} for part in parts]
    assert all(max(before) <= min(after) for before, after in pairwise(of_parts))
    for trace in {one.trace_id for one in spans}:
        if is_one_statement([one for one in spans if one.trace_id == trace]):
            assert sum(trace in part for part in of_parts) == 1
