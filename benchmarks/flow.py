"""Driving the request mix through a recorder, and reading back what arrived.

The producer is bounded: it answers so many requests at once, and before the next ones it looks at the recorder's buffer
and waits while more than :data:`MOST_WAITING` records are in it. So nothing is ever lost, and the rate is that of the
slower of producer and store. CPU that it spends on looking and waiting is not counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.measure import less
from benchmarks.request_mix import COST, GENERATION, MODEL, SPANS, USAGE, Handle, Texts
from tracecore import Recorder
from tracecore.backend import Backend, ObservationQuery
from tracecore.records import Generation, Observation

__all__ = [
    "AT_ONCE",
    "MOST_WAITING",
    "PACING",
    "Costs",
    "Spent",
    "buffer_for",
    "check_stored",
    "costs_of",
    "drive",
    "drive_warm",
    "wait_for_room",
    "whole_spans",
]

AT_ONCE: Final = 50
MOST_WAITING: Final = 8_192
PACING: Final = (
    f"{AT_ONCE} requests at once; between them the producer waits while more than {MOST_WAITING:,} records are in the"
    " buffer, so that nothing is lost"
)
_PAGE: Final = 1_000
_FLUSH_WITHIN_S: Final = 60.0
_BYTES_OF_REQUEST: Final = 16 << 10
"""What the five records of one take in the buffer, and more."""


class Spent(Struct):
    """Say what answering a number of requests took: seconds of wall clock, CPU of the caller and of all threads."""

    requests: int
    wall: float = 0.0
    caller: float = 0.0
    all_threads: float = 0.0

    @property
    def spans(self) -> int:
        """Return how many spans were made."""
        return self.requests * SPANS

    @property
    def caller_us(self) -> float:
        """Return µs of CPU of the caller per span."""
        return self.caller / self.spans * 1e6

    @property
    def cpu_us(self) -> float:
        """Return µs of CPU of all threads per span."""
        return self.all_threads / self.spans * 1e6

    @property
    def rate(self) -> float:
        """Return spans per second, to the moment when all were delivered."""
        return self.spans / self.wall


class Costs(Struct, frozen=True):
    """Say what tracing took, a figure a round: µs of CPU per span of the caller and of all threads, and spans/s."""

    caller: list[float]
    cpu: list[float]
    rate: list[float]


def buffer_for(at_once: int) -> dict[str, Any]:
    """Return the settings of a buffer that takes what so many requests make, beside what may wait already."""
    return {
        "buffer_items": max(65_536, MOST_WAITING + at_once * SPANS),
        "buffer_bytes": (64 << 20) + at_once * _BYTES_OF_REQUEST,
    }


def costs_of(traced: Sequence[Spent], bare: Sequence[Spent]) -> Costs:
    """Return what tracing took: CPU less that of the same requests without tracing, round by round."""
    return Costs(
        caller=less([one.caller_us for one in traced], [one.caller_us for one in bare]),
        cpu=less([one.cpu_us for one in traced], [one.cpu_us for one in bare]),
        rate=[one.rate for one in traced],
    )


async def drive(
    handle: Handle,
    requests: range,
    recorder: Recorder | None = None,
    *,
    at_once: int = AT_ONCE,
    most_waiting: int = MOST_WAITING,
    settle: Callable[[], object] | None = None,
) -> Spent:
    """Answer requests, flush, and say what it took, to the moment when everything is delivered.

    ``settle`` is the flush of whoever has no recorder of ours; it may block.

    Raises:
        RuntimeError: something was lost, or was not delivered in time.
    """
    spent = Spent(len(requests))
    waited, unseen = 0.0, 0
    cpu, began = time.process_time(), time.perf_counter()
    for first in range(0, len(requests), at_once):
        entered = time.thread_time()
        await asyncio.gather(*map(handle, requests[first : first + at_once]))
        left = time.thread_time()
        spent.caller += left - entered
        unseen += at_once
        if recorder is not None and unseen >= AT_ONCE:  # a look costs more than a request that is answered alone
            await wait_for_room(recorder, most_waiting)
            unseen = 0
        waited += time.thread_time() - left
    if recorder is not None:
        await _flushed(recorder)
    if settle is not None:
        await asyncio.to_thread(settle)
    spent.wall = time.perf_counter() - began
    spent.all_threads = time.process_time() - cpu - waited
    return spent


async def drive_warm(
    handle: Handle,
    requests: range,
    recorder: Recorder | None = None,
    *,
    at_once: int = AT_ONCE,
    most_waiting: int = MOST_WAITING,
) -> Spent:
    """Answer the first request before the clock runs, which opens the store, and then drive the others."""
    await drive(handle, requests[:1], recorder)
    return await drive(handle, requests[1:], recorder, at_once=at_once, most_waiting=most_waiting)


async def wait_for_room(recorder: Recorder, most_waiting: int = MOST_WAITING) -> None:
    """Wait while more records than this are in the buffer."""
    while recorder.health().buffer_depth > most_waiting:  # noqa: ASYNC110 - polled as a program would
        await asyncio.sleep(0.002)


async def _flushed(recorder: Recorder) -> None:
    result = await recorder.aflush(_FLUSH_WITHIN_S)
    if not result.delivered or result.lost:
        raise RuntimeError(f"{result.pending} records are pending, lost: {result.lost}; {recorder.health().last_error}")


async def check_stored(
    backend: Backend, texts: Texts, requests: range, *, project: str = "default", newest: bool = False
) -> int:
    """Read every span back, compare it with what was emitted, and return how many there are.

    With ``newest`` older spans may be there too: as many as the requests made are read, from the last one backwards.

    Raises:
        RuntimeError: a span is missing, there twice, or not what was emitted; the message says which.
    """
    stored: dict[str, list[Observation]] = {}
    async for span in whole_spans(backend, project, most=len(requests) * SPANS if newest else None):
        stored.setdefault(span.trace_id, []).append(span)
    numbers: list[int] = []
    for spans in stored.values():
        number = _checked(spans, texts)
        numbers.append(number)
    if sorted(numbers) != list(requests):
        lost = sorted(set(requests) - set(numbers))
        raise RuntimeError(f"{len(numbers)} of {len(requests)} requests are stored; missing: {lost[:5]}")
    return sum(map(len, stored.values()))


async def whole_spans(
    backend: Backend, project: str = "default", *, most: int | None = None, page: int = _PAGE
) -> AsyncIterator[Observation]:
    """Yield the spans of a project with their payloads, the newest first, ``most`` of them or all."""
    assert backend.observations is not None
    left = float("inf") if most is None else most
    cursor: str | None = None
    while left > 0:
        limit = int(min(left, page))
        found = await backend.observations.find(project, ObservationQuery(limit=limit, cursor=cursor, bodies=True))
        for span in found.items:
            yield span
        left -= len(found.items)
        cursor = found.next_cursor
        if cursor is None:
            return


def _checked(spans: list[Observation], texts: Texts) -> int:
    """Return which request a trace is of, having compared everything it says."""
    by_name = {span.name: span for span in spans}
    root = by_name.get("request")
    if root is None or len(spans) != SPANS:
        raise RuntimeError(f"trace {spans[0].trace_id} has the spans {sorted(span.name for span in spans)}")
    number: int = _decoded(root.input)["number"]
    for name, (given, returned) in texts.expected(number).items():
        span = by_name.get(name)
        if span is None:
            raise RuntimeError(f"request {number} has no span {name}")
        parent = None if span is root else root.span_id
        said = (span.parent_id, span.status, span.trace.user_id, _decoded(span.input), _decoded(span.output))
        if said != (parent, "ok", texts.user(number), given, returned) or not span.duration_ns:
            raise RuntimeError(f"request {number}: {name} is stored as {span}")
    model_call = by_name[GENERATION]
    if not isinstance(model_call, Generation) or (model_call.model, model_call.usage_details) != (MODEL, USAGE):
        raise RuntimeError(f"request {number}: its generation is stored as {model_call}")
    if model_call.cost_details != COST:
        raise RuntimeError(f"request {number}: its cost is stored as {model_call.cost_details}")
    return number


def _decoded(payload: bytes) -> Any:
    return msgspec.json.decode(payload)
