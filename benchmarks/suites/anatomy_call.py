"""What a captured nested call consists of: the wrapper with one piece left out at a time.

The wrapper's own source is compiled once per piece, with the piece replaced by nothing, so the figures are of the code
that users run. A piece that the source no longer has ends the suite with an error.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import types
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.loops import Loop, awaited, over_calls, own_loop
from benchmarks.measure import Rounds, interleaved
from benchmarks.progress import Step
from benchmarks.sinks import NullBackend
from benchmarks.workload import answer
from tracecore import Config, Recorder, observe, observe_calls
from tracecore.callsite import Callsite
from tracecore.codec import binder, encoded

__all__ = ["run"]

METHOD: Final = (
    "ns of CPU time of the calling thread that a nested call of the `call` suite saves when one piece of the wrapper is"
    " left out; rounds interleaved in shuffled order, garbage collection off, the least of all rounds. Pieces are not"
    " independent: a record that is not handed over is freed at once, so that its memory is still in the cache for the"
    " next one. What is left when all are left out is the wrapper itself, the coroutine it adds, and the record."
)
_ROUNDS: Final = 25
_CALLS: Final = 2_000
_BARE: Final = "the bare call"
_WHOLE: Final = "the whole"
_NOTHING: Final = "all of them left out"
_SHARE: Final = "share"


class Piece(Struct, frozen=True):
    """Name a piece of the wrapper, and say what in its source stands for it, and what instead."""

    key: str
    label: str
    parts: tuple[tuple[str, str], ...]


_PUSH: Final = "target.push(span, len(span.input) + len(output) + ENVELOPE_BYTES if span.extra is None else span.size)"
_PIECES: Final = (
    Piece(
        "input", "encoding the arguments by name",
        (('payload = bind(args, kwargs, target.limits) if target.capture_input or forced else b""', 'payload = b""'),),
    ),
    Piece(
        "output", "encoding the result", (("span.output = output = site.encode(result, target.limits)", "pass"),)
    ),
    Piece("push", "handing the span to the buffer", ((_PUSH, "pass"),)),
    Piece(
        "position", "being the current span meanwhile",
        (("token = _set_position(span)", "token = None"), ("_reset_position(token)", "pass")),
    ),
    Piece("clock", "reading the clock twice", (("monotonic_ns()", "1"),)),
    Piece("id", "a span id", (("new_span_id()", '""'),)),
    Piece(
        "open", "being known as open, to end once",
        (("target.open_spans.add(span)", "pass"), ("target.open_spans.remove(span)", "pass")),
    ),
    Piece(
        "unfinished", "asking whether the result goes on",
        (("type(result) not in PLAIN and is_unfinished(result)", "False"),),
    ),
)  # fmt: skip


def run(settings: Settings, step: Step) -> Table:
    """Time the wrapper whole, without each piece, and without any."""
    recorder = Recorder(Config(backend="memory:", pending_after_ms=0, buffer_items=1_000_000), backend=NullBackend())
    recorder.begin()  # no pump: what is handed over is taken out between the rounds
    wrappers = {_WHOLE: _wrapper(())} | {piece.key: _wrapper(piece.parts) for piece in _PIECES}
    wrappers[_NOTHING] = _wrapper(tuple(part for piece in _PIECES for part in piece.parts))
    taken = _rounds(recorder, {_BARE: answer} | wrappers, settings, step)
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


def _rounds(recorder: Recorder, functions: dict[str, Callable[..., Any]], settings: Settings, step: Step) -> Rounds:
    """Return ns per call of every function, below an open span."""
    calls = settings.size_of(_CALLS)
    below = observe(name="below", capture_input=False, capture_output=False, recorder=recorder)

    def candidate(runner: asyncio.Runner, loop: Loop) -> float:
        gc.disable()
        try:
            return runner.run(awaited(loop(calls)))
        finally:
            gc.enable()
            _empty(recorder)

    with asyncio.Runner() as runner:
        candidates = {
            name: partial(candidate, runner, below(own_loop(over_calls, function)))
            for name, function in functions.items()
        }
        return interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)


def _empty(recorder: Recorder) -> None:
    """Take out what was handed over, and forget the spans that a wrapper without its end has left open."""
    route = recorder.route
    assert route is not None
    for lane in route.ring.lanes():
        lane.take(1 << 30, 1 << 60)
    for span in [span for span in route.open_spans if span.name == "answer"]:
        route.open_spans.discard(span)


def _rows(taken: Rounds) -> list[Row]:
    """Return the pieces; leasts are subtracted, because the least difference would be that of the worst bare round."""
    least = {name: min(figures) for name, figures in taken.items()}
    whole = least[_WHOLE] - least[_BARE]
    rows = [Row(key="anatomy.call.whole", label=_WHOLE, unit="ns", value=whole)]
    for piece in _PIECES:
        saved = least[_WHOLE] - least[piece.key]
        ratios = {_SHARE: saved / whole}
        rows.append(Row(key=f"anatomy.call.{piece.key}", label=piece.label, unit="ns", value=saved, ratios=ratios))
    left = least[_NOTHING] - least[_BARE]
    label = "left: the wrapper and the record"
    return [*rows, Row(key="anatomy.call.left", label=label, unit="ns", value=left, ratios={_SHARE: left / whole})]
