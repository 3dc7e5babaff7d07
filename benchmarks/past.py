"""The request mix as it lies in a store after some weeks: records with times of the past, written batch by batch.

What a store is asked depends on how far its rows are apart: a table that is divided by weeks has several of them here.
Made without a recorder, whose clock is the present.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from benchmarks.request_mix import COST, GENERATION, MODEL, PARAMETERS, SPANS, USAGE, Texts
from tracecore.backend import Backend
from tracecore.records import Generation, Record, Span, TraceAttributes

__all__ = ["BATCH", "WEEKS", "filled", "past_requests"]

WEEKS: Final = 8
BATCH: Final = 800
"""Requests that are written at once."""
_WEEK_NS: Final = 7 * 24 * 3_600 * 10**9
_STEP_NS: Final = 20 * 10**6
"""Between one step of a request and the next."""
_NS_PER_MS: Final = 10**6
_encode: Final = msgspec.json.Encoder().encode


def past_requests(texts: Texts, requests: range, *, until_ns: int, seed: int) -> Iterator[list[Record]]:
    """Yield the records of requests, the oldest first, which are spread evenly over the weeks before a time."""
    chance = random.Random(seed)
    apart = WEEKS * _WEEK_NS // max(1, len(requests))
    for first in range(0, len(requests), BATCH):
        batch: list[Record] = []
        for number in requests[first : first + BATCH]:
            batch += _request(texts, number, until_ns - (requests.stop - number) * apart, chance)
        yield batch


def _request(texts: Texts, number: int, start_ns: int, chance: random.Random) -> Iterator[Record]:
    """Yield the five spans of one request, in the order in which they end."""
    trace_id = f"{start_ns // _NS_PER_MS:012x}{chance.getrandbits(80):020x}"
    user = texts.user(number)
    about = TraceAttributes(user_id=user, session_id=f"session-{user}")
    root_id = f"{chance.getrandbits(64):016x}"
    (root_name, root_payloads), *steps = texts.expected(number).items()
    for place, (name, (given, returned)) in enumerate(steps, 1):
        fields: dict[str, Any] = {
            "project": "default", "trace_id": trace_id, "span_id": f"{chance.getrandbits(64):016x}", "name": name,
            "start_ns": start_ns + place * _STEP_NS, "parent_id": root_id, "duration_ns": _STEP_NS - number % 1_000,
            "input": Raw(_encode(given)), "output": Raw(_encode(returned)), "trace": about,
        }  # fmt: skip
        yield _generation(fields) if name == GENERATION else Span(**fields)
    given, returned = root_payloads
    yield Span(
        "default", trace_id, root_id, root_name, start_ns, duration_ns=(SPANS + 1) * _STEP_NS,
        input=Raw(_encode(given)), output=Raw(_encode(returned)), trace=about,
    )  # fmt: skip


def _generation(fields: dict[str, Any]) -> Generation:
    return Generation(
        **fields, type="generation", model=MODEL, model_parameters=Raw(_encode(PARAMETERS)), usage_details=USAGE,
        cost_details=COST, total_cost=sum(COST.values()),
    )  # fmt: skip


async def filled(
    backends: Sequence[Backend], batches: Iterator[list[Record]], note: Callable[[int], object] = lambda _: None
) -> None:
    """Write all batches into several stores at once; ``note`` is told how many records there are."""
    written = 0
    for batch in batches:
        await asyncio.gather(*(backend.write(batch) for backend in backends))
        written += len(batch)
        note(written)
