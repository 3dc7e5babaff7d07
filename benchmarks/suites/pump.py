"""The request mix through a whole recorder, without a store: what buffer and pump cost behind the caller.

The pump runs in its own thread, as in a program that calls ``tracecore.configure()``. The null sink forgets what it
gets; the memory backend keeps it and computes roll-ups in plain Python (it is the reference, not built for speed).
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks.figures import OTHER_CAPTURED, Row, Settings, Table
from benchmarks.flow import PACING, Spent, costs_of, drive
from benchmarks.measure import Rounds, interleaved, ratio, row_of
from benchmarks.progress import Step
from benchmarks.request_mix import Texts, bare_service, traced_service
from benchmarks.retained import retained_by_opentelemetry, retained_by_recorder
from benchmarks.sinks import NullBackend
from tracecore import Config, Recorder
from tracecore.backend import Backend
from tracecore.memory import MemoryBackend, MemoryData

__all__ = ["run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span) through a recorder whose pump has its own thread; less the same"
    f" requests without tracing, round by round. Pacing: {PACING}. Time ends when flush says delivered. The"
    " OpenTelemetry SDK gets the same payloads as attributes of `json.dumps`, user and session left out; its queue"
    " takes all spans of a round. Memory: bytes allocated (tracemalloc) by captured nested spans (200 B of payload)"
    " that wait, the store or the exporter held back."
)
_ROUNDS: Final = 6
_REQUESTS: Final = 2_000
_WAITING: Final = 10_000
"""Spans that are made to wait."""


def run(settings: Settings, step: Step) -> Table:
    """Measure the mix without tracing, into nothing and into memory, in turn."""
    texts = Texts(settings.seed)
    requests = range(settings.size_of(_REQUESTS))
    rounds = settings.rounds_of(_ROUNDS)
    candidates: dict[str, Callable[[], Spent]] = {
        "bare": partial(_bare, texts, requests),
        "null": partial(_recorded, texts, requests, NullBackend),
        "memory": partial(_recorded, texts, requests, _memory),
    }
    rival = _rival(texts)
    if rival is not None:
        candidates["otel"] = partial(rival, requests)
    spent = interleaved(candidates, rounds=rounds, seed=settings.seed, step=step)
    step("spans that wait", 0.99)
    rows = _rows(spent) + _retained_rows(settings.size_of(_WAITING), rival=rival is not None)
    return Table(suite="pump", title="Buffer and pump", method=METHOD, rows=rows)


def _bare(texts: Texts, requests: range) -> Spent:
    gc.collect()
    return asyncio.run(drive(bare_service(texts), requests))


def _memory() -> MemoryBackend:
    return MemoryBackend(MemoryData(), location="memory:", access="write")


def _recorded(texts: Texts, requests: range, make_backend: Callable[[], Backend]) -> Spent:
    """Return what the requests take with a recorder of their own; starting and stopping it does not count."""
    gc.collect()
    backend = make_backend()
    recorder = Recorder(Config(backend="memory:", pending_after_ms=0), backend=backend).start()
    try:
        spent = asyncio.run(drive(traced_service(texts, recorder), requests, recorder))
    finally:
        recorder.shutdown()
    if isinstance(backend, NullBackend) and backend.records != spent.spans:
        raise RuntimeError(f"null sink: expected {spent.spans} spans, found {backend.records}")
    return spent


def _rival(texts: Texts) -> Callable[[range], Spent] | None:
    """Return what drives the requests through the OpenTelemetry SDK, or None where it is not installed."""
    try:
        from benchmarks.rivals.opentelemetry_sdk import OpenTelemetry  # noqa: PLC0415 - may be missing
    except ImportError:
        return None

    def driven(requests: range) -> Spent:
        gc.collect()
        rival = OpenTelemetry()
        try:
            spent = asyncio.run(drive(rival.service(texts), requests, settle=rival.settle))
            exported = rival.settle()
        finally:
            rival.close()
        if exported != (spent.spans, spent.spans):
            raise RuntimeError(f"OpenTelemetry: expected {spent.spans} spans with payloads, exported {exported}")
        return spent

    return driven


_SINKS: Final = {"null": "null sink", "memory": "memory backend", "otel": "OpenTelemetry SDK, captured by hand"}


def _rows(spent: dict[str, list[Spent]]) -> list[Row]:
    bare = [one.caller_us for one in spent["bare"]]
    taken = {name: costs_of(spent[name], spent["bare"]) for name in _SINKS if name in spent}
    caller = {name: costs.caller for name, costs in taken.items()}
    cpu = {name: costs.cpu for name, costs in taken.items()}
    rows = [row_of("pump.bare", "the requests without tracing, per span", "µs", bare, note="CPU of the caller")]
    for name, costs in taken.items():
        label = _SINKS[name]
        rows += [
            row_of(
                f"pump.{name}.caller", f"{label}: CPU of the caller per span", "µs", caller[name],
                ratios=_against(caller, name),
            ),
            row_of(
                f"pump.{name}.cpu", f"{label}: CPU of all threads per span", "µs", cpu[name],
                ratios=_against(cpu, name),
            ),
            row_of(f"pump.{name}.rate", f"{label}: sustained", "spans/s", costs.rate),
        ]  # fmt: skip
    if "otel" not in taken:
        rows.append(Row(key="pump.otel.cpu", label=_SINKS["otel"], unit="µs", value=None, note="not installed"))
    return rows


def _retained_rows(spans: int, *, rival: bool) -> list[Row]:
    """Return what a span takes in memory while it waits."""
    ours = retained_by_recorder(spans)
    label, note = "memory of a span that waits", f"{spans:,} spans, 200 B of payload each"
    if not rival:
        return [Row(key="pump.retained", label=label, unit="bytes", value=ours, note=note)]
    theirs = retained_by_opentelemetry(spans)
    ratios = {OTHER_CAPTURED: ratio(theirs, ours)}
    return [
        Row(key="pump.retained", label=label, unit="bytes", value=ours, ratios=ratios, note=note),
        Row(
            key="pump.otel_retained", label=f"{_SINKS['otel']}: {label}", unit="bytes", value=theirs,
            ratios={OTHER_CAPTURED: 1.0},
        ),
    ]  # fmt: skip


def _against(figures: Rounds, name: str) -> dict[str, float]:
    """Return the ratio of the rival's figure to this one, where there is a rival."""
    if "otel" not in figures:
        return {}
    return {OTHER_CAPTURED: ratio(statistics.median(figures["otel"]), statistics.median(figures[name]))}
