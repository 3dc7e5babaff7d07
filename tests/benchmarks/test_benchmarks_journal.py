"""What the journal is measured by: processes of their own, numbered spans, a store that is away, and exact accounts."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from benchmarks.apart import apart
from benchmarks.numbered_spans import check_numbered, question_of, tracing
from benchmarks.sinks import HeldBackend, NullBackend
from benchmarks.stored import Stored
from benchmarks.suites import outage as outages
from benchmarks.suites.burst import Order, burst
from benchmarks.suites.outage import outage
from tracecore import Config, Recorder
from tracecore.backend import Batch
from tracecore.errors import BackendUnavailable
from tracecore.memory import MemoryBackend, MemoryData

PER_TRACE = 5


class Number(Struct):
    """Hold a number, on its way to another process and back."""

    number: int


class Place(Struct):
    """Say which process has answered, and where its temporary files are."""

    pid: int
    folder: str


def where_it_is(order: Number) -> Place:
    """Leave a temporary file behind and say where it is, or fail."""
    folder = tempfile.mkdtemp()
    assert order.number != 7, "seven is refused"
    return Place(os.getpid(), folder)


@pytest.mark.parametrize("killed", [False, True])
def test_work_apart_has_a_process_and_a_folder_that_are_gone_afterwards(*, killed: bool) -> None:
    """The answer arrives, also from a process that ends itself with SIGKILL, and its temporary files are taken away."""
    place = apart(where_it_is, Number(1), killed=killed)
    with pytest.raises(ProcessLookupError):
        os.kill(place.pid, signal.SIG_DFL)
    assert not Path(place.folder).exists()
    assert not Path(place.folder).parent.exists()


def test_work_that_fails_apart_says_why() -> None:
    """No answer is made up for a process that ended otherwise than it should."""
    with pytest.raises(RuntimeError, match=r"(?s)where_it_is ended with exit code 1:.*seven is refused"):
        apart(where_it_is, Number(7))
    with pytest.raises(RuntimeError, match="exit code 1"):
        apart(where_it_is, Number(7), killed=True)


def numbered(*firsts: int, data: MemoryData, spans: int = PER_TRACE) -> MemoryBackend:
    """Return a store with traces whose roots have these numbers."""
    backend = MemoryBackend(data, location="memory:", access="write")
    with_own_pump = Recorder(Config(backend="memory:", pending_after_ms=0), backend=backend).start()
    trace = tracing(with_own_pump, spans)
    for first in firsts:
        asyncio.run(trace(first))
    assert with_own_pump.shutdown().delivered
    return backend


def found_in(backend: MemoryBackend, numbers: range, **how: str) -> int:
    """Return how many numbered spans a store has."""

    async def found() -> int:
        await backend.open()
        return await check_numbered(backend, numbers, PER_TRACE, **how)

    return asyncio.run(found())


def stored_spans(data: MemoryData) -> Iterator[tuple[dict[Any, Any], Any]]:
    """Return where each span of a memory store is, and the span itself."""
    for spans in data.traces.values():
        for key in list(spans):
            yield spans, key


def test_numbered_spans_are_counted_also_where_some_are_missing() -> None:
    """What was dropped leaves a gap, and everything around it is still held to its place."""
    data = MemoryData()
    backend = numbered(0, 5, 10, data=data)
    assert found_in(backend, range(15)) == 15
    for gone, (spans, key) in enumerate(list(stored_spans(data))[:7]):  # a whole trace, and a part of the next
        del spans[key]
        assert found_in(backend, range(15)) == 14 - gone


@pytest.mark.parametrize(
    ("firsts", "numbers", "how", "said"),
    [
        ((0, 0), range(5), {}, "is there twice"),
        ((0, 5), range(5), {}, "was never emitted"),
        ((0,), range(5), {"question": question_of(900)}, "is stored as"),
        ((5,), range(1, 11), {}, "is not where it was emitted"),
    ],
)
def test_numbered_spans_are_held_to_what_was_emitted(
    firsts: tuple[int, ...], numbers: range, how: dict[str, str], said: str
) -> None:
    """A span that is there twice, was never made, says something else or has another parent is an error."""
    with pytest.raises(RuntimeError, match=said):
        found_in(numbered(*firsts, data=MemoryData()), numbers, **how)


def test_a_question_has_the_length_that_was_asked_for() -> None:
    """Spans are made larger by their question."""
    assert [len(question_of(length)) for length in (1, 70, 2_833)] == [1, 70, 2_833]


async def test_a_store_that_is_away_refuses_at_once_and_says_when_it_was_asked_again() -> None:
    """Nothing reaches the store meanwhile; the first write after its return is noted once."""
    sink = NullBackend()
    held = HeldBackend(sink)
    held.away = True
    with pytest.raises(BackendUnavailable):
        await held.write([])
    assert held.asked_again_at is None
    held.come_back()
    await held.write([])
    first = held.asked_again_at
    await held.write([])
    assert first is not None
    assert held.asked_again_at == first


@pytest.mark.parametrize("buffer", ["memory", "journal"])
@pytest.mark.parametrize("away", [True, False])
def test_a_burst_is_accounted_for_to_the_unit(buffer: str, *, away: bool) -> None:
    """In memory what has no room is counted; the journal loses nothing, whether the store is there or not."""
    found = burst(Order(spans=2_000, buffer=buffer, buffer_items=500, away=away))  # type: ignore[arg-type]  # by name
    assert found.made == 2_100 == found.stored + sum(found.lost.values())
    assert found.missing == 0
    assert (found.lost == {}) == (buffer == "journal")
    assert found.make_s > 0
    assert found.flush_s > 0


@pytest.mark.parametrize("buffer", ["memory", "journal"])
def test_a_store_that_loses_a_span_ends_the_suites_with_an_error(buffer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is believed: what the recorder calls delivered, and is not in the file, is missing."""
    write = HeldBackend.write

    async def lossy(self: HeldBackend, batch: Batch) -> None:
        await write(self, batch[1:])

    monkeypatch.setattr(HeldBackend, "write", lossy)
    with pytest.raises(RuntimeError, match="unaccounted for"):
        burst(Order(spans=200, buffer=buffer))  # type: ignore[arg-type]  # by name
    with pytest.raises(RuntimeError, match="unaccounted for"):
        outage(outages.Order(buffer=buffer, per_second=0, at_work=50, away=50, rounds=1))  # type: ignore[arg-type]  # as above


def test_a_journal_that_is_left_behind_is_an_error() -> None:
    """A recorder that has delivered everything leaves no file."""
    with Stored(buffer="journal") as stored:
        with pytest.raises(RuntimeError, match="has left"):
            stored.check_journal()
        stored.recorder.shutdown()
        stored.check_journal()


@pytest.mark.parametrize("per_second", [0, 2_000])
def test_an_outage_has_a_figure_of_every_kind_a_round(per_second: int) -> None:
    """Turns with the store at work and away are as many as rounds, and everything is stored in the end."""
    found = outage(outages.Order(buffer="journal", per_second=per_second, at_work=100, away=200, rounds=2))
    assert found.made == found.stored == 100 + 2 * (100 + 200)
    figures = (found.at_work_ns, found.away_ns, found.late_ns, found.memory, found.anonymous, found.recovered_s)
    assert [len(kind) for kind in figures] == [2] * 6
    assert min(found.at_work_ns + found.away_ns + found.late_ns) > 0
    assert found.longest_ms > 0
