"""Accounts are read and settled without waiting for a disk: file work is done without the lock, reading has an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from tests.fakes import FakeBackend, ManualClock, names, span_record
from tracecore.account import Accounts, Counts
from tracecore.errors import BackendUnavailable
from tracecore.lanes import Lane, Presence
from tracecore.pump import Pump, PumpSettings
from tracecore.records import LedgerEntry
from tracecore.ring import Ring
from tracecore.sealing import Emitted


def in_another_thread(call: Callable[[], object]) -> object:
    """Return what a call returns in a thread of its own."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(60)
    return found[0]


class FileLane(Lane[Any]):
    """A lane that notes when it would read or write files, and whether others could take the lock then."""

    __slots__ = ("ring",)

    ring: FileRing

    def fetch(self, max_items: int, max_bytes: int) -> None:
        """Note the call."""
        del max_items, max_bytes
        self.ring.note_call("fetch")

    def note(self) -> None:
        """Note the call."""
        self.ring.note_call("note")


class FileRing(Ring[Any]):
    """A ring of such lanes, whose accounts are kept in a file, too."""

    def __init__(self) -> None:
        super().__init__(100, 10**9)
        self.calls: list[str] = []
        self.kept: list[LedgerEntry] = []

    def note_call(self, name: str) -> None:
        """Note a call, unless somebody else could not go on meanwhile."""
        assert in_another_thread(lambda: self.consuming.acquire(timeout=5) and self.consuming.release() is None), name
        self.calls.append(name)

    def keep(self, entry: Callable[[], LedgerEntry], shares: Sequence[tuple[Lane[Any], int]] = ()) -> None:
        """Note the entry."""
        del shares
        self.note_call("keep")
        self.kept.append(entry())

    def _make_lane(self, presence: Presence) -> Lane[Any]:
        lane = FileLane(presence)
        lane.ring = self
        return lane


def test_file_work_is_done_without_the_lock() -> None:
    """Reading before records are taken, and noting before and after they are settled, keep nobody from the accounts."""
    ring, sink = FileRing(), FakeBackend()
    for name in "ab":
        ring.push(Emitted(span_record(name)))
    pump = Pump(ring, sink, set(), PumpSettings(), clock=ManualClock())
    pump.stop(60)
    anyio.run(pump.run)
    assert names(sink.records) == ["a", "b"]
    assert [call for call, before in zip(ring.calls, [None, *ring.calls], strict=False) if call != before][:4] == [
        "keep", "fetch", "keep", "note"
    ]  # fmt: skip
    assert (ring.kept[-1].delivered, ring.kept[-1].waiting) == (2, 0)


def test_a_pump_that_was_retired_in_file_work_does_nothing_after_it() -> None:
    """A pump whose place was taken while the disk kept it has nothing more to write when it comes back."""
    ring, sink = FileRing(), FakeBackend()
    for name in "ab":
        ring.push(Emitted(span_record(name)))
    pump = Pump(ring, sink, set(), PumpSettings(batch_items=1), clock=ManualClock())

    def retired_meanwhile(name: str) -> None:
        ring.calls.append(name)
        if name == "note":
            pump.retire(keeps_sink=False)

    ring.note_call = retired_meanwhile  # type: ignore[method-assign]  # the disk takes its time
    anyio.run(pump.run)
    assert names(sink.records) == ["a"]
    assert ring.calls == ["keep", "fetch", "keep", "note"]


def test_totals_are_read_though_somebody_settles_for_ever() -> None:
    """Whoever asks for totals has an answer soon, and a right one, while another thread holds the lock."""
    ring: Ring[Any] = Ring(2, 10**9)
    for name in "abc":
        ring.push(Emitted(span_record(name)))
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with ring.consuming:
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        totals = ring.totals()
        assert thread.is_alive()
    finally:
        over.set()
        thread.join(60)
    assert (totals["accepted"], totals["full"]) == (2, 1)


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_kept_is_later_than_what_the_sink_was_told(fails: bool) -> None:  # noqa: FBT001 - a case
    """The file's entry is of a later moment than any that a sink may have taken: what is said of the dead is the last.

    The process may die between any two steps: so before each write the file says of that moment what holds then.
    """
    ring = FileRing()
    told: list[LedgerEntry] = []

    class Told(FakeBackend):
        capabilities = FakeBackend.capabilities.__class__(ledger=True)

        async def write(self, batch: Any) -> None:
            (entry,) = (record for record in batch if isinstance(record, LedgerEntry))
            told.append(entry)
            assert ring.kept[-1].seen_ns > entry.seen_ns
            assert ring.kept[-1].delivered == sum(len(names(each)) for each in self.batches)
            if fails and len(told) == 1:
                raise BackendUnavailable("away")
            await super().write(batch)

    for name in "abc":
        ring.push(Emitted(span_record(name)))
    pump = Pump(ring, Told(), set(), PumpSettings(batch_items=2), clock=ManualClock(), jitter=lambda _, __: 0.0)
    pump.stop(60)
    anyio.run(pump.run)
    assert [entry.delivered for entry in told] == [*([2] if fails else []), 2, 3, 3]
    assert told[-1].ended
    assert ring.kept[-1].delivered == 3
    assert ring.kept[-1].seen_ns > told[-1].seen_ns


def test_accounts_of_dead_processes_end_with_what_they_left() -> None:
    """Once nothing of a dead process is left its account is folded into one sum: that stays, and nothing else does."""
    ring: Ring[Any] = Ring(9, 99)
    accounts = Accounts(ring)
    ring.fold = accounts.fold
    lanes: list[Lane[Any]] = []
    for number in range(1, 4):
        lane: Lane[Any] = Lane(None)
        lane.counted = False
        lane.account = accounts.adopt(0)
        lane.account.settle([], Counts(number).plus(0, {"rejected": 1}))
        lanes.append(lane)
    lanes[2].items.append(Emitted(span_record("waits")))
    ring._lanes += lanes
    before = accounts.recovered
    assert (before.delivered, before.lost(), accounts.entry().recovered) == (6, {"rejected": 3}, 6)
    ring.housekeep(0)
    assert accounts.adopted == (lanes[2].account,)
    accounts.fold(lanes[0].account)
    after = accounts.recovered
    assert (after.delivered, after.lost(), accounts.entry().recovered) == (6, {"rejected": 3}, 6)


def test_an_account_is_folded_though_the_pump_ended_in_the_middle() -> None:
    """A lane whose totals were taken over, and which is still there, has its account folded by the next pump."""
    ring: Ring[Any] = Ring(9, 99)
    accounts = Accounts(ring)
    lane: Lane[Any] = Lane(None)
    lane.account = accounts.adopt(0)
    ring._lanes.append(lane)

    def ends(_: object) -> None:
        raise SystemExit

    ring.fold = ends
    with pytest.raises(SystemExit):
        ring.housekeep(0)
    ring.fold = accounts.fold
    ring.housekeep(0)
    assert (ring.lanes(), accounts.adopted) == ([], ())
