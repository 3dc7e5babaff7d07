"""What ``python -m benchmarks profile`` runs under the sampler: the captured call, and the request mix into SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from benchmarks.flow import drive
from benchmarks.request_mix import SPANS, Texts, traced_service
from benchmarks.sampler import Sampler, shown
from benchmarks.sinks import NullBackend
from benchmarks.stored import Stored
from benchmarks.workload import ARGUMENTS, answer
from tracecore import Config, Recorder, observe

__all__ = ["PROFILES", "profile_call", "profile_store"]

_CALLS: Final = 400_000
_AT_ONCE: Final = 10_000
"""Calls between two flushes: the buffer never fills."""
_REQUESTS: Final = 20_000
_FLUSH_WITHIN_S: Final = 60.0


def profile_call(*, most: int, calls: int = _CALLS) -> str:
    """Profile nested captured calls into a sink that forgets them."""
    recorder = Recorder(Config(backend="memory:", pending_after_ms=0), backend=NullBackend()).start()
    nested = observe(answer)

    @observe(recorder=recorder, capture_input=False)
    async def below(number: int) -> None:
        first, second, third = ARGUMENTS
        for _ in range(number):
            await nested(first, second, third)

    try:
        asyncio.run(below(_AT_ONCE))
        with Sampler() as sampler:
            for _ in range(0, calls, _AT_ONCE):
                asyncio.run(below(min(calls, _AT_ONCE)))
                recorder.flush(_FLUSH_WITHIN_S)
    finally:
        recorder.shutdown()
    return shown(sampler.profile, spans=calls, most=most)


def profile_store(*, most: int, requests: int = _REQUESTS) -> str:
    """Profile the request mix into an SQLite file, its producer paced by the buffer."""
    texts = Texts(1)
    with Stored() as stored:
        handle = traced_service(texts, stored.recorder)
        asyncio.run(drive(handle, range(1), stored.recorder))
        with Sampler() as sampler:
            asyncio.run(drive(handle, range(1, requests), stored.recorder))
    return shown(sampler.profile, spans=(requests - 1) * SPANS, most=most)


PROFILES: Final[dict[str, Callable[..., str]]] = {"call": profile_call, "store": profile_store}
