"""Journals under test: making them, emitting into them, and reading what they and their files hold; no recorder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.account import Account, Accounts
from tracecore.blocks import BLOCK, FIRST, LIMIT, Frame, Head, bodies, frames, write_frame
from tracecore.context import Route, TraceState
from tracecore.files import Files
from tracecore.frames import Origin, write_body
from tracecore.journal import Journal
from tracecore.journal_lane import JournalLane, Kept
from tracecore.lanes import Lane
from tracecore.leftovers import Leftover
from tracecore.open_span import OpenSpan, open_child
from tracecore.owners import Owner, salt_of
from tracecore.records import Span, TraceAttributes
from tracecore.segments import DAMAGED, SEGMENT

if TYPE_CHECKING:
    import pytest

__all__ = [
    "MEGABYTE",
    "ORIGIN",
    "adopted",
    "all_of",
    "batch_from",
    "begun",
    "body_of",
    "delivered_from",
    "emitter",
    "ended",
    "finish",
    "in_a_thread",
    "in_thread",
    "lane_of",
    "left_by",
    "name_of",
    "reader_of",
    "recovered_from",
    "said",
    "set_aside_in",
    "small_home",
    "span_for",
    "taken",
]

MEGABYTE = 1 << 20
ORIGIN = Origin("project")
EVERYTHING = 10**9


def begun(
    directory: Path,
    process: str = "first",
    *,
    items: int = 1_000,
    size: int = 100 * MEGABYTE,
    kind: type[Journal] = Journal,
    **settings: Any,
) -> Journal:
    """Return a journal that has begun, for one process of a service that keeps its journals in ``directory``."""
    settings = {"most_bytes": 4 * SEGMENT, "origin": ORIGIN, "clock": lambda: 10**9, **settings}
    journal = kind(items, size, directory=directory, **settings)
    journal.adopt = lambda died: account_of(journal, died)
    journal.begin(process)
    return journal


def account_of(journal: Journal, died: int) -> Account:
    """Return an account as a recorder's accounts open them."""
    return Accounts(journal).adopt(died)


