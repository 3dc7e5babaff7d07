"""A push into the journal that something interrupts, at any point, loses nothing, tears nothing and counts everything.

What interrupts may push too (a signal's handler, a finalizer, a debugger's hook), or raise (``KeyboardInterrupt``).
"""

from __future__ import annotations

import gc
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tracecore
from tests.journals import MEGABYTE, all_of, begun, delivered_from, emitter, in_thread, recovered_from, span_for
from tracecore.journal import Journal
from tracecore.journal_lane import JournalLane
from tracecore.segments import SEGMENT, Block
from tracecore.strict_journal import StrictJournal

KERNEL = str(Path(tracecore.__file__).parent)
SIZES = [0, 200, 5_300, 100, 70_000, 10, 64_000, 300_000, 1]
"""Bodies that fit, that are long, that go into the next blocks, and through several."""


@contextmanager
def hooked(install: Callable[[Any], None], hook: Any) -> Iterator[None]:
    """Have the interpreter call a hook; put back whoever was called before (it may measure coverage)."""
    before = sys.gettrace()
    install(hook)
    try:
        yield
    finally:
        install(None)
        sys.settrace(before)


def assert_conserved(journal: Journal, pushed: int, refused: int) -> None:
    """Assert that every push was counted once, and that the lane is what its counts say."""
    totals = journal.totals()
    assert totals["full"] == refused
    assert totals["accepted"] + refused == pushed
    (lane,) = journal.lanes()
    assert isinstance(lane, JournalLane)
    assert lane.depth == len(lane.items)
    assert lane.bytes == sum(item.size for item in lane.items)
    home = journal._home
    assert home is not None
    assert len(home.free) + len(lane.blocks) == 64 * len(home.segments)


def finished(journal: Journal, directory: Path, expected: Counter[str]) -> None:
    """Assert that what waits is what is expected, each once, and that then nothing is left."""
    assert Counter(all_of(journal)) == expected
    journal.closed = True
    journal.end()
    assert list(directory.iterdir()) == []


HOOKS = [pytest.param(sys.setprofile, id="calls"), pytest.param(sys.settrace, id="lines")]
"""A profiler's hook runs at every call, also of C functions; a tracer's hook at every line."""


@pytest.mark.parametrize("kind", [Journal, StrictJournal])
@pytest.mark.parametrize("extra_size", [0, 70_000])
@pytest.mark.parametrize("install", HOOKS)
def test_emitting_from_an_interpreter_hook(
    tmp_path: Path, install: Callable[[Any], None], extra_size: int, kind: type[Journal]
) -> None:
    """A profiler or debugger that emits at every call or line of a push: each span is there, once, and whole."""
    journal = begun(tmp_path, kind=kind, items=10**6, size=10**10, most_bytes=8 * SEGMENT)
    emit = emitter(journal)
    names: list[str] = []
    inside = False

    def hook(frame: FrameType, _: str, __: object) -> Any:
        nonlocal inside
        if not inside and frame.f_code.co_filename.startswith(KERNEL):
            inside = True
            names.append(f"extra {len(names)}")
            emit(names[-1], extra_size if len(names) % 50 == 0 else 0)
            inside = False
        return hook

    with hooked(install, hook):
        for number, size in enumerate(SIZES * 2):
            emit(f"{number}", size)
            inside = True
            names.append(f"{number}")
            inside = False
    assert len(names) > 500
    assert_conserved(journal, len(names), 0)
    finished(journal, tmp_path, Counter(names))


def test_what_a_hook_has_emitted_is_in_the_files(tmp_path: Path) -> None:
    """Frames that were written while another one was being written are read back by the next process, each whole."""
    journal = begun(tmp_path, items=10**6, size=10**10)
    emit = emitter(journal)
    extra = 0
    inside = False

    def hook(frame: FrameType, _: str, __: object) -> Any:
        nonlocal inside, extra
        if not inside and frame.f_code.co_filename.startswith(KERNEL):
            inside = True
            emit(f"extra {extra}", extra % 900)
            extra += 1
            inside = False
        return hook

    with hooked(sys.settrace, hook):
        for number, size in enumerate(SIZES):
            emit(f"{number}", size)
    (lane,) = journal.lanes()
    assert isinstance(lane, JournalLane)
    in_files, in_memory = lane.framed, lane.depth
    assert in_files + in_memory == extra + len(SIZES)
    assert min(in_files, in_memory) > len(SIZES)
    journal.end()
    found = recovered_from(tmp_path)
    assert len(found) == len(set(found)) == in_files
    assert [name for name in found if name.isdecimal()] == [f"{number}" for number in range(len(SIZES))]


