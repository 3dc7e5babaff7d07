"""The call ladder: what one call costs the caller, rung by rung, from the bare function to a recorder at work.

Every rung drives the same function (:mod:`benchmarks.workload`) from a loop whose code is its own copy, so that the
interpreter specializes each loop for its rung. Figures are CPU time of the calling thread over the bare call of the same
round. Afterwards every span that was made must have arrived in its sink: a rung that lost one fails the suite.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any, Final

from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import Rounds, interleaved, less, ratio, row_of
from benchmarks.progress import Step
from benchmarks.sinks import NullBackend
from benchmarks.workload import ARGUMENTS, SEARCH_ARGUMENTS, answer, answer_sync, search
from tracecore import Config, Recorder, observe, span
from tracecore.context import SWITCH
from tracecore.memory import MemoryBackend, MemoryData

__all__ = ["run"]

METHOD: Final = (
    "ns of CPU time of the calling thread per call, less the bare call of the same round; rounds interleaved in shuffled"
    " order; buffers drained between rounds, outside the timer. tracecore captures the arguments (116 B of JSON) and the"
    " result (84 B); the OpenTelemetry SDK captures neither, except where the row says so."
)
_ROUNDS: Final = 60
_CALLS: Final = 1_000
_RIVAL: Final = "OpenTelemetry ÷ this"
_FLOOR: Final = "this ÷ wrapper"


class Rung(Struct, frozen=True):
    """Describe one rung: a coroutine function that makes so many calls and returns ns per call."""

    label: str
    drive: Callable[[int], Awaitable[float]]
    settle: Callable[[], object] = lambda: None
    """Called after each round, outside the timer."""
    bare: str = "bare"
    note: str = ""


async def _drive(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], calls: int) -> float:
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        await function(first, second, third)
    return (time.thread_time_ns() - started) / calls


async def _drive_sync(function: Callable[..., Any], arguments: tuple[Any, ...], calls: int) -> float:
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        function(first, second, third)
    return (time.thread_time_ns() - started) / calls


async def _drive_keywords(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], calls: int) -> float:
    first, second, third = arguments
    started = time.thread_time_ns()
    for _ in range(calls):
        await function(first, user_id=second, top_k=third)
    return (time.thread_time_ns() - started) / calls


def _driver(
    drive: Callable[..., Awaitable[float]], function: Callable[..., Any], arguments: tuple[Any, ...] = ARGUMENTS
) -> Callable[[int], Awaitable[float]]:
    """Return a loop over the function with code of its own."""
    if not isinstance(drive, FunctionType):
        raise TypeError(f"expected a plain function, got {type(drive).__name__}")
    own = FunctionType(drive.__code__.replace(), drive.__globals__, drive.__name__)
    return functools.partial(own, function, arguments)


def _below(drive: Callable[[int], Awaitable[float]], recorder: Recorder) -> Callable[[int], Awaitable[float]]:
    """Return the loop inside an open span, so that what it opens is nested."""
    return observe(name="outer", capture_input=False, capture_output=False, recorder=recorder)(drive)


def _passing_through(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Wrap as every decorator of a coroutine function must, and do nothing else."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


async def _answer_in_span(question: str, user_id: str, top_k: int) -> dict[str, Any]:
    with span("answer", input={"question": question, "user_id": user_id, "top_k": top_k}) as opened:
        result = await answer(question, user_id, top_k)
        opened.update(output=result)
        return result


class Ladder:
    """Hold the recorders and the rungs over them."""

    def __init__(self, *, calls: int) -> None:
        self.calls = calls
        self.rounds_run = 0
        self.disabled = Recorder(_quiet(enabled=False), backend=NullBackend()).start()
        # What configure(enabled=False) brings about; the recorders below turn it back.
        if not SWITCH.off:
            raise RuntimeError("a recorder is recording already: run this suite in a process of its own")
        self.recording = Recorder(_quiet(), backend=NullBackend()).start()
        self.left_out = Recorder(_quiet(sample_rate=0.0), backend=NullBackend()).start()
        self.data = MemoryData()
        memory = MemoryBackend(self.data, location="memory:", access="write")
        self.working = Recorder(
            Config(backend="memory:", flush_interval_ms=1, pending_after_ms=0), backend=memory
        ).start()
        self.rungs = self._rungs()

    def _rungs(self) -> dict[str, Rung]:
        """Return every rung of ours, from the ground up."""
        nested, flush = observe(answer), self._flush
        return {
            "bare": Rung("bare await", _driver(_drive, answer)),
            "bare_sync": Rung("bare call of a sync function", _driver(_drive_sync, answer_sync), bare="bare_sync"),
            "wrapper": Rung("wrapper that passes through", _driver(_drive, _passing_through(answer))),
            "off": Rung("tracing disabled", _switched_off(_driver(_drive, observe(answer)))),
            "off_here": Rung(
                "this recorder disabled, another one records",
                _driver(_drive, observe(recorder=self.disabled)(answer)),
            ),
            "sampled_out": Rung(
                "sampled out, root (decided here)", _driver(_drive, observe(recorder=self.left_out)(answer))
            ),
            "sampled_out_nested": Rung(
                "sampled out, nested", _below(_driver(_drive, observe(answer)), self.left_out)
            ),
            "nested": Rung("captured, nested", _below(_driver(_drive, nested), self.recording), flush),
            "containers": Rung(
                "captured, nested, nested containers as payload",
                _below(_driver(_drive, observe(search), SEARCH_ARGUMENTS), self.recording), flush,
                note="another function with as many bytes in dicts and lists",
            ),
            "keywords": Rung(
                "captured, nested, two arguments by keyword",
                _below(_driver(_drive_keywords, observe(answer)), self.recording), flush,
            ),
            "root": Rung("captured, root", _driver(_drive, observe(recorder=self.recording)(answer)), flush),
            "memory": Rung(
                "captured, nested, memory backend running",
                _below(_driver(_drive, observe(answer)), self.working), self._empty_memory,
                note="its pump works beside the caller, woken every ms",
            ),
            "sync": Rung(
                "captured, nested, sync function",
                _below(_driver(_drive_sync, observe(answer_sync)), self.recording), flush, "bare_sync",
            ),
            "with": Rung(
                "with span(…, input=…), update(output=…)", _below(_driver(_drive, _answer_in_span), self.recording), flush
            ),
        }  # fmt: skip

    def _flush(self) -> None:
        if not self.recording.flush(30).delivered:
            raise RuntimeError(f"the null sink did not take everything: {self.recording.health()}")

    def _empty_memory(self) -> None:
        if not self.working.flush(30).delivered:
            raise RuntimeError(f"the memory backend did not take everything: {self.working.health()}")
        self.data.traces.clear()
        self.data.rollups.clear()

    def candidates(self, runner: asyncio.Runner, rungs: dict[str, Rung]) -> dict[str, Callable[[], float]]:
        """Return what runs one round of each rung."""

        def candidate(rung: Rung) -> float:
            figure = runner.run(_awaiting(rung.drive(self.calls)))
            rung.settle()
            return figure

        return {name: functools.partial(candidate, rung) for name, rung in rungs.items()}

    def check(self, rounds: int) -> None:
        """Raise unless every span of every round was delivered (each nested round has one span around it)."""
        made = {
            "null sink": (self.recording, rounds * (5 * (self.calls + 1) + self.calls)),
            "memory": (self.working, rounds * (self.calls + 1)),
        }
        for name, (recorder, expected) in made.items():
            health = recorder.health()
            if health.lost or health.delivered != expected:
                raise RuntimeError(
                    f"{name}: expected {expected} spans, delivered {health.delivered}, lost {health.lost}"
                )
        if self.left_out.health().sampled != rounds * (self.calls + 1):
            raise RuntimeError(f"sampled out {self.left_out.health().sampled}, expected {rounds * (self.calls + 1)}")

    def close(self) -> None:
        """End the pumps."""
        for recorder in (self.recording, self.left_out, self.working, self.disabled):
            recorder.shutdown()


def _quiet(**settings: Any) -> Config:
    """Return a configuration whose pump sleeps until it is asked to flush."""
    return Config(backend="memory:", flush_interval_ms=60_000, pending_after_ms=0, **settings)


def _switched_off(drive: Callable[[int], Awaitable[float]]) -> Callable[[int], Awaitable[float]]:
    """Return the loop with recording switched off in the whole process, as it is when no recorder records."""

    async def drive_off(calls: int) -> float:
        SWITCH.off = True
        try:
            return await drive(calls)
        finally:
            SWITCH.off = False

    return drive_off


async def _awaiting(figure: Awaitable[float]) -> float:
    return await figure


def _rival_rungs() -> tuple[dict[str, Rung], Callable[[int], None]]:
    """Return the rival's rungs and what closes it, given the number of spans it must have exported.

    Raises:
        ImportError: it is not installed.
    """
    from benchmarks.rivals.opentelemetry_sdk import OpenTelemetry  # noqa: PLC0415 - may be missing

    rival = OpenTelemetry()

    def below(drive: Callable[[int], Awaitable[float]]) -> Callable[[int], Awaitable[float]]:
        async def drive_below(calls: int) -> float:
            with rival.tracer.start_as_current_span("outer"):
                return await drive(calls)

        return drive_below

    def close(expected: int) -> None:
        exported = rival.settle()
        rival.close()
        if exported != expected:
            raise RuntimeError(f"OpenTelemetry: expected {expected} spans, exported {exported}")

    spanned = rival.observed(answer)
    captured = rival.observed(answer, ("question", "user_id", "top_k"))
    return {
        "otel": Rung(
            "OpenTelemetry SDK, nested", below(_driver(_drive, spanned)), rival.settle, note="captures nothing"
        ),
        "otel_captured": Rung(
            "OpenTelemetry SDK, nested, captured by hand", below(_driver(_drive, captured)), rival.settle,
            note="json.dumps into two attributes",
        ),
    }, close  # fmt: skip


def run(settings: Settings, step: Step) -> Table:
    """Climb the ladder and return its figures."""
    ladder = Ladder(calls=_CALLS)
    rounds = settings.rounds_of(_ROUNDS)
    rungs = dict(ladder.rungs)
    missing = ""
    close_rival: Callable[[int], None] | None = None
    try:
        rival_rungs, close_rival = _rival_rungs()
        rungs.update(rival_rungs)
    except ImportError:
        missing = "not installed: pip install 'tracecore[bench]'"
    gc.collect()
    gc.freeze()
    with asyncio.Runner() as runner:
        taken = interleaved(ladder.candidates(runner, rungs), rounds=rounds, seed=settings.seed, step=step)
    ladder.check(rounds + 1)
    ladder.close()
    if close_rival is not None:
        close_rival((rounds + 1) * 2 * (_CALLS + 1))
    return Table(suite="call", title="One call", method=METHOD, rows=_rows(rungs, taken, missing))


def _rows(rungs: dict[str, Rung], taken: Rounds, missing: str) -> list[Row]:
    over = {name: less(figures, taken[rungs[name].bare]) for name, figures in taken.items()}
    floor = statistics.median(over["wrapper"])
    rival = statistics.median(over["otel"]) if "otel" in over else 0.0
    rows: list[Row] = []
    for name, rung in rungs.items():
        key = f"call.{name}"
        if name in {"bare", "bare_sync"}:
            rows.append(row_of(key, rung.label, "ns", taken[name], note="the whole call"))
            continue
        middle = statistics.median(over[name])
        ratios = {_FLOOR: ratio(middle, floor)} | ({_RIVAL: ratio(rival, middle)} if rival else {})
        rows.append(row_of(key, rung.label, "ns", over[name], ratios=ratios, note=rung.note))
    if missing:
        rows.append(Row(key="call.otel", label="OpenTelemetry SDK, nested", unit="ns", value=None, note=missing))
    return rows
