"""The buffer alone: ns per item in and out, and whether it is exact when threads push beside a consumer.

For scale: a bare ``deque.append``, which the lane stands on, and the queues of the standard library, which it replaces.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.loops import own_code
from benchmarks.measure import interleaved, ratio, row_of
from benchmarks.progress import Step
from tracecore.ring import Ring

__all__ = ["ITEMS", "Audit", "Parcel", "audit", "putting", "run"]

METHOD: Final = (
    "ns of CPU time of the calling thread per item, the loop included; lanes of 65,536 items, drained between rounds,"
    " outside the timer. Exactness: producers push numbered items through lanes of so many items while a consumer"
    " takes; at the end every number is accounted for, in order, once."
)
_ROUNDS: Final = 40
ITEMS: Final = 20_000
_BATCH: Final = 512
_PRODUCERS: Final = 4
_EACH: Final = 50_000
_FLOOR: Final = "this ÷ deque.append"


class Parcel(Struct, gc=False):
    """An item as the buffer sees it, numbered by its producer."""

    producer: int = 0
    number: int = 0
    size: int = 600


def putting(put: Callable[[Any], object], empty: Callable[[], object]) -> Callable[[], float]:
    """Return what takes ns per item of putting, by code of its own, and empties the container outside the timer."""
    return partial(own_code(_put_ns), put, empty)


def _put_ns(put: Callable[[Any], object], empty: Callable[[], object]) -> float:
    parcel = Parcel()
    started = time.thread_time_ns()
    for _ in range(ITEMS):
        put(parcel)
    spent = time.thread_time_ns() - started
    empty()
    return spent / ITEMS


def _timed_take(ring: Ring[Parcel]) -> float:
    """Return ns per item of taking in batches."""
    parcel = Parcel()
    for _ in range(ITEMS):
        ring.push(parcel)
    [lane] = ring.lanes()
    taken = 0
    started = time.thread_time_ns()
    while batch := lane.take(_BATCH, 1 << 30):
        taken += len(batch)
    spent = time.thread_time_ns() - started
    assert taken == ITEMS
    return spent / ITEMS


def _emptied(ring: Ring[Parcel]) -> None:
    for lane in ring.lanes():
        while lane.take(ITEMS, 1 << 30):
            pass


def _emptied_queue(items: queue.Queue[Any] | queue.SimpleQueue[Any]) -> None:
    while not items.empty():
        items.get_nowait()


def _candidates() -> dict[str, Callable[[], float]]:
    pushed: Ring[Parcel] = Ring(65_536, 1 << 30)
    plain: deque[Any] = deque()
    simple: queue.SimpleQueue[Any] = queue.SimpleQueue()
    full: queue.Queue[Any] = queue.Queue(65_536)
    return {
        "append": putting(plain.append, plain.clear),
        "push": putting(pushed.push, partial(_emptied, pushed)),
        "take": partial(_timed_take, Ring(65_536, 1 << 30)),
        "simple_queue": putting(simple.put, partial(_emptied_queue, simple)),
        "queue": putting(full.put_nowait, partial(_emptied_queue, full)),
    }


_LABELS: Final = {
    "append": "deque.append, unbounded",
    "push": "Ring.push, bounded in items and bytes",
    "take": f"Lane.take, batches of {_BATCH}",
    "simple_queue": "queue.SimpleQueue.put, unbounded",
    "queue": "queue.Queue.put_nowait, bounded in items",
}


class Audit(Struct):
    """Say what became of the items of all producers."""

    pushed: int
    refused: int
    taken: int
    misplaced: int
    """Items that came twice, or before one that was pushed earlier."""

    @property
    def missing(self) -> int:
        """Return how many were neither refused nor taken."""
        return self.pushed - self.refused - self.taken


def audit(max_items: int, each: int) -> Audit:
    """Push from several threads while this one takes, and account for every item."""
    ring: Ring[Parcel] = Ring(max_items, 1 << 30)
    begin = threading.Barrier(_PRODUCERS)

    def produce(producer: int) -> None:
        begin.wait()
        for number in range(each):
            ring.push(Parcel(producer, number))

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(_PRODUCERS)]
    for thread in threads:
        thread.start()
    last = [-1] * _PRODUCERS
    taken = misplaced = 0
    while any(thread.is_alive() for thread in threads) or any(lane.depth for lane in ring.lanes()):
        for lane in ring.lanes():
            for parcel in lane.take(_BATCH, 1 << 30):
                taken += 1
                misplaced += parcel.number <= last[parcel.producer]
                last[parcel.producer] = parcel.number
    for thread in threads:
        thread.join()
    totals = ring.totals()
    if not totals["accepted"] == totals["taken"] == taken:
        raise RuntimeError(f"{taken} items were taken, and the ring says {totals}")
    return Audit(pushed=_PRODUCERS * each, refused=totals["full"], taken=taken, misplaced=misplaced)


def _audit_row(max_items: int, each: int) -> Row:
    found = audit(max_items, each)
    if found.missing or found.misplaced:
        raise RuntimeError(f"a ring of lanes of {max_items} items is not exact: {found}")
    note = f"{found.pushed:,} pushed, {found.taken:,} taken, {found.refused:,} refused and counted, "
    note += f"{found.misplaced} twice or out of order"
    label = f"items unaccounted for: {_PRODUCERS} threads, lanes of {max_items:,}"
    return Row(key=f"ring.missing.{max_items}", label=label, unit="items", value=found.missing, note=note)


def run(settings: Settings, step: Step) -> Table:
    """Measure the buffer and account for what threads push through it."""
    rounds = settings.rounds_of(_ROUNDS)
    taken = interleaved(
        _candidates(), rounds=rounds, seed=settings.seed, step=lambda what, share: step(what, share / 2)
    )
    floor = statistics.median(taken["append"])
    rows = [
        row_of(f"ring.{name}", _LABELS[name], "ns", figures, ratios={_FLOOR: ratio(statistics.median(figures), floor)})
        for name, figures in taken.items()
    ]
    for number, max_items in enumerate((64, 65_536)):
        step(f"{_PRODUCERS} threads, lanes of {max_items}", 0.5 + number / 4)
        rows.append(_audit_row(max_items, settings.size_of(_EACH)))
    return Table(suite="ring", title="The buffer", method=METHOD, rows=rows)
