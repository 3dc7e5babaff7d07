"""A pump that ends between any two steps: the next one is handed exactly what was not settled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journals import adopted, batch_from, begun, delivered_from, ended, lane_of, name_of, span_for, taken
from tests.lines import at_each_line
from tracecore.files import Files
from tracecore.lanes import Lane
from tracecore.ring import Ring


class Ended(BaseException):
    """What ends a pump from outside."""


def interrupted_at(nth: int, work: Callable[[], object]) -> bool:
    """Do something whose ``nth`` line inside the kernel raises; return whether there were so many."""

    def end(line: int) -> None:
        if line == nth:
            raise Ended

    try:
        with at_each_line(end):
            work()
    except Ended:
        return True
    return False


class Descriptors(Files):
    """Know which files are open: an exception between two lines of opening one leaves it open."""

    def __init__(self) -> None:
        self.open_now: set[int] = set()

    def open(self, path: Path) -> int:
        """Note the descriptor."""
        descriptor = super().open(path)
        self.open_now.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Forget the descriptor."""
        super().close(descriptor)
        self.open_now.discard(descriptor)

    def close_all(self) -> None:
        """Close whatever is open."""
        for descriptor in list(self.open_now):
            self.close(descriptor)


class Batches:
    """Deliver batches as a pump does; what was settled when it ended is delivered, and nothing else."""

    def __init__(self, lane: Lane[Any]) -> None:
        self.lane = lane
        self.delivered: list[str] = []
        self.batch: list[str] = []

    def deliver(self, items: int) -> None:
        """Take, write and settle one batch, in two parts."""
        self.batch = [name_of(item) for item in batch_from(self.lane, items, 10**9)]
        middle = len(self.batch) // 2
        self.lane.settle(middle)
        self.lane.note()
        self.lane.settle(len(self.batch) - middle)
        self.lane.note()

    def deliver_until(self, nth: int, items: int) -> bool:
        """Do the same with a pump that ends at the ``nth`` line, and rewind; return whether it did end."""
        before, self.batch = self.lane.settled, []
        ended_early = interrupted_at(nth, lambda: self.deliver(items))
        self.delivered += self.batch[: self.lane.settled - before]
        return ended_early

    def rewind_until(self, nth: int) -> bool:
        """Rewind, by somebody who ends at the ``nth`` line and another after it; return whether the first did end."""
        ended_early = interrupted_at(nth, self.lane.rewind)
        self.lane.rewind()
        return ended_early


SOME = ["0", "1", "20000", "3", "70000", "150000", "6", "7", "130000", "9"]
"""Names of spans, and sizes of their outputs."""


@pytest.mark.parametrize("items", [1, 2, 4, 10])
def test_a_pump_may_end_at_any_line(tmp_path: Path, items: int) -> None:
    """Wherever a pump ends, the next one is handed exactly what was not settled, and nothing is settled twice."""
    nth = 0
    early = True
    while early:
        nth += 1 if items < 10 else 7
        journal = begun(tmp_path, items=5)
        for name in SOME:
            span_for(journal, name, int(name)).end()
        for name in ("in", "memory"):
            Ring.push(journal, span_for(journal, name))
        lane = lane_of(journal)
        batches = Batches(lane)
        early = batches.deliver_until(nth, items)
        batches.rewind_until(nth)
        assert lane.accepted - lane.settled == 12 - len(batches.delivered)
        left = taken(lane)
        assert sorted(batches.delivered + left) == sorted([*SOME, "in", "memory"])
        assert [name for name in batches.delivered + left if name in SOME] == SOME
        lane.rewind()
        assert (lane.depth, lane.bytes) == (len(lane.items), sum(item.size for item in lane.items))
        lane.settle(len(taken(lane)))
        assert (lane.settled, lane.taken, lane.kept, lane.depth, lane.bytes, lane.in_memory) == (12, 12, 0, 0, 0, False)
        home = journal._home
        assert home is not None
        assert len({*home.free, *lane.blocks}) == len(home.free) + len(lane.blocks) == 64 * len(home.segments)
        ended(journal)
        assert list(tmp_path.iterdir()) == []
    assert nth > 50


@pytest.mark.parametrize("items", [1, 3, 10])
def test_a_pump_that_adopts_may_end_at_any_line(tmp_path: Path, items: int) -> None:
    """Wherever a pump ends that delivers what a dead process left, the next one is handed exactly the rest."""
    nth = 0
    early = True
    while early:
        nth += 1 if items < 10 else 7
        journal = begun(tmp_path)
        for name in SOME:
            span_for(journal, name, int(name)).end()
        ended(journal)
        files = Descriptors()
        reader = begun(tmp_path, "reader", files=files)
        reader.housekeep(1)
        (lane,) = adopted(reader)
        batches = Batches(lane)
        early = batches.deliver_until(nth, items)
        batches.rewind_until(nth)
        assert batches.delivered + delivered_from(lane) == SOME
        assert lane.settled == len(SOME)
        reader.housekeep(2)
        reader.farewells.clear()
        reader.housekeep(3)
        ended(reader)
        files.close_all()
        assert list(tmp_path.iterdir()) == []
    assert nth > 50
