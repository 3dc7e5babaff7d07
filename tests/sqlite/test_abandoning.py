"""What runs in processes that are gone is given up: now and then, as by the reference, and safely beside others."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fakes import ManualClock
from tests.sqlite.files import asked, opened, span, url_of
from tests.sqlite.test_equivalence import written
from tracecore.backend import Backend, ObservationQuery, TraceQuery
from tracecore.ledger import ABANDONED_AFTER_NS, LOOK_EVERY_NS
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import LedgerEntry, Provenance, Record, Span
from tracecore.testing.opening import observations_in, traces_in
from tracecore.testing.strategies import span_ids, trace_ids
from tracecore_sqlite import SqliteBackend, abandoning
from tracecore_sqlite.abandoning import Abandoner
from tracecore_sqlite.address import parse
from tracecore_sqlite.writer import Writer

SECOND = 10**9
PROCESSES = ("one", "two", "é", None)


def running(number: int, process: str | None = "one", **fields: Any) -> Span:
    """Return a span that runs in a process."""
    said = Provenance(service_instance_id=process)
    return span(number, status="running", duration_ns=None, provenance=said, **fields)


def entry(process: str = "one", minute: int = 0, seen_s: float = 0, **fields: Any) -> LedgerEntry:
    """Return an entry that was seen at some second."""
    return LedgerEntry("default", process, minute * 60 * SECOND, seen_ns=int(seen_s * SECOND), **fields)


def timed(path: Path) -> tuple[SqliteBackend, ManualClock, ManualClock]:
    """Return a backend of a file, with its two clocks: of the wall, and of when it looks again."""
    wall, clock = ManualClock(), ManualClock()
    return SqliteBackend(parse(url_of(path)), access="write", wall=wall, clock=clock), wall, clock


async def statuses(backend: SqliteBackend) -> list[str]:
    """Return the status of every span, newest first."""
    return [one.status for one in (await backend.observations.find("default", ObservationQuery(limit=1000))).items]


async def test_it_is_looked_for_now_and_then(tmp_path: Path) -> None:
    """At once after opening and then every ten seconds, by a clock that no step of the wall clock moves."""
    backend, wall, clock = timed(tmp_path / "a.db")
    await backend.open()
    try:
        await backend.write([running(1), entry(seen_s=wall() / SECOND + 5)])
        seen: list[str] = []
        for seconds, on_the_wall in ((0, 100), (10, 24), (9.9, 2), (0.1, 0)):
            clock.advance(seconds)
            wall.advance(on_the_wall)
            while await backend.maintain():
                pass
            seen += await statuses(backend)
        assert seen == ["running", "running", "running", "abandoned"]
        wall.advance(-1000)
        clock.advance(10)
        await backend.write([running(2, "two"), entry("two", seen_s=wall() / SECOND - 121)])
        assert await backend.maintain()
        assert await statuses(backend) == ["abandoned", "abandoned"]
    finally:
        await backend.close()


async def test_a_slice_is_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    """One call gives up so many and says that more may remain; the next goes on at once, however little time passed."""
    monkeypatch.setattr(abandoning, "_SLICE", 3)
    backend, _, _ = timed(tmp_path / "a.db")
    await backend.open()
    try:
        await backend.write([*(running(number) for number in range(1, 8)), entry(ended=True)])
        left = [(await statuses(backend)).count("running")]
        while await backend.maintain():
            left.append((await statuses(backend)).count("running"))
        assert left == [7, 4, 1, 0]
    finally:
        await backend.close()


async def test_nothing_is_written_where_nothing_was_abandoned(tmp_path: Path) -> None:
    """Looking in vain changes no row and takes no lock: another process may be in the middle of a write."""
    path = tmp_path / "a.db"
    backend, wall, _ = timed(path)
    await backend.open()
    try:
        await backend.write([running(1), running(2, None), running(3, "unheard of"), entry(seen_s=wall() / SECOND)])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not await backend.maintain()
            other.execute("ROLLBACK")
        assert await statuses(backend) == ["running"] * 3
    finally:
        await backend.close()


async def test_an_end_that_is_written_meanwhile_is_kept(tmp_path: Path) -> None:
    """A process that was taken for dead ends its span between finding and giving up: the span has ended, as it says."""
    path = tmp_path / "a.db"
    end = replace(running(1), status="error", duration_ns=7)
    async with opened(path) as first:
        await first.write([running(1), running(2), entry(ended=True)])
    with closing(sqlite3.connect(path, isolation_level=None)) as raw, closing(sqlite3.connect(path)) as other:
        other.isolation_level = None

        class Late(Writer):
            """Write only after somebody else has."""

            def write(self, batch: Any) -> None:
                """Let the end come first."""
                Writer(other).write([end])
                super().write(batch)

        abandoner = Abandoner(raw, Late(raw), wall=lambda: 0, clock=lambda: 0)
        assert abandoner.maintain()
        assert not abandoner.maintain()
    rows = asked(path, "SELECT name, status, duration_ns FROM spans ORDER BY name")
    assert rows == [("s1", "error", 7), ("s2", "abandoned", 0)]
    assert asked(path, "SELECT running, error_count FROM traces") == [(0, 1), (0, 1)]


_ends = st.sampled_from(("running", "running", "ok", "error", "abandoned"))


def _drawn(trace_id: str, span_id: str, status: Any, process: str | None, start: int) -> Record:
    return Span(
        "default", trace_id, span_id, "n", start * SECOND, status=status,
        duration_ns=None if status == "running" else 5,
        provenance=Provenance(service_instance_id=process),
    )  # fmt: skip


drawn_spans = st.builds(_drawn, trace_ids, span_ids, _ends, st.sampled_from(PROCESSES), st.integers(0, 300))
drawn_entries = st.builds(
    entry, st.sampled_from(("one", "two", "é")), st.integers(0, 3), st.integers(0, 600), ended=st.booleans()
)
programs = st.lists(
    st.tuples(st.lists(st.one_of(drawn_spans, drawn_spans, drawn_entries), max_size=8), st.integers(0, 200)),
    min_size=1,
    max_size=5,
)


async def _run(backend: Backend, wall: ManualClock, clock: ManualClock, program: Any) -> list[Any]:
    """Return what is read after each batch, time that passes, and all the work that is put off."""
    found: list[Any] = []
    await backend.open()
    try:
        for batch, seconds in program:
            await backend.write(batch)
            wall.advance(seconds)
            clock.advance(LOOK_EVERY_NS / SECOND)
            while await backend.maintain():
                pass
            query = ObservationQuery(limit=1000, bodies=True)
            found.append((await observations_in(backend).find("default", query)).items)
            found.append((await traces_in(backend).find("default", TraceQuery(limit=1000))).items)
    finally:
        await backend.close()
    return found


@settings(max_examples=60)
@given(programs)
def test_it_is_what_the_reference_does(program: list[tuple[list[Record], int]]) -> None:
    """Random spans of random processes, seen and ending at random: the same are given up, for the same time."""
    wall, clock = ManualClock(), ManualClock()
    reference = MemoryBackend(MemoryData(), location="memory:", access="write", wall=wall, clock=clock)
    expected = asyncio.run(_run(cast("Backend", reference), wall, clock, program))
    with written([]) as path:
        backend, wall, clock = timed(path)
        assert asyncio.run(_run(cast("Backend", backend), wall, clock, program)) == expected


def test_random_programs_abandon_something() -> None:
    """The programs above are no empty ones: what is drawn there can be given up by both rules."""
    wall = ManualClock()
    for entries, seconds in (([entry(ended=True)], 0), ([entry(seen_s=1)], ABANDONED_AFTER_NS // SECOND + 1)):
        reference = MemoryBackend(MemoryData(), location="memory:", access="write", wall=wall, clock=wall)
        program = [([_drawn("1" * 32, "1" * 16, "running", "one", 0), *entries], seconds)]
        (one,), _ = asyncio.run(_run(cast("Backend", reference), wall, ManualClock(), program))
        assert one.status == "abandoned"
        wall = ManualClock()
