"""Encoding one payload at the call site, next to bare encoders that bound nothing.

``tracecore.codec`` promises more than they do: it never raises, runs no code of the program, and stops at its budgets
of bytes, values, depth and time. The last rows show that: arguments that stall a bare encoder.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import Rounds, interleaved, ratio, row_of
from benchmarks.progress import Step
from benchmarks.request_mix import Texts
from benchmarks.workload import ARGUMENTS, RESULT, SEARCH_RESULT, answer
from tracecore.codec import Limits, binder, encoded

__all__ = ["run"]

METHOD: Final = (
    "µs of CPU time of the calling thread per payload; rounds interleaved. msgspec and json.dumps are bare: no bounds,"
    " and the first odd value raises. A row without a ratio is something they cannot do."
)
_ROUNDS: Final = 30
_UNHURRIED: Final = Limits(max_time_ns=1_000_000_000)
_FOR_NS: Final = 1_500_000
"""Roughly how long one round of one candidate takes."""
_MSGSPEC: Final = "this ÷ msgspec"
_JSON: Final = "json.dumps ÷ this"


@dataclasses.dataclass
class Hit:
    """A search result, as services pass them on."""

    id: int
    score: float
    text: str


def _payloads(seed: int) -> dict[str, tuple[str, Any]]:
    """Return typical payloads: label and value by name."""
    chance = random.Random(seed)
    texts = Texts(seed, prompts=8)
    return {
        "result": ("result of a step: 3 entries, 84 B", RESULT),
        "hits": ("3 small dicts in a list, 80 B", SEARCH_RESULT),
        "messages": ("chat messages: 2, 2 KB of text", texts.messages(0)),
        "documents": (
            "10 retrieved documents: 6 KB",
            [{"id": n, "score": chance.random(), "text": texts.text(chance, 560)} for n in range(10)],
        ),
        "vector": ("embedding: 768 floats", [chance.uniform(-1, 1) for _ in range(768)]),
        "objects": (
            "10 dataclass objects: 2 KB",
            [Hit(n, chance.random(), texts.text(chance, 160)) for n in range(10)],
        ),
    }


def _huge() -> dict[str, tuple[str, Any]]:
    """Return payloads that no caller should wait for."""
    million = list(range(1_000_000))
    shared: list[Any] = [1]
    for _ in range(60):
        shared = [shared, shared]
    return {
        "long_text": ("text of 10 MB", "x" * 10_000_000),
        "long_list": ("list of 1,000,000 numbers", million),
        "wide": ("100,000 dicts in a list", [{"id": n, "name": "n"} for n in range(100_000)]),
        "shared": ("60 lists, each twice in the next: 2^60 paths", shared),
    }


def _per_call(function: Callable[[], object]) -> Callable[[], float]:
    """Return what takes one figure: µs per call, over as many calls as fill a round."""
    function()  # the first call fills caches, and would make the others too few
    started = time.thread_time_ns()
    function()
    once = max(1, time.thread_time_ns() - started)
    calls = max(1, min(5_000, _FOR_NS // once))

    def measure() -> float:
        started = time.thread_time_ns()
        for _ in range(calls):
            function()
        return (time.thread_time_ns() - started) / calls / 1e3

    return measure


def _bound_and_dumped(signature: inspect.Signature) -> str:
    """Do what decorators usually do with the arguments of a call."""
    bound = signature.bind(*ARGUMENTS)
    bound.apply_defaults()
    return json.dumps(bound.arguments)


def _candidates(payloads: dict[str, tuple[str, Any]]) -> dict[str, Callable[[], float]]:
    encode = msgspec.json.Encoder().encode
    found: dict[str, Callable[[], float]] = {
        "arguments": _per_call(partial(binder(answer), ARGUMENTS, {})),
        "arguments/json": _per_call(partial(_bound_and_dumped, inspect.signature(answer))),
        "arguments/msgspec": _per_call(
            lambda: encode(dict(zip(("question", "user_id", "top_k"), ARGUMENTS, strict=True)))
        ),
    }
    for name, (_, value) in payloads.items():
        found[name] = _per_call(partial(encoded, value))
        found[f"{name}/msgspec"] = _per_call(partial(encode, value))
        if name != "objects":
            found[f"{name}/json"] = _per_call(partial(json.dumps, value))
    return found


def _rows(labels: dict[str, str], taken: Rounds) -> list[Row]:
    rows: list[Row] = []
    middle = {name: statistics.median(figures) for name, figures in taken.items()}
    for name, label in labels.items():
        ratios: dict[str, float] = {}
        if f"{name}/msgspec" in taken:
            ratios[_MSGSPEC] = ratio(middle[name], middle[f"{name}/msgspec"])
        if f"{name}/json" in taken:
            ratios[_JSON] = ratio(middle[f"{name}/json"], middle[name])
        rows.append(row_of(f"codec.{name}", label, "µs", taken[name], ratios=ratios))
    return rows


def _as_written(written: bytes) -> Any:
    """Return what was written, without the marks that say of which class an object was."""
    value = msgspec.json.decode(written)
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            item.pop("$type", None)
    return value


def run(settings: Settings, step: Step) -> Table:
    """Measure typical payloads beside bare encoders, and huge ones alone."""
    payloads, huge = _payloads(settings.seed), _huge()
    rounds = settings.rounds_of(_ROUNDS)
    for name, (_, value) in payloads.items():
        written = encoded(value, _UNHURRIED)  # this process may be kept waiting for longer than a capture may take
        assert _as_written(written) == msgspec.to_builtins(value), f"{name} was not written as it is"
    candidates = _candidates(payloads) | {name: _per_call(partial(encoded, value)) for name, (_, value) in huge.items()}
    taken = interleaved(candidates, rounds=rounds, seed=settings.seed, step=step)
    labels = {"arguments": "arguments of a call by name: 3, 116 B"}
    labels |= {name: label for name, (label, _) in (payloads | huge).items()}
    return Table(suite="codec", title="One payload", method=METHOD, rows=_rows(labels, taken))
