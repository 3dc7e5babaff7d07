"""What a captured nested call consists of: the wrapper with one piece left out at a time.

The wrapper's own source is compiled once per piece, with the piece replaced by nothing, so the figures are of the code
that users run. A piece that the source no longer has ends the suite with an error.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
import types
from collections.abc import Callable
from typing import Any, Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.progress import Step
from benchmarks.sinks import NullBackend
from benchmarks.workload import ARGUMENTS, answer
from tracecore import Config, Recorder, observe, observe_calls
from tracecore.callsite import Callsite
from tracecore.codec import binder, encoded

__all__ = ["run"]

METHOD: Final = (
    "ns of CPU time of the calling thread that a nested call of the `call` suite saves when one piece of the wrapper is"
    " left out; rounds interleaved, the least of all rounds. Pieces are not independent: a record that is not handed"
    " over is freed at once, so that its memory is still in the cache for the next one. What is left when all are left"
    " out is the wrapper itself, the coroutine it adds, and the record."
)
_ROUNDS: Final = 25
_CALLS: Final = 2_000
_WHOLE: Final = "the whole"
_NOTHING: Final = "all of them left out"
_SHARE: Final = "share"

_PIECES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "encoding the arguments by name": (
        ('payload = bind(args, kwargs, target.limits) if target.capture_input or forced else b""', 'payload = b""'),
    ),
    "encoding the result": (("span.output = output = site.encode(result, target.limits)", "pass"),),
    "handing the span to the buffer": (
        (
            "target.push(span, len(span.input) + len(output) + ENVELOPE_BYTES if span.extra is None else span.size)",
            "pass",
        ),
    ),
    "being the current span meanwhile": (
        ("token = _set_position(span)", "token = None"), ("_reset_position(token)", "pass"),
    ),
    "reading the clock twice": (("monotonic_ns()", "1"),),
    "a span id": (("new_span_id()", '""'),),
    "being known as open, to end once": (
        ("target.open_spans.add(span)", "pass"), ("target.open_spans.remove(span)", "pass"),
    ),
    "asking whether the result goes on": (("type(result) not in PLAIN and is_unfinished(result)", "False"),),
}  # fmt: skip


def run(settings: Settings, step: Step) -> Table:
    """Time the wrapper whole, without each piece, and without any."""
    recorder = Recorder(Config(backend="memory:", pending_after_ms=0, buffer_items=1_000_000), backend=NullBackend())
    recorder.begin()  # no pump: what is handed over is taken out between the rounds
    wrappers = {_WHOLE: _wrapper(())} | {name: _wrapper(parts) for name, parts in _PIECES.items()}
    wrappers[_NOTHING] = _wrapper(tuple(part for parts in _PIECES.values() for part in parts))
    taken = asyncio.run(_rounds(recorder, wrappers, settings, step))
    return Table(suite="anatomy/call", title="Inside one captured call", method=METHOD, rows=_rows(taken))


def _wrapper(parts: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
    """Return the workload observed by the wrapper's own source, with each part replaced.

    Raises:
        RuntimeError: the source has no such part any more.
    """
    source = inspect.getsource(observe_calls)
    for part, instead in parts:
        if part not in source:
            raise RuntimeError(f"the wrapper's source has no {part!r} any more: say what has taken its place")
        source = source.replace(part, instead)
    module = types.ModuleType("tracecore.observe_calls")
    exec(compile(source, observe_calls.__file__, "exec"), module.__dict__)  # noqa: S102 - our own source
    site = Callsite(
        function=answer, name="answer", type="span", bind=binder(answer), encode=encoded, capture_input=False,
        capture_output=False, recorder=None, join=None,
    )  # fmt: skip
    wrapper: Callable[..., Any] = module.async_wrapper(site)
    return wrapper


async def _rounds(
    recorder: Recorder, wrappers: dict[str, Callable[..., Any]], settings: Settings, step: Step
) -> dict[str, list[float]]:
    """Return ns per call of every wrapper, less the bare call of the same round."""
    rounds, calls = settings.rounds_of(_ROUNDS), settings.size_of(_CALLS)
    taken: dict[str, list[float]] = {name: [] for name in wrappers}

    @observe(recorder=recorder)
    async def inside() -> None:
        for number in range(rounds + 1):
            step(f"round {number} of {rounds}" if number else "warm-up", number / (rounds + 1))
            bare = await _timed(answer, calls)
            for name, wrapper in wrappers.items():
                taken[name].append(await _timed(wrapper, calls) - bare)
                _empty(recorder)

    await inside()
    return {name: figures[1:] for name, figures in taken.items()}


async def _timed(function: Callable[..., Any], calls: int) -> float:
    gc.disable()
    started = time.thread_time_ns()
    for _ in range(calls):
        await function(*ARGUMENTS)
    spent = time.thread_time_ns() - started
    gc.enable()
    return spent / calls


def _empty(recorder: Recorder) -> None:
    """Take out what was handed over, and forget the spans that a wrapper without its end has left open."""
    route = recorder.route
    assert route is not None
    for lane in route.ring.lanes():
        lane.take(1 << 30, 1 << 60)
    for span in [span for span in route.open_spans if span.name == "answer"]:
        route.open_spans.discard(span)


def _rows(taken: dict[str, list[float]]) -> list[Row]:
    least = {name: min(figures) for name, figures in taken.items()}
    whole = least[_WHOLE]
    rows = [Row(key="anatomy.call.whole", label=_WHOLE, unit="ns", value=whole)]
    rows += [
        Row(
            key=f"anatomy.call.{number}", label=name, unit="ns", value=whole - least[name],
            ratios={_SHARE: (whole - least[name]) / whole},
        )
        for number, name in enumerate(_PIECES, 1)
    ]  # fmt: skip
    left = least[_NOTHING]
    label = "left: the wrapper and the record"
    return [*rows, Row(key="anatomy.call.left", label=label, unit="ns", value=left, ratios={_SHARE: left / whole})]
