"""What a span takes in memory while it waits for the store: bytes that are allocated, as tracemalloc counts them.

Captured nested spans are made while whoever would take them away is held back; what is allocated afterwards and was not
before is theirs, the container they wait in included. Everything that Python allocates is counted, but not what its
allocator rounds up or keeps free. Afterwards they are let go, and all of them must arrive.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks.sinks import HeldBackend, NullBackend
from benchmarks.workload import ARGUMENTS, answer
from tracecore import Config, Recorder, observe

__all__ = ["retained_by_opentelemetry", "retained_by_recorder"]

_WARM_UP: Final = 10
_FLUSH_WITHIN_S: Final = 60.0


def retained_by_recorder(spans: int) -> float:
    """Return the bytes that each of so many spans takes in a recorder's buffer."""
    sink = NullBackend()
    held = HeldBackend(sink, held=True)
    recorder = Recorder(Config(backend="memory:", pending_after_ms=0, buffer_items=2 * spans), backend=held).start()
    try:
        held.wait_until_open()
        calling = observe(name="outer", capture_input=False, capture_output=False, recorder=recorder)(_call)
        retained = asyncio.run(_retained(calling, observe(answer), spans))
        held.release()
        recorder.flush(_FLUSH_WITHIN_S)
    finally:
        held.release()
        recorder.shutdown()
    _expect(sink.records, spans)
    return retained


def retained_by_opentelemetry(spans: int) -> float:
    """Return the bytes that each of so many spans takes in the queue of the OpenTelemetry SDK's batch processor.

    Raises:
        ImportError: it is not installed.
    """
    from benchmarks.rivals.opentelemetry_sdk import OpenTelemetry  # noqa: PLC0415 - may be missing

    rival = OpenTelemetry(held=True)

    async def calling(function: Callable[..., Awaitable[Any]], calls: int) -> None:
        with rival.tracer.start_as_current_span("outer"):
            await _call(function, calls)

    try:
        retained = asyncio.run(_retained(calling, rival.captured(answer), spans))
        rival.release()
        arrived, captured = rival.settle()
        _expect(arrived, spans)
        if captured != spans + _WARM_UP - 1:  # all but those around the others
            raise RuntimeError(f"OpenTelemetry: {captured} of {arrived} spans were captured")
    finally:
        rival.close()
    return retained


async def _call(function: Callable[..., Awaitable[Any]], calls: int) -> None:
    for _ in range(calls):
        await function(*ARGUMENTS)


async def _retained(
    calling: Callable[[Callable[..., Awaitable[Any]], int], Awaitable[None]],
    function: Callable[..., Awaitable[Any]],
    spans: int,
) -> float:
    """Return the bytes per span that are allocated when so many were made, and were not when a few were."""
    await calling(function, _WARM_UP)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await calling(function, spans - 1)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / spans
    finally:
        tracemalloc.stop()


def _expect(arrived: int, spans: int) -> None:
    """Hold those who were let go to their number: the spans, and the first ones with the one around them."""
    if arrived != spans + _WARM_UP + 1:
        raise RuntimeError(f"of {spans + _WARM_UP + 1} spans that waited {arrived} arrived")
