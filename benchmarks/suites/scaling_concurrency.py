"""The request mix into SQLite with one request at a time, with ten, a hundred and a thousand at once.

With one at a time a span's parent is the last thing that ran. With a thousand at once as many requests have open spans
in contexts of their own, and their spans reach the buffer mixed.
"""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import Spent, buffer_for, costs_of, drive_warm
from benchmarks.measure import row_of
from benchmarks.progress import Step
from benchmarks.request_mix import Texts, bare_service, traced_service
from benchmarks.stored import Stored

__all__ = ["run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span) into a new SQLite file each time, so many at once, in shuffled"
    " order within a round; less the same requests without tracing, as many at once, round by round. Time ends when"
    " flush says delivered. After each time every span is read back and compared."
)
_AT_ONCE: Final = (1, 10, 100, 1_000)
_ROUNDS: Final = 4
_REQUESTS: Final = 2_000


def run(settings: Settings, step: Step) -> Table:
    """Measure each concurrency in turn."""
    texts, chance, rounds = Texts(settings.seed), random.Random(settings.seed), settings.rounds_of(_ROUNDS)
    order = list(_AT_ONCE)
    bare: dict[int, list[Spent]] = {at_once: [] for at_once in _AT_ONCE}
    stored: dict[int, list[Spent]] = {at_once: [] for at_once in _AT_ONCE}
    for number in range(rounds + 1):
        chance.shuffle(order)
        for place, at_once in enumerate(order):
            what = f"round {number} of {rounds}" if number else "warm-up"
            step(f"{what}, {at_once:,} at once", (number + place / len(order)) / (rounds + 1))
            requests = range(1 + max(at_once, settings.size_of(_REQUESTS)))
            pair = _bare(texts, requests, at_once), _stored(texts, requests, at_once)
            if number:
                bare[at_once].append(pair[0])
                stored[at_once].append(pair[1])
    return Table(suite="scaling/concurrency", title="Requests at once", method=METHOD, rows=_rows(bare, stored))


def _bare(texts: Texts, requests: range, at_once: int) -> Spent:
    gc.collect()
    return asyncio.run(drive_warm(bare_service(texts), requests, at_once=at_once))


def _stored(texts: Texts, requests: range, at_once: int) -> Spent:
    """Store the requests, the first of them before the clock runs, read them back, and say what it took."""
    gc.collect()
    with Stored(**buffer_for(at_once)) as stored:
        spent = asyncio.run(
            drive_warm(traced_service(texts, stored.recorder), requests, stored.recorder, at_once=at_once)
        )
        stored.recorder.shutdown()
        asyncio.run(stored.read_back(texts, requests))
    return spent


def _rows(bare: dict[int, list[Spent]], stored: dict[int, list[Spent]]) -> list[Row]:
    """Return every figure, the concurrency last in its key."""
    costs = {at_once: costs_of(stored[at_once], bare[at_once]) for at_once in _AT_ONCE}
    return [
        row_of(f"scaling.concurrency.{name}.{at_once}", f"{at_once:,} at once: {label}", unit, getattr(taken, name))
        for name, label, unit in (("cpu", "CPU of all threads per span", "µs"), ("rate", "sustained", "spans/s"))
        for at_once, taken in costs.items()
    ]
