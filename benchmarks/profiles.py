"""What ``python -m benchmarks profile`` runs under the sampler: the captured call, and the request mix into a place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from benchmarks.delivering import Place, new_file
from benchmarks.flow import drive
from benchmarks.postgres_server import postgres_server
from benchmarks.request_mix import SPANS, Texts, traced_service
from benchmarks.sampler import Sampler, shown
from benchmarks.sinks import NullBackend
from benchmarks.stored import Recorded
from benchmarks.suites.http_delivery import our_server
from benchmarks.suites.postgres import Schemas
from benchmarks.workload import ARGUMENTS, answer
from tracecore import Config, Recorder, observe

__all__ = ["PROFILES", "profile_call", "profile_http", "profile_postgres", "profile_store"]

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


def profile_place(place: Place, *, most: int, requests: int = _REQUESTS) -> str:
    """Profile the request mix into some place, its producer paced by the buffer. Of servers nothing is seen."""
    texts = Texts(1)
    with place() as spot, Recorded(spot.url) as stored:
        handle = traced_service(texts, stored.recorder)
        asyncio.run(drive(handle, range(1), stored.recorder))
        with Sampler() as sampler:
            asyncio.run(drive(handle, range(1, requests), stored.recorder))
    return shown(sampler.profile, spans=(requests - 1) * SPANS, most=most)


def profile_store(*, most: int, requests: int = _REQUESTS) -> str:
    """Profile the request mix into an SQLite file."""
    return profile_place(new_file, most=most, requests=requests)


def profile_postgres(*, most: int, requests: int = _REQUESTS) -> str:
    """Profile the request mix into a PostgreSQL server of its own."""
    with postgres_server() as server:
        return profile_place(Schemas(server), most=most, requests=requests)


def profile_http(*, most: int, requests: int = _REQUESTS) -> str:
    """Profile the request mix over HTTP, to our own server over SQLite."""
    return profile_place(our_server, most=most, requests=requests)


PROFILES: Final[dict[str, Callable[..., str]]] = {
    "call": profile_call, "store": profile_store, "postgres": profile_postgres, "http": profile_http,
}  # fmt: skip
