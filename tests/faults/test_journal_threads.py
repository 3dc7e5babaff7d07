"""Threads that emit into the journal as fast as they can, beside a consumer that does everything a pump may do."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fakes import ManualClock
from tests.journals import MEGABYTE, begun, name_of, recovered_from, span_for
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial
from tracecore.journal import Journal
from tracecore.lanes import Lane
from tracecore.segments import SEGMENT
from tracecore.strict_journal import StrictJournal

THREADS = 8
SIZES = [0, 10, 300, 300, 5_000, 5_300, 40_000, 66_000, 150_000]


@contextmanager
def switching_often() -> Iterator[None]:
    """Let the interpreter change between threads a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Consumer:
    """Take, settle, rewind and keep house at random, and note what was delivered."""

    def __init__(self, journal: Journal, chance: random.Random, clock: ManualClock) -> None:
        self.journal = journal
        self.chance = chance
        self.clock = clock
        self.in_hand: dict[int, tuple[Lane[Any], list[str]]] = {}
        self.delivered: list[str] = []
        self.most_put_back = 0
        """How much a lane may hold beyond its bounds: what was in hand when it was put back."""

    def step(self) -> None:
        """Do one thing."""
        chance = self.chance
        what = chance.random()
        if what < 0.45:
            self._take()
        elif what < 0.85:
            self._settle()
        elif what < 0.9:
            self._rewind()
        else:
            self.clock.advance(chance.choice([0.01, 1.5, 11]))
            self.journal.housekeep(self.clock())
            assert self.journal.level in {"accepted", "handed_over"}
        self._check()

    def finish(self) -> None:
        """Deliver everything that is left."""
        self._rewind()
        for lane in self.journal.lanes():
            while items := lane.take(500, 10 * MEGABYTE):
                self.delivered += map(name_of, items)
                lane.settle(len(items))

    def _take(self) -> None:
        lanes = self.journal.lanes()
        if not lanes:
            return
        lane = self.chance.choice(lanes)
        items = lane.take(self.chance.choice([1, 7, 100, 1_000]), self.chance.choice([1, 50_000, 10 * MEGABYTE]))
        self.in_hand.setdefault(id(lane), (lane, []))[1].extend(map(name_of, items))

    def _settle(self) -> None:
        for lane, names in list(self.in_hand.values()):
            count = self.chance.randint(0, len(names))
            lane.settle(count)
            self.delivered += names[:count]
            del names[:count]

    def _rewind(self) -> None:
        put_back = {id(lane): count for lane, count in self.journal.rewind()}
        for key, (_, names) in self.in_hand.items():
            assert put_back.get(key, 0) == len(names)
            self.most_put_back = max(self.most_put_back, len(names))
            names.clear()

    def _check(self) -> None:
        """Assert what holds at any moment, whatever the threads are doing."""
        totals = self.journal.totals()
        assert totals["settled"] <= totals["taken"] <= totals["accepted"]
        assert totals["settled"] == len(self.delivered)
        home = self.journal._home
        assert home is not None
        assert len(list(home.path.iterdir())) - 1 <= 8
        for lane in self.journal.lanes():
            assert len(lane.items) <= self.journal.max_items + self.most_put_back


def bursts(journal: Journal, thread: int, chance: random.Random, count: int, emitted: list[str]) -> Callable[[], None]:
    """Return what a thread does: emit so many spans in bursts, with a pause between them in which others run."""

    def work() -> None:
        number = 0
        while number < count:
            for _ in range(chance.randint(1, 60)):
                emitted.append(f"{thread}.{number}")
                span_for(journal, emitted[-1], chance.choice(SIZES)).end()
                number += 1
            threading.Event().wait(chance.random() / 500)

    return work


@torture("T20", "threads emit into the journal while it is consumed", rounds=3, full=60)
@pytest.mark.parametrize("kind", [Journal, StrictJournal])
@pytest.mark.parametrize("segments", [1, 6])
def test_conservation_to_the_unit(trial: Trial, kind: type[Journal], segments: int) -> None:
    """Every span that a thread has emitted is delivered once and as it was, or counted as refused; order is kept."""
    for case in trial.cases():
        with case:
            refused: list[str] = []
            clock = ManualClock()
            journal = begun(
                case.folder,
                kind=kind,
                items=500,
                size=8 * MEGABYTE,
                most_bytes=segments * SEGMENT,
                clock=clock,
                on_loss=lambda item, counter, refused=refused: refused.append(item.name),
            )
            notes: list[str] = []
            note = journal._note
            journal._note = lambda trouble, note=note, notes=notes: notes.append(trouble) or note(trouble)  # type: ignore[method-assign,misc]  # to know of what is over, too
            emitted: list[list[str]] = [[] for _ in range(THREADS)]
            consumer = Consumer(journal, case.chance, clock)
            count = by_mode(900, full=2_000)
            threads = [
                threading.Thread(
                    target=bursts(journal, number, random.Random(case.chance.random()), count, emitted[number])  # noqa: S311 - a seed makes it repeatable
                )
                for number in range(THREADS)
            ]
            with switching_often():
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads):
                    consumer.step()
                for thread in threads:
                    thread.join()
            consumer.finish()
            everything = [name for names in emitted for name in names]
            totals = journal.totals()
            assert Counter([*consumer.delivered, *refused]) == Counter(everything)
            assert totals["accepted"] + totals["full"] == len(everything)
            assert totals["full"] == len(refused)
            if not notes:  # nothing went into memory
                for names in emitted:
                    mine = set(names)
                    assert [name for name in consumer.delivered if name in mine] == names
            del threads, thread
            journal.housekeep(clock() + 10**12)
            assert journal.lanes() == []
            home = journal._home
            assert home is not None
            assert len(home.free) == 64 * len(home.segments)
            journal.closed = True
            journal.end()
            assert list(case.folder.iterdir()) == []


@torture("T20", "threads emit into the journal and nobody delivers", rounds=1, full=20)
def test_what_threads_left_is_in_the_files(trial: Trial) -> None:
    """What eight threads have emitted at once is recovered by the next process, all of it, each thread's in order."""
    for case in trial.cases():
        with case:
            journal = begun(case.folder, most_bytes=64 * SEGMENT)
            emitted: list[list[str]] = [[] for _ in range(THREADS)]
            threads = [
                threading.Thread(
                    target=bursts(journal, number, random.Random(case.chance.random()), 200, emitted[number])  # noqa: S311 - a seed makes it repeatable
                )
                for number in range(THREADS)
            ]
            with switching_often():
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            assert journal.level == "handed_over"
            journal.end()
            found = recovered_from(case.folder)
            for names in emitted:
                mine = set(names)
                assert [name for name in found if name in mine] == names
            assert len(found) == sum(map(len, emitted))