@pytest.mark.parametrize("most_bytes", [SEGMENT, 16 * SEGMENT])
def test_emitting_from_a_signal_handler(tmp_path: Path, most_bytes: int) -> None:
    """A signal handler that emits between any two steps of a push leaves the accounts exact, also in a full journal."""
    refused: list[str] = []
    journal = begun(tmp_path, items=10, most_bytes=most_bytes, on_loss=lambda item, counter: refused.append(item.name))
    emit = emitter(journal)
    interrupted = pushed = 0
    taken: list[str] = []

    def handler(_: int, __: FrameType | None) -> None:
        nonlocal interrupted
        interrupted += 1
        emit(f"signal {interrupted}", SIZES[interrupted % len(SIZES)])

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        while interrupted < 300:
            span = span_for(journal, f"{pushed}", SIZES[pushed % len(SIZES)])
            signal.setitimer(signal.ITIMER_REAL, 0.000001 * (1 + pushed % 97))  # once: handlers may take longer
            span.end()
            pushed += 1
            if pushed % 50 == 0:
                taken += all_of(journal)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert_conserved(journal, pushed + interrupted, len(refused))
    taken += all_of(journal)
    everything = {*(f"{n}" for n in range(pushed)), *(f"signal {n + 1}" for n in range(interrupted))}
    assert Counter([*taken, *refused]) == Counter(everything)
    finished(journal, tmp_path, Counter())


def test_emitting_from_a_finalizer(tmp_path: Path) -> None:
    """An object whose ``__del__`` emits while the garbage collector runs inside a push leaves the accounts exact."""
    journal = begun(tmp_path, items=10**6, size=10**9, most_bytes=64 * SEGMENT)
    emit = emitter(journal)
    died = 0

    class Mourned:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            nonlocal died
            died += 1
            emit(f"late {died}", SIZES[died % len(SIZES)])

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(500):
            Mourned()
            emit(f"{number}", SIZES[number % len(SIZES)])
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert died == 500
    assert_conserved(journal, 1_000, 0)
    finished(journal, tmp_path, Counter([*(f"{n}" for n in range(500)), *(f"late {n + 1}" for n in range(500))]))


class Watched(deque[Block]):
    """A lane's blocks; whenever some are added, somebody emits and a consumer reads, before the push goes on."""

    look: Callable[[], None]

    def extend(self, blocks: Iterable[Block]) -> None:
        """Add the blocks, and let the others have their turn."""
        super().extend(blocks)
        self.look()


@pytest.mark.parametrize("before", [0, 100])
def test_a_consumer_in_the_middle_of_a_long_write(tmp_path: Path, before: int) -> None:
    """While a long body is half linked nothing behind it is read, nor what a signal's handler emits meanwhile."""
    journal = begun(tmp_path)
    emit = emitter(journal)
    for number in range(before):
        emit(f"before {number}")
    lane = journal._new_journal_lane() if not before else journal.lanes()[0]
    assert isinstance(lane, JournalLane)
    found: list[str] = []
    looked = 0

    def look() -> None:
        nonlocal looked
        looked += 1
        blocks.look = lambda: None
        emit(f"meanwhile {looked}")
        found.extend(delivered_from(lane))
        totals = journal.totals()
        assert totals["settled"] == len(found) <= totals["accepted"]
        blocks.look = look

    blocks = Watched(lane.blocks)
    blocks.look = look
    lane.blocks = blocks
    for number, size in enumerate([70_000, 200_000, 10, 66_000, 400_000]):
        emit(f"{number}", size)
    found += delivered_from(lane)
    assert looked == 4
    assert len(found) == len(set(found)) == before + 5 + looked
    assert [name for name in found if name.isdecimal()] == [f"{number}" for number in range(5)]
    finished(journal, tmp_path, Counter())


# -- what a signal's handler raises -----------------------------------------------------------------------------------


class TimeIsUp(Exception):
    """What a task's time limit raises (Celery's is such an Exception, too)."""


RAISED = [KeyboardInterrupt, TimeIsUp, TimeoutError]
"""The last is an OSError, and none of a file."""


def interrupted_at(nth: int, work: Callable[[], object], kind: type[BaseException] = KeyboardInterrupt) -> bool:
    """Do something and raise such an exception at the ``nth`` moment at which a signal is handled; return whether.

    That is so when a function begins and when one has returned, never between two assignments.
    """
    moments = 0

    def hook(frame: FrameType, event: str, _: object) -> None:
        nonlocal moments
        if event != "c_call" and frame.f_code.co_filename.startswith(KERNEL):
            moments += 1
            if moments == nth:
                sys.setprofile(None)
                raise kind

    try:
        with hooked(sys.setprofile, hook):
            work()
    except kind:
        return True
    assert moments < nth, "what was raised comes out"
    return False