def span_for(journal: Journal, name: str, size: int = 0) -> OpenSpan:
    """Return an open span of a journal whose output has ``size`` bytes, which tell from others of that size."""
    route = Route(ORIGIN.project, journal, journal.push, set())
    span = open_child(TraceState(route, f"{hash(name) & (1 << 128) - 1:032x}", TraceAttributes(), {}), None, name)
    pattern = f"<{name}>".encode()
    span.output = b'"%s"' % (pattern * (size // len(pattern) + 1))[: max(0, size - 2)]
    return span


def emitter(journal: Journal) -> Callable[..., None]:
    """Return a function that emits a span of a name, with an output of some size."""
    return lambda name, size=0: span_for(journal, name, size).end()


def body_of(item: Any) -> bytes:
    """Return the body that a journal keeps of an ended span, or of anything that can be sealed."""
    written = bytearray()
    write_body(item, written)
    return bytes(written)


def name_of(item: Any) -> str:
    """Return the name of the span that an item holds, having looked at whether its output is what it was."""
    record = item.seal()
    assert isinstance(record, Span)
    size = len(record.output)
    pattern = f"<{record.name}>".encode()
    assert bytes(record.output) == b'"%s"' % (pattern * (size // len(pattern) + 1))[: max(0, size - 2)], record.name
    return record.name


def batch_from(lane: Lane[Any], items: int = 50, size: int = MEGABYTE) -> list[Any]:
    """Return what a lane hands out now, within bounds, as a pump takes it."""
    lane.fetch(items, size)
    return lane.take(items, size)


def taken(lane: Lane[Any]) -> list[str]:
    """Return the names of everything that a lane hands out now, which stays in hand."""
    found: list[str] = []
    while items := batch_from(lane):
        found += map(name_of, items)
    return found


def delivered_from(lane: Lane[Any]) -> list[str]:
    """Return the names of everything that a lane hands out now, having settled it."""
    found = taken(lane)
    lane.settle(len(found))
    lane.note()
    return found


def all_of(journal: Journal) -> list[str]:
    """Return the names of everything that waits in a journal, having settled it; of one lane after the other."""
    return [name for lane in journal.lanes() for name in delivered_from(lane)]


def adopted(journal: Journal) -> list[Leftover]:
    """Return what a journal has adopted and not finished."""
    return [lane for lane in journal.lanes() if isinstance(lane, Leftover)]


def recovered_from(directory: Path, **settings: Any) -> list[str]:
    """Return the names of everything that dead processes have left, having delivered it by a process of today."""
    journal = begun(directory, f"reader-{threading.get_ident()}", **settings)
    found: list[str] = []
    now = 0
    while journal.recovering:
        now += 1
        journal.housekeep(now)
        found += [name for lane in adopted(journal) for name in delivered_from(lane)]
        journal.farewells.clear()
    journal.closed = True
    journal.end()
    return found


def set_aside_in(directory: Path) -> list[str]:
    """Return the names of everything that is whole in the segments which were kept aside for a person."""
    found: list[str] = []
    for path in sorted((directory / DAMAGED).glob("*-*")):
        salt = salt_of(path.name.rpartition("-")[0])
        data = path.read_bytes()
        read: list[tuple[int, int, Iterator[Frame]]] = []
        for block in (data[start : start + BLOCK] for start in range(0, len(data), BLOCK)):
            head = Head.read(block[:FIRST], block[LIMIT:], salt)
            if head is not None:
                frame = frames(block, FIRST, min(len(block), LIMIT), head.seed(salt))
                read.append((head.lane, head.sequence, frame))
        whole = bodies([(sequence, frame) for _, sequence, frame in sorted(read, key=lambda entry: entry[:2])])
        found += [name_of(Kept(body, 0, ORIGIN, None, 0)) for body, _ in whole if body is not None]
    return found


@contextmanager
def in_a_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Do something in a thread of its own, and end it with the block."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def in_thread(work: Callable[[], object]) -> None:
    """Do something in a thread of its own, which has ended afterwards."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def ended(journal: Journal) -> None:
    """End a journal as its recorder does."""
    journal.closed = True
    journal.end()


def lane_of(journal: Journal) -> JournalLane:
    """Return the lane of the only thread that has emitted."""
    (lane,) = journal.lanes()
    assert isinstance(lane, JournalLane)
    return lane


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log was told."""
    return [record.getMessage() for record in caplog.records if record.name == "tracecore"]


def left_by(directory: Path, process: str, names: list[str], *, size: int = 100, origin: Origin = ORIGIN) -> Path:
    """Let a process die with spans of these names in its journal; return its home."""
    journal = begun(directory, process, origin=origin)
    emit = emitter(journal)
    for name in names:
        emit(name, size)
    home = journal._home
    assert home is not None
    journal.end()
    return home.path


def small_home(directory: Path, process: str, names: list[str]) -> None:
    """Make by hand what a process would have left, in a file that is mostly a hole."""
    home = directory / f"1-{process}"
    home.mkdir(parents=True)
    Owner.create(Files(), home / "owner", ORIGIN, salt_of(home.name)).close()
    block = memoryview(bytearray(BLOCK))
    head = Head(1, 1)
    head.write(block, salt_of(home.name))
    at = FIRST
    journal = Journal(1, 1, directory=directory, most_bytes=1, origin=ORIGIN)
    for name in names:
        at = write_frame(block, at, body_of(span_for(journal, name)), head.seed(salt_of(home.name)))
    with (home / "0").open("wb") as file:
        file.write(block)
        file.truncate(SEGMENT)


def reader_of(directory: Path, *, files: Files | None = None, name: str = "reader") -> tuple[Journal, Leftover]:
    """Return a journal that has adopted one home, and what it found there."""
    reader = begun(directory, name, files=files or Files())
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    return reader, leftover


def finish(reader: Journal) -> None:
    """Part with everything that has been delivered, and end."""
    reader.housekeep(2)
    reader.farewells.clear()
    reader.housekeep(3)
    reader.closed = True
    reader.end()
