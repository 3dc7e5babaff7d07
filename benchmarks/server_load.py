"""What a server of its own process is put under: as many requests as it answers, or half as many beside lists."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from benchmarks.otlp_load import SPANS, Answered, Client, bodies, closed_loop, open_loop
from benchmarks.processes import Served, cpu_seconds
from benchmarks.serving import KEY
from benchmarks.stored import maintained
from tracecore.plugins import open_backend
from tracecore.records import Observation, Record, Score
from tracecore.server.otlp import Destination, decode

__all__ = ["CONNECTIONS", "as_fast_as_answered", "beside_lists", "count_stored", "fill"]

CONNECTIONS: Final = 8
_AT_ONCE: Final = 40
_BETWEEN_LISTS_S: Final = 0.05


async def fill(url: str, requests: int, *, after: int, note: Callable[[float], object]) -> int:
    """Write the spans of so many requests, as the server would, and a score for each.

    They are made with the seeds after one; return the last of them.
    ``note`` is told the share that is there.
    """
    backend = open_backend(url)
    await backend.open()
    into = Destination(project="default", api_key=KEY[0], received_ns=1)
    try:
        for first in range(0, requests, _AT_ONCE):
            note(first / requests)
            after += 1
            some = bodies(min(_AT_ONCE, requests - first), seed=after)
            await backend.write([one for body in some for one in _records(decode(body, "protobuf", into).records)])
        await maintained(backend)
    finally:
        await backend.close()
    return after


def _records(spans: list[Observation]) -> Iterator[Record]:
    """Yield the spans of a request, and how good the first of their traces was."""
    first = spans[0]
    score_id = f"of {first.span_id}"
    yield Score(first.project, score_id, "helpful", first.start_ns, value=1.0, trace_id=first.trace_id)
    yield from spans


def as_fast_as_answered(
    process: Served, load: Sequence[bytes], *, encoding: str, compressed: bool = False
) -> tuple[float, float]:
    """Send as fast as answers come; return the spans per second, and per second of CPU of the server."""
    clients = [Client(process.url, encoding=encoding, compressed=compressed) for _ in range(CONNECTIONS)]
    before = cpu_seconds(process.pid)
    answered = closed_loop(clients, load)
    for client in clients:
        client.close()
    return len(load) * SPANS / answered.seconds, len(load) * SPANS / (cpu_seconds(process.pid) - before)


def beside_lists(
    process: Served, load: Sequence[bytes], *, per_second: float, lists: Mapping[str, str]
) -> tuple[Answered, dict[str, list[float]]]:
    """Send at set moments, and read lists in turn meanwhile; return the seconds of each list, by its name."""
    clients = [Client(process.url) for _ in range(CONNECTIONS)]
    reader, done = Client(process.url), threading.Event()
    taken: dict[str, list[float]] = {name: [] for name in lists}

    def read() -> None:
        names = list(lists)
        while not done.wait(_BETWEEN_LISTS_S):
            began = time.perf_counter()
            reader.get(lists[names[0]])
            taken[names[0]].append(time.perf_counter() - began)
            names.append(names.pop(0))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        answered = open_loop(clients, load, per_second=per_second)
    finally:
        done.set()
        thread.join()
        for client in (*clients, reader):
            client.close()
    return answered, taken


def count_stored(process: Served) -> int:
    """Return how many spans there are, read back page by page."""
    client = Client(process.url)
    found, cursor = 0, ""
    while True:
        page = client.get(f"/api/public/v2/observations?limit=1000{cursor}")
        found += len(page["data"])
        if not page["meta"].get("cursor"):
            break
        cursor = f"&cursor={page['meta']['cursor']}"
    client.close()
    return found