@pytest.mark.parametrize(
    ("size", "before", "kind"),
    [
        (size, before, KeyboardInterrupt)
        for size in (0, 5_300, 60_000, 70_000, 200_000, 5 * MEGABYTE)
        for before in (0, 100, 59_000)
    ]
    + [(size, 100, kind) for size in (0, 5_300, 70_000) for kind in RAISED[1:]],
)
def test_an_exception_at_any_moment(tmp_path: Path, size: int, before: int, kind: type[BaseException]) -> None:
    """Whenever it comes, the span is there or not, counted accordingly, and the next ones go into the journal."""
    accepted: Counter[bool] = Counter()
    nth = 0
    early = True
    while early:
        nth += 1 + size // 40_000 if size > 100_000 else 1
        journal = begun(tmp_path, most_bytes=2 * SEGMENT)
        emit = emitter(journal)
        if before:
            emit("before", before)
        span = span_for(journal, "interrupted", size)
        early = interrupted_at(nth, partial(journal.push, span), kind)
        assert journal.trouble is None
        emit("after", 10)
        emit("long after", 70_000)
        lane, *others = [lane for lane in journal.lanes() if lane.accepted]
        assert others == []
        assert isinstance(lane, JournalLane)
        assert lane.framed >= 2, "the lane is as usable as it was"
        home = journal._home
        assert home is not None
        missing = 64 * len(home.segments) - len(home.free) - len(lane.blocks)
        assert missing <= 1, "no more than the one block that was on its way"
        waiting = lane.accepted - lane.settled
        found = all_of(journal)
        assert len(found) == waiting
        assert found.count("interrupted") == waiting - 2 - bool(before)
        assert [name for name in found if name != "interrupted"] == ["before"] * bool(before) + ["after", "long after"]
        accepted["interrupted" in found] += 1
        assert (lane.depth, lane.bytes, lane.kept) == (0, 0, 0)
        journal.closed = True
        journal.end()
        assert list(tmp_path.iterdir()) == []
    assert accepted[False] > 3
    assert accepted[True] > 0


@pytest.mark.parametrize("size", [3_000, 5_300, 70_000])
def test_what_an_interrupted_push_has_written_is_no_damage(tmp_path: Path, size: int) -> None:
    """Bytes of a record that was never counted are not found behind a shorter one, where they would be damage."""
    nth = 0
    early = True
    while early:
        nth += 1
        directory = tmp_path / f"{nth}"
        journal = begun(directory)
        emit = emitter(journal)
        emit("before")
        span = span_for(journal, "interrupted", size)
        early = interrupted_at(nth, partial(journal.push, span))
        emit("after")
        journal.closed = True
        journal.end()
        found = recovered_from(directory)
        assert [name for name in found if name != "interrupted"] == ["before", "after"]
        assert not (directory / "damaged").exists()
    assert nth > 5


def test_keyboard_interrupt_in_a_threads_first_push(tmp_path: Path) -> None:
    """A thread whose first push is interrupted has one lane, and it works."""
    journal = begun(tmp_path)
    emit = emitter(journal)
    counts: list[int] = []

    def work() -> None:
        nth = len(counts) + 1
        span = span_for(journal, f"interrupted {nth}")
        early = interrupted_at(nth, lambda: journal.push(span))
        emit(f"after {nth}")
        counts.append(early)

    while not counts or counts[-1]:
        in_thread(work)
    assert journal.totals()["accepted"] == sum(lane.accepted for lane in journal.lanes())
    found = all_of(journal)
    assert [name for name in found if name.startswith("after")] == [f"after {nth + 1}" for nth in range(len(counts))]
    journal.housekeep(0)
    assert journal.lanes() == []
    journal.closed = True
    journal.end()
    assert list(tmp_path.iterdir()) == []


def test_keyboard_interrupt_in_a_full_journal(tmp_path: Path) -> None:
    """The same where there is no room but in memory."""
    nth = 0
    early = True
    while early:
        nth += 3
        journal = begun(tmp_path, most_bytes=SEGMENT, items=3)
        emit = emitter(journal)
        while journal.trouble is None:
            emit("before", 300_000)
        all_before = journal.totals()["accepted"]
        span = span_for(journal, "interrupted", 400_000)
        early = interrupted_at(nth, partial(journal.push, span))
        emit("after", 400_000)
        waiting = journal.totals()["accepted"]
        found = all_of(journal)
        assert len(found) == waiting
        assert found.count("before") == all_before
        assert found[-1] == "after"
        journal.housekeep(10**12)
        emit("later", 400_000)
        assert journal.left == 1
        all_of(journal)
        journal.closed = True
        journal.end()
        assert list(tmp_path.iterdir()) == []
    assert nth > 10
