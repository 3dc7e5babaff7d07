"""Rejected: keeping live objects and encoding them later, in the pump's thread."""

from __future__ import annotations

import copy
import json
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import interleaved, row_of
from benchmarks.progress import Step
from benchmarks.request_mix import Texts
from tracecore.codec import encoded

__all__ = ["REASON", "Deferred", "at_the_edge", "copied", "remembered_wrongly", "run"]

REASON: Final = (
    "To put the objects themselves into the buffer and encode them in the pump's thread looks as if it took work away"
    " from the caller. It takes none away, because the pump encodes under the same GIL, and it is wrong: whatever the"
    " program does to an object before the pump comes is what is recorded. A conversation that grows turn by turn is"
    " the usual case: the first model call is stored with all the turns that came after it. Holding a deep copy instead"
    " is right and costs the caller more than encoding does. So payloads become JSON once, at the call. Conversations"
    " of 2 KB that grow by one turn after each call; a record counts as wrong where it is not what was passed to that"
    " call."
)
_ROUNDS: Final = 20
_CALLS: Final = 400
_TURNS: Final = 4
"""Calls of one conversation; a pump that comes after fewer would record fewer of them wrongly."""

Payload: TypeAlias = Any
Keep: TypeAlias = Callable[[Payload], object]
"""Take a payload as a call passes it, and return what waits in the buffer."""


class Deferred:
    """Hold what waits, and encode it when the pump comes."""

    def __init__(self, keep: Keep, encode: Callable[[Any], bytes]) -> None:
        self.waiting: deque[object] = deque()
        self._keep = keep
        self._encode = encode

    def record(self, payload: Payload) -> None:
        """Take a payload from the caller."""
        self.waiting.append(self._keep(payload))

    def pump(self) -> list[bytes]:
        """Encode all that waits."""
        found = [self._encode(kept) for kept in self.waiting]
        self.waiting.clear()
        return found


def _itself(payload: Payload) -> object:
    return payload


def later() -> Deferred:
    """Return the rejected design: the object waits."""
    return Deferred(_itself, encoded)


def copied() -> Deferred:
    """Return the design that repairs it: a deep copy waits."""
    return Deferred(copy.deepcopy, encoded)


def at_the_edge() -> Deferred:
    """Return the chosen design: its JSON waits."""
    return Deferred(encoded, bytes)


_DESIGNS: Final[dict[str, tuple[str, Callable[[], Deferred]]]] = {
    "later": ("encoded later", later),
    "copied": ("deep copy, encoded later", copied),
    "edge": ("chosen: encoded at the call", at_the_edge),
}


def remembered_wrongly(design: Deferred, texts: Texts, calls: int) -> int:
    """Record growing conversations and return how many records are not what was passed to the call."""
    passed: list[str] = []
    messages: list[dict[str, str]] = []
    for number in range(calls):
        if number % _TURNS == 0:
            messages = texts.messages(number)
        passed.append(json.dumps(messages))
        design.record(messages)
        messages.append({"role": "assistant", "content": texts.completion(number)[:80]})
    return sum(
        msgspec.json.decode(stored) != json.loads(given) for given, stored in zip(passed, design.pump(), strict=True)
    )


def _caller_us(make: Callable[[], Deferred], payloads: list[Payload]) -> float:
    design = make()
    started = time.thread_time_ns()
    for payload in payloads:
        design.record(payload)
    return (time.thread_time_ns() - started) / len(payloads) / 1e3


def _whole_us(make: Callable[[], Deferred], payloads: list[Payload]) -> float:
    design = make()
    started = time.thread_time_ns()
    for payload in payloads:
        design.record(payload)
    design.pump()
    return (time.thread_time_ns() - started) / len(payloads) / 1e3


def run(settings: Settings, step: Step) -> Table:
    """Measure what the caller and the whole process spend, and count the records that are wrong."""
    texts = Texts(settings.seed, prompts=64)
    payloads = [texts.messages(number) for number in range(settings.size_of(_CALLS))]
    candidates: dict[str, Callable[[], float]] = {}
    for name, (_, make) in _DESIGNS.items():
        candidates[f"{name}.caller"] = partial(_caller_us, make, payloads)
        candidates[f"{name}.whole"] = partial(_whole_us, make, payloads)
    taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    rows: list[Row] = []
    for name, (label, make) in _DESIGNS.items():
        key = f"rejected.deferred_encoding.{name}"
        wrong = remembered_wrongly(make(), texts, len(payloads))
        rows += [
            row_of(f"{key}.caller", f"{label}: the caller, per payload", "µs", taken[f"{name}.caller"]),
            row_of(f"{key}.whole", f"{label}: caller and pump", "µs", taken[f"{name}.whole"]),
            Row(key=f"{key}.wrong", label=f"{label}: recorded wrongly", unit="records", value=wrong,
                note=f"of {len(payloads):,}"),
        ]  # fmt: skip
    return Table(suite="rejected/deferred_encoding", title="Payloads of 2 KB", method=REASON, rows=rows)
