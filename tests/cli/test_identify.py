"""From the beginning of an id to the trace that was meant."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from tests.cli.recorded import span
from tracecore.cli.identify import AmbiguousId, find_trace
from tracecore.errors import NotFound
from tracecore.memory import MemoryBackend, open_backend
from tracecore.records import Record, Trace

MADE_MS = 0x18BCFE56800  # 2023-11-14, the time part of ids made then
OURS, TWIN, FOREIGN = MADE_MS << 80 | 0xABC << 68, MADE_MS << 80 | 0xABD << 68, 0xFEDC << 112


async def filled(records: Sequence[Record]) -> MemoryBackend:
    """Return an open store with these records."""
    backend = open_backend("memory:")
    await backend.open()
    await backend.write(records)
    return backend


def found(typed: str, *records: Record) -> Trace:
    """Find what was typed in a store of these records."""

    async def find() -> Trace:
        backend = await filled(records)
        return await find_trace(backend.traces, "default", typed)

    return anyio.run(find)


def test_a_beginning_that_only_one_trace_has() -> None:
    """A whole id, and any beginning of it that no other trace shares, names the trace; case does not matter."""
    records = [span(1, trace=OURS), span(2, trace=TWIN), span(3, trace=FOREIGN)]
    for typed in (f"{OURS:032x}", f"{OURS:032x}"[:15], f" {OURS:032X} "):
        assert int(found(typed, *records).trace_id, 16) == OURS
    assert int(found("fed", *records).trace_id, 16) == FOREIGN


def test_a_beginning_that_several_share() -> None:
    """The candidates are named, so that one can be chosen."""
    with pytest.raises(AmbiguousId) as caught:
        found(f"{OURS:032x}"[:14], span(1, trace=OURS), span(2, trace=TWIN))
    assert sorted(caught.value.candidates) == [f"{OURS:032x}", f"{TWIN:032x}"]


def test_an_id_from_elsewhere_may_look_like_a_time() -> None:
    """An id that seems younger than its trace is found all the same."""
    late = (MADE_MS + 10**9) << 80
    assert int(found(f"{late:032x}"[:16], span(1, trace=late)).trace_id, 16) == late


@pytest.mark.parametrize("typed", ["", "xyz", "-1", "0" * 33, "abc", f"{OURS:032x}"[:15], "%"])
def test_what_is_not_there_is_not_found(typed: str) -> None:
    """Neither a text that is no id nor an id of no trace finds anything."""
    with pytest.raises(NotFound):
        found(typed, span(1, trace=FOREIGN))


def test_many_traces_are_read_page_by_page() -> None:
    """A trace beyond the first page is found by its beginning too."""
    records = [span(1, trace=FOREIGN), *(span(1, trace=(1 << 120) + i, after_s=1 + i) for i in range(1500))]
    assert int(found("fedc", *records).trace_id, 16) == FOREIGN
