"""The rejected designs fail in the way that their paragraphs say, and what was chosen instead does not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import aiosqlite
import pytest

from benchmarks.figures import Settings
from benchmarks.rejected import copy_stage
from benchmarks.rejected.array_parameters import WAYS as ARRAY_WAYS
from benchmarks.rejected.copy_stage import WAYS as COPY_WAYS
from benchmarks.rejected.deferred_encoding import at_the_edge, copied, later, remembered_wrongly
from benchmarks.rejected.executemany import WAYS, rows_of, store
from benchmarks.rejected.index_ring import IndexRing, lost_when_interrupted
from benchmarks.rejected.per_row_await import WAYS as AWAITED_WAYS
from benchmarks.rejected.per_row_await import Values
from benchmarks.rejected.per_row_await import store as awaited_store
from benchmarks.rejected.shared_ring import kept_by
from benchmarks.rejected.stamped_ring import StampedRing, clobbered_by_a_slow_writer
from benchmarks.request_mix import Texts
from benchmarks.suites import ring
from benchmarks.suites.ring import Audit, Parcel, audit
from tests.postgres_server import Database
from tracecore.ring import Ring


def test_an_index_ring_loses_what_an_interruption_pushes() -> None:
    """Every interruption between two steps of ``push`` costs an accepted item; a lane keeps them all."""
    rejected, chosen = IndexRing(4_096, 1 << 40), Ring[Parcel](4_096, 1 << 40)
    assert lost_when_interrupted(rejected.push, partial(rejected.take, 4_096), 50) > 0

    def from_lanes() -> list[Parcel]:
        return [parcel for lane in chosen.lanes() for parcel in lane.take(4_096, 1 << 40)]

    assert lost_when_interrupted(chosen.push, from_lanes, 50) == 0


def test_an_index_ring_is_otherwise_a_buffer() -> None:
    """It keeps order and bounds: without an interruption there is nothing wrong with it."""
    ring = IndexRing(4, 1 << 40)
    assert [ring.push(Parcel(0, number)) for number in range(5)] == [True] * 4 + [False]
    assert [parcel.number for parcel in ring.take(3)] == [0, 1, 2]
    assert ring.push(Parcel(0, 5))
    assert [parcel.number for parcel in ring.take(9)] + [parcel.number for parcel in ring.take(9)] == [3, 5]


def test_a_slow_writer_clobbers_a_newer_slot() -> None:
    """Whoever sleeps between ticket and slot destroys an accepted item, in every lap."""
    assert clobbered_by_a_slow_writer(8, 5) == 5


def test_a_stamped_ring_counts_what_was_overwritten_in_turn() -> None:
    """The reader sees from the tickets how many it missed, and reads nothing twice."""
    ring = StampedRing(4)
    for number in range(3):
        ring.push(Parcel(0, number))
    assert [parcel.number for parcel in ring.read()] == [0, 1, 2]
    for number in range(3, 9):
        ring.push(Parcel(0, number))
    assert [parcel.number for parcel in ring.read()] == [5, 6, 7, 8]
    assert ring.missed == 2
    assert ring.read() == []


def test_lanes_keep_what_four_threads_push() -> None:
    """The count of what is kept is right where nothing is lost."""
    lanes: Ring[Parcel] = Ring(1 << 16, 1 << 40)
    assert kept_by(lanes.push, lambda: sum(lane.depth for lane in lanes.lanes()), 2_000) == 8_000


@pytest.mark.parametrize("max_items", [16, 65_536])
def test_the_audit_of_the_buffer_is_exact(max_items: int) -> None:
    """Everything pushed from four threads is taken in order or refused and counted."""
    found = audit(max_items, 2_000)
    assert (found.pushed, found.missing, found.misplaced) == (8_000, 0, 0)
    assert (found.refused == 0) is (max_items > 8_000)


def test_a_buffer_that_is_not_exact_ends_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that is gone, or came twice, is an error and no figure."""
    for found in (Audit(pushed=9, refused=1, taken=7, misplaced=0), Audit(pushed=9, refused=1, taken=8, misplaced=1)):
        monkeypatch.setattr(ring, "audit", lambda *_, found=found: found)
        with pytest.raises(RuntimeError, match="not exact"):
            ring.run(Settings(rounds=1, quick=True), lambda *_: None)


def test_encoding_later_records_later_mutations() -> None:
    """A live object is recorded as it is when the pump comes; its JSON, or a deep copy, as it was passed."""
    texts = Texts(1, prompts=4)
    assert remembered_wrongly(later(), texts, 8) == 8
    assert remembered_wrongly(copied(), texts, 8) == 0
    assert remembered_wrongly(at_the_edge(), texts, 8) == 0


@pytest.mark.parametrize("way", WAYS)
def test_both_ways_store_the_same_rows(way: str, tmp_path: Path) -> None:
    """Each way stores every row of its batches; the rate that comes back is of those."""
    rate = store(WAYS[way][1], 1, tmp_path / "rows.db")
    assert rate > 0
    assert len(rows_of(0)) == 512
    assert len({row[1] for row in rows_of(0) + rows_of(1)}) == 1_024


@pytest.mark.parametrize("way", AWAITED_WAYS)
async def test_however_often_one_awaits_the_same_rows_are_stored(way: str, tmp_path: Path) -> None:
    """Each way stores the rows that it got, which are read back and compared; a way that leaves one out is found."""
    insert, rows = AWAITED_WAYS[way][1], rows_of(0)[:20]
    assert await awaited_store(insert, rows, tmp_path / "rows.db") > 0

    async def forgetful(connection: aiosqlite.Connection, all_rows: list[Values]) -> None:
        await insert(connection, all_rows[1:])

    with pytest.raises(RuntimeError, match="not what was inserted"):
        await awaited_store(forgetful, rows, tmp_path / "fewer.db")


@pytest.mark.parametrize("way", ["copy", "arrays", "joined"])
async def test_every_way_into_postgres_stores_the_same_rows(postgres: Database, way: str) -> None:
    """What lost does what was chosen does: it keeps every row; only the figures differ."""
    ways = {**COPY_WAYS, **ARRAY_WAYS}
    try:
        stored = await copy_stage.store(ways[way][1], 1, postgres.url().replace(f"&schema={postgres.schema}", ""))
        assert stored.rate > 0
        rows = await postgres.fetch(
            "select s.span_id, s.start_ns, s.duration_ns, s.model, s.parent_id, length(b.input), length(b.output)"
            " from rejected.spans s left join rejected.bodies b using (id) order by s.id limit 2"
        )
    finally:
        await postgres.execute("drop schema if exists rejected cascade")
    assert [tuple(row) for row in rows] == [
        ("0" * 16, 0, 7, "m", None, 2_050, 1_026), ("0" * 15 + "1", 1, 7, None, None, None, None),
    ]  # fmt: skip
