"""What became of a process's records, told exactly whenever it dies, and whenever those die that recover it.

At lines that the kernel runs while a pump delivers, the files are copied as ``kill -9`` would leave them, with what the
sink has taken by then. Whoever adopts a copy delivers what is missing and tells the ledger of each record once.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.fakes import FakeBackend, ManualClock
from tests.journals import (
    ORIGIN,
    begun,
    body_of,
    delivered_from,
    emitter,
    ended,
    in_a_thread,
    in_thread,
    lane_of,
    left_by,
    recovered_from,
    span_for,
)
from tests.lines import at_each_line
from tests.torture.declaring import by_mode, torture
from tracecore.account import Accounts, Counts
from tracecore.backend import Capabilities
from tracecore.files import Files
from tracecore.journal import Journal
from tracecore.owners import Mark, Note, Owner, note_in
from tracecore.pump import Pump, PumpSettings
from tracecore.records import LedgerEntry, Observation

EVERY = by_mode(41, full=7)
SIZES = [20, 70_000, 300, 10, 66_000, 5_500, 40, 30]


class Ledger(FakeBackend):
    """A sink that keeps a ledger."""

    capabilities = Capabilities(ledger=True)

    @property
    def names(self) -> list[str]:
        """Return the names of the observations that it has taken."""
        return [record.name for record in self.records if isinstance(record, Observation)]

    def last_of(self, process: str) -> LedgerEntry | None:
        """Return what counts of the entries of a process."""
        found = [one for one in self.records if isinstance(one, LedgerEntry) and one.process == process]
        return max(found, key=lambda one: one.seen_ns, default=None)


Moment = tuple[Path, list[str], LedgerEntry | None]
"""The files, what the sink had taken, and what it had been told of the process, at one moment."""


def deliver(journal: Journal, sink: Ledger, process: str) -> None:
    """Deliver all that a journal holds, and what it adopts, as a pump does that has time for it."""
    accounts = Accounts(journal)
    accounts.process = process
    journal.adopt, journal.fold = accounts.adopt, accounts.fold
    pump = Pump(journal, sink, set(), PumpSettings(batch_items=3), accounts=accounts, clock=ManualClock())
    pump.stop(60)
    anyio.run(pump.run)


def adopted_into_ledger(directory: Path) -> Ledger:
    """Deliver what dead processes left, by a process of today; return what its sink has then."""
    reader = begun(directory, "reader")
    reader.housekeep(1)
    sink = Ledger()
    deliver(reader, sink, "reader")
    assert reader.trouble is None
    ended(reader)
    return sink


def moments(directory: Path, into: Path, sink: Ledger, work: Callable[[], object]) -> list[Moment]:
    """Do something, and copy the files at every so many lines that the kernel runs meanwhile."""
    found: list[Moment] = []

    def copy(line: int) -> None:
        if line % EVERY == 0 and directory.exists():
            place = into / f"{line}"
            shutil.copytree(directory, place)
            found.append((place, sink.names, sink.last_of("dead")))

    with at_each_line(copy):
        work()
    return found


def settle_with(moment: Moment, names: list[str]) -> None:
    """Assert that the next process delivers what is missing at some moment, and that the sums are right then."""
    directory, taken, told = moment
    sink = adopted_into_ledger(directory)
    last = sink.last_of("dead") or told
    assert sorted({*taken, *sink.names}) == sorted(names), directory
    assert last is not None
    assert told is None or last.seen_ns >= told.seen_ns, "or the ledger would not have it"
    assert (last.emitted, last.delivered, last.waiting, last.lost) == (len(names), len(names), 0, None), directory
    shutil.rmtree(directory)


@torture("T04", "the counts at many lines of a delivery", rounds=1)
def test_a_process_that_delivers_dies(tmp_path: Path) -> None:
    """Whenever it dies, each of its records is counted once: by itself, or by who adopts the rest."""
    journal = begun(tmp_path / "journal", "dead")
    names = [f"{number}.{thread}" for thread in range(3) for number in range(len(SIZES))]
    emit = emitter(journal)
    for thread in range(3):
        in_thread(lambda thread=thread: [emit(f"{n}.{thread}", size) for n, size in enumerate(SIZES)])  # type: ignore[misc]  # what it returns is of no interest
    sink = Ledger()
    found = moments(tmp_path / "journal", tmp_path / "copies", sink, lambda: deliver(journal, sink, "dead"))
    ended(journal)
    assert len(found) > 20
    for moment in found:
        settle_with(moment, names)


@torture("T04", "the counts at many lines of an adoption", rounds=1)
def test_an_adopter_that_delivers_dies(tmp_path: Path) -> None:
    """Whenever an adopter dies, the one after it counts what is left, and nothing twice."""
    names = [f"{number}" for number in range(10)]
    left_by(tmp_path / "journal", "dead", names, size=30_000)
    reader = begun(tmp_path / "journal", "adopter")
    reader.housekeep(1)
    sink = Ledger()
    found = moments(tmp_path / "journal", tmp_path / "copies", sink, lambda: deliver(reader, sink, "adopter"))
    ended(reader)
    assert sink.names == names
    assert len(found) > 20
    for moment in found:
        settle_with(moment, names)


def test_what_was_in_memory_only_died(tmp_path: Path) -> None:
    """What a full journal had no room for is lost with its process, and said to be: ``died``."""
    journal = begun(tmp_path, "dead", most_bytes=1, items=8)
    emit = emitter(journal)
    count = 0
    while journal.totals()["full"] < 3:
        emit(f"{count}", 60_000)
        count += 1
    accounts = Accounts(journal)
    accounts.process = "dead"
    accounts.keep()
    kept = journal.left
    journal.end()
    assert 0 < kept < count
    sink = adopted_into_ledger(tmp_path)
    last = sink.last_of("dead")
    assert last is not None
    assert last.unaccounted == 0
    assert (last.emitted, last.delivered, last.lost) == (count, kept, {"ring_full": 3, "died": count - kept - 3})


def test_what_could_not_be_read_is_counted(tmp_path: Path) -> None:
    """A damaged stretch is a loss with a reason of its own, of the process that wrote it."""
    names = [f"{number}" for number in range(6)]
    home = left_by(tmp_path, "dead", names, size=25_000)
    data = bytearray((home / "0").read_bytes())
    data[data.index(b"<2><2>")] ^= 1
    (home / "0").write_bytes(data)
    sink = adopted_into_ledger(tmp_path)
    last = sink.last_of("dead")
    assert sink.names == [name for name in names if name != "2"]
    assert last is not None
    assert (last.emitted, last.delivered, last.lost) == (6, 5, {"damaged": 1})


@pytest.mark.parametrize("other", [b'{"record":"budget","project":"p"}', None])
def test_what_another_version_wrote_is_kept_for_it(tmp_path: Path, other: bytes | None) -> None:
    """A whole body that this version cannot read is counted as lost, and its segment kept aside."""
    journal = begun(tmp_path, "dead")
    unreadable = other or msgspec.msgpack.encode(
        [*msgspec.msgpack.decode(body_of(span_for(journal, "x")))[:4], "planner", *[1] * 8]
    )
    emit = emitter(journal)
    emit("before")
    lane: Any = journal.lanes()[0]
    home = journal._home
    assert home is not None
    lane.write(unreadable, lane.block, lane.block.written, home)
    emit("after")
    journal.end()
    sink = adopted_into_ledger(tmp_path)
    assert sink.names == ["before", "after"]
    last = sink.last_of("dead")
    assert last is not None
    assert (last.emitted, last.delivered, last.lost) == (3, 2, {"unencodable": 1})
    (aside,) = (tmp_path / "damaged").iterdir()
    assert unreadable in aside.read_bytes()
    assert recovered_from(tmp_path) == []


def test_a_push_under_way_when_the_journal_ends_is_lost_as_closing(tmp_path: Path) -> None:
    """What is written into a file that has just been removed does not count as kept for somebody."""
    journal = begun(tmp_path, "dead")
    accounts = Accounts(journal)
    emit = emitter(journal)
    emit("delivered")
    assert delivered_from(lane_of(journal)) == ["delivered"]
    accounts.own.counts = Counts(1)
    lane: Any = lane_of(journal)
    start, block = lane.block.written, lane.block
    ended(journal)
    assert list(tmp_path.iterdir()) == []
    lane.framed, block.written = lane.framed + 1, start  # the last step of a push that began before
    balance = accounts.balance(ended=True)
    assert (balance.emitted, balance.waiting, balance.lost) == (2, 0, {"closing": 1})


def test_a_note_has_room_for_many_lanes(tmp_path: Path) -> None:
    """Up to where five hundred lanes have been settled is said as exactly as of one."""
    journal = begun(tmp_path, "dead")
    home = journal._home
    assert home is not None
    marks = tuple(Mark(lane, 10**12 + lane, 60_000) for lane in range(500))
    home.owner.keep(Note(LedgerEntry("p", "dead", 0, service_name="s" * 200), marks=marks))
    assert note_in((home.path / "owner").read_bytes(), home.salt).marks == marks
    journal.end()


def test_no_note_goes_into_another_file(tmp_path: Path) -> None:
    """Who closes the file while somebody is about to write into it leaves its number taken."""
    begin_to_write, go_on = threading.Event(), threading.Event()

    class Slow(Files):
        slow = False

        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            if self.slow:
                begin_to_write.set()
                assert go_on.wait(60)
            super().write(descriptor, data, offset)

    files = Slow()
    owner = Owner.create(files, tmp_path / "owner", ORIGIN, 7)
    files.slow = True
    with in_a_thread(lambda: owner.keep(Note(in_memory=5))):
        assert begin_to_write.wait(60)
        descriptor = owner._descriptor
        assert descriptor is not None
        owner.close()
        mine = os.open(tmp_path / "mine", os.O_RDWR | os.O_CREAT)
        go_on.set()
    assert (tmp_path / "mine").read_bytes() == b""
    assert note_in((tmp_path / "owner").read_bytes(), 7).in_memory == 5
    os.close(mine)
    os.close(descriptor)
