"""Spans with 0.1, 1, 10 and 100 KB of payload into SQLite: what of their cost is the span, and what its bytes.

A request is a trace of five spans, each of which gets one text as its argument and returns the same without its first
character: half of the payload each. Nothing of it may be cut or left out, up to the greatest, with the limits that a
recorder has unless told otherwise: every payload is read back and compared. No two spans have the same.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import MOST_WAITING, Spent, costs_of, drive_warm, whole_spans
from benchmarks.measure import Rounds, row_of
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Handle, Texts, undecorated
from benchmarks.stored import Stored
from tracecore import observe
from tracecore.plugins import open_backend
from tracecore.records import Observation

__all__ = ["SIZES", "Payloads", "run"]

METHOD: Final = (
    "Requests of 5 spans with so many bytes of payload each (JSON; half of them the argument, half the result; words as"
    " in a text) into a new SQLite file each time, in shuffled order within a round; less the same requests without"
    " tracing, round by round. 50 requests at once; between them the producer waits while more than 8,192 records or 24"
    " MB are in the buffer. Time ends when flush says delivered. After each time every payload is read back and"
    " compared: nothing is cut. On disk without the search index."
)
SIZES: Final = {100: "0.1 KB", 1_024: "1 KB", 10_240: "10 KB", 102_400: "100 KB"}
"""Bytes of payload per span."""
_ROUNDS: Final = 4
_REQUESTS: Final = {100: 2_000, 1_024: 2_000, 10_240: 800, 102_400: 160}
_MOST_BYTES_WAITING: Final = 24 << 20
_BYTES_READ_AT_ONCE: Final = 8 << 20
_AROUND: Final = len('{"text":""}') + len('""')
_TEXTS: Final = 16
_MB: Final = 1e6


class Payloads:
    """Hold the texts of one size: a few, each made another for every span by the number in front of it."""

    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self._length = (size - _AROUND + 1) // 2
        source, chance = Texts(seed, prompts=1), random.Random(seed)
        self._texts = [source.text(chance, self._length) for _ in range(_TEXTS)]

    def given(self, number: int) -> str:
        """Return the argument of a span."""
        return f" {number:08} {self._texts[number % _TEXTS]}"[: self._length]

    def returned(self, number: int) -> str:
        """Return the result of a span."""
        return self.given(number)[1:]

    def service(self, observed: Callable[[Any], Any], observed_root: Callable[[Any], Any]) -> Handle:
        """Return what answers a request, observed by what is given."""

        @observed
        async def step(text: str) -> str:
            return text[1:]

        @observed_root
        async def request(text: str) -> str:
            first = _number_in(text)
            await asyncio.sleep(0)
            for number in range(first + 1, first + SPANS):
                await step(self.given(number))
            return text[1:]

        return lambda number: request(self.given(number * SPANS))

    async def check(self, url: str, requests: range) -> None:
        """Read every span of the requests back.

        Raises:
            RuntimeError: one is missing, or holds anything else than it was given.
        """
        reader = open_backend(url, access="read")
        await reader.open()
        page = max(1, min(1_000, _BYTES_READ_AT_ONCE // self.size))
        try:
            found = [self._number_of(span) async for span in whole_spans(reader, page=page)]
        finally:
            await reader.close()
        if sorted(found) != list(range(len(requests) * SPANS)):
            raise RuntimeError(f"{len(found)} of {len(requests) * SPANS} spans are stored")

    def _number_of(self, span: Observation) -> int:
        """Return which span it is, having compared what it says."""
        text = msgspec.json.decode(span.input)["text"]
        number = _number_in(text) if isinstance(text, str) else -1
        given = self.given(number)
        payloads = b'{"text":"%b"}' % given.encode(), b'"%b"' % given[1:].encode()
        if (bytes(span.input), bytes(span.output)) != payloads or sum(map(len, payloads)) != self.size:
            raise RuntimeError(f"a payload of {self.size} bytes is stored as {bytes(span.input)[:100]!r}")
        if (span.parent_id is None) is not (number % SPANS == 0):
            raise RuntimeError(f"span {number} is stored as {span.name}")
        return number


def _number_in(text: str) -> int:
    """Return which span a text belongs to."""
    return int(text[1:9])


class Taken(Struct):
    """Collect the figures of one size."""

    bare: list[Spent] = []
    stored: list[Spent] = []
    disk: float = 0.0
    """Bytes per span of the last file."""


def run(settings: Settings, step: Step) -> Table:
    """Measure each size in turn."""
    chance, rounds = random.Random(settings.seed), settings.rounds_of(_ROUNDS)
    payloads = [Payloads(settings.seed, size) for size in SIZES]
    taken = {size: Taken() for size in SIZES}
    for number in range(rounds + 1):
        chance.shuffle(payloads)
        for place, each in enumerate(payloads):
            what = f"round {number} of {rounds}" if number else "warm-up"
            step(f"{what}, {SIZES[each.size]}", (number + place / len(payloads)) / (rounds + 1))
            _measure(each, range(1 + settings.size_of(_REQUESTS[each.size])), taken[each.size])
            if not number:
                taken[each.size] = Taken()
    return Table(suite="scaling/payload", title="Payload of a span", method=METHOD, rows=_rows(taken))


def _measure(payloads: Payloads, requests: range, taken: Taken) -> None:
    """Answer the requests without tracing, then into a new file, and read them back."""
    most_waiting = min(MOST_WAITING, _MOST_BYTES_WAITING // payloads.size)
    gc.collect()
    taken.bare.append(asyncio.run(drive_warm(payloads.service(undecorated, undecorated), requests)))
    gc.collect()
    with Stored() as stored:
        handle = payloads.service(observe, observe(recorder=stored.recorder))
        taken.stored.append(asyncio.run(drive_warm(handle, requests, stored.recorder, most_waiting=most_waiting)))
        stored.recorder.shutdown()
        taken.disk = stored.size / (len(requests) * SPANS)
        asyncio.run(payloads.check(stored.url, requests))


def _rows(taken: dict[int, Taken]) -> list[Row]:
    """Return every figure, the size last in its key."""
    figures = {size: _figures_of(size, each) for size, each in taken.items()}
    rows = [
        row_of(f"scaling.payload.{name}.{size}", f"{label}: {what}", unit, figures[size][name])
        for name, (what, unit) in _LABELS.items()
        for size, label in SIZES.items()
    ]
    return rows + [
        Row(
            key=f"scaling.payload.disk.{size}", label=f"{label}: on disk per span", unit="bytes",
            value=taken[size].disk,
        )
        for size, label in SIZES.items()
    ]  # fmt: skip


_LABELS: Final = {
    "caller": ("CPU of the caller per span", "µs"),
    "cpu": ("CPU of all threads per span", "µs"),
    "rate": ("sustained", "spans/s"),
    "bytes": ("sustained", "MB/s"),
}


def _figures_of(size: int, taken: Taken) -> Rounds:
    costs = costs_of(taken.stored, taken.bare)
    in_bytes = [rate * size / _MB for rate in costs.rate]
    return {"caller": costs.caller, "cpu": costs.cpu, "rate": costs.rate, "bytes": in_bytes}
