"""How ddtrace's spans are counted, which hold no number of a call: by their ids, wherever these stand in a batch."""

from __future__ import annotations

import random

import msgspec
import pytest

from benchmarks.rivals.adapters.ddtrace import RIVAL
from benchmarks.rivals.collector import Collector

ROUTE = "POST /v0.5/traces"


def batch(spans: int, *, names: int = 3, seed: int = 0) -> bytes:
    """Return a batch of one trace as ddtrace encodes it: its strings, and each span as an array that refers to them."""
    drawn = random.Random(seed)  # noqa: S311 - ids of spans
    ids = [drawn.getrandbits(63) | 1 << 62 for _ in range(spans)]
    trace_id, last = drawn.getrandbits(63) | 1 << 62, names - 1
    started, metrics = 1_795_708_435_231_009, {last: 1.0}
    rows = [
        [
            last,
            last,
            last,
            trace_id,
            own,
            ids[0] if place else 0,
            started + place,
            4_000 + place,
            0,
            {0: last},
            metrics,
            0,
        ]
        for place, own in enumerate(ids)
    ]
    return msgspec.msgpack.encode([[f"string {number}" for number in range(names)], [rows]])


@pytest.mark.parametrize("names", [3, 200, 1_000])
def test_every_span_of_a_batch_is_counted_the_root_included(names: int) -> None:
    """A reference to a string may take one, two or three bytes."""
    collector = Collector(RIVAL)
    collector.take(ROUTE, batch(500, names=names), "")
    assert collector.collected()["spans"] == 500


def test_a_batch_that_is_sent_again_is_counted_once() -> None:
    """What a client repeats because it saw no answer is not more spans."""
    collector = Collector(RIVAL)
    for seed in (1, 1, 2):
        collector.take(ROUTE, batch(10, seed=seed), "")
    assert collector.collected()["spans"] == 20


def test_the_agent_is_known_by_the_routes_that_ddtrace_asks_for() -> None:
    """The tracer learns from it that its batches are welcome, and what part of the traces to keep."""
    collector = Collector(RIVAL)
    endpoints = msgspec.json.decode(collector.take("GET /info", b"", "").body)["endpoints"]
    rates = msgspec.json.decode(collector.take(ROUTE, batch(1), "").body)["rate_by_service"]
    assert (ROUTE.partition(" ")[2] in endpoints, set(rates.values())) == (True, {1})
    assert collector.collected()["unknown"] == {}
