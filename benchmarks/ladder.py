"""The rungs of the call ladder that are ours: from the bare function up to a recorder that stores.

Every rung drives the same work (:mod:`benchmarks.workload`). A rung says how many spans one round of it makes and where
they must arrive, so that :meth:`Ladder.check` can hold the whole run to it.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

import tracecore
from benchmarks.flow import whole_spans
from benchmarks.loops import (
    Loop,
    over_async_items,
    over_calls,
    over_items,
    over_keywords,
    over_sync_calls,
    own_loop,
)
from benchmarks.request_mix import COST, MODEL, USAGE
from benchmarks.sinks import NullBackend
from benchmarks.stored import Stored
from benchmarks.workload import (
    ARGUMENTS_JSON,
    ITEMS,
    RESULT_JSON,
    SEARCH_ARGUMENTS,
    answer,
    answer_in_parts,
    answer_in_parts_sync,
    answer_sync,
    search,
)
from tracecore import Config, Recorder, generation, observe, span
from tracecore.context import SWITCH
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.plugins import open_backend

__all__ = ["Ladder", "Rung"]

_FLUSH_WITHIN_S: Final = 30.0
_MESSAGES: Final = [
    {"role": "user", "content": "Which of my last three orders can still be cancelled, and until when?"}
]

Sink: TypeAlias = Literal["", "sampled out", "null sink", "journal", "memory", "SQLite", "rival"]


class Rung(Struct, frozen=True):
    """Describe one rung: a loop that makes so many calls, each of them one span, and where those must arrive."""

    label: str
    loop: Loop
    bare: str = "bare"
    """The rung that is subtracted; a rung that names itself is shown whole."""
    sink: Sink = ""
    outer: bool = False
    """The loop is inside an open span, which is one span more per round."""
    settle: Callable[[], object] = lambda: None
    """Called after each round, outside the timer."""
    note: str = ""

    @property
    def records(self) -> bool:
        """Return whether its calls become spans: only those are compared with a rival's."""
        return self.sink not in {"", "sampled out"}


def _passing_through(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Wrap as every decorator of a coroutine function must, and do nothing else."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


async def _in_span(question: str, user_id: str, top_k: int) -> dict[str, Any]:
    with span("answer", input={"question": question, "user_id": user_id, "top_k": top_k}) as opened:
        result = await answer(question, user_id, top_k)
        opened.update(output=result)
        return result


async def _in_generation(question: str, user_id: str, top_k: int) -> dict[str, Any]:
    with generation("llm", model=MODEL, input=_MESSAGES) as call:
        result = await answer(question, user_id, top_k)
        call.update(output=result, usage_details=USAGE, cost_details=COST)
        return result


class Ladder:
    """Hold the recorders and the rungs over them. Needs a process that records nothing.

    There is a rung for each of ``files``, by its name; those of a journal are added by :meth:`keep_in`.
    """

    def __init__(self, *, calls: int, files: Mapping[str, Stored] | None = None) -> None:
        self.calls = calls
        self._files = files or {}
        tracecore.configure(enabled=False)
        if not SWITCH.off:
            raise RuntimeError("a recorder is recording already: run this suite in a process of its own")
        self.disabled = Recorder(_quiet(enabled=False), backend=NullBackend()).start()
        self.sink = NullBackend()
        self.recording = Recorder(_quiet(), backend=self.sink).start()
        self.left_out = Recorder(_quiet(sample_rate=0.0), backend=NullBackend()).start()
        self.data = MemoryData()
        self.kept_in_memory = 0
        """Spans that were found there, and taken away again."""
        memory = MemoryBackend(self.data, location="memory:", access="write")
        self.working = Recorder(
            Config(backend="memory:", flush_interval_ms=1, pending_after_ms=0), backend=memory
        ).start()
        self.recorders = [self.disabled, self.recording, self.left_out, self.working]
        self.rungs = self._ground() | self._left_out() | self._captured()
        self.journal_sink = NullBackend()
        self.rungs |= {name: self._stored(file) for name, file in self._files.items()}

    def _ground(self) -> dict[str, Rung]:
        """Return what is no span at all: the bare calls, and the least that a decorator costs."""
        items = f"{ITEMS} items"
        return {
            "bare": Rung("bare await", own_loop(over_calls, answer)),
            "bare_sync": Rung("bare call of a sync function", own_loop(over_sync_calls, answer_sync), "bare_sync"),
            "bare_generator": Rung(
                f"bare generator, {items}", own_loop(over_items, answer_in_parts_sync), "bare_generator"
            ),
            "bare_async_generator": Rung(
                f"bare async generator, {items}", own_loop(over_async_items, answer_in_parts), "bare_async_generator"
            ),
            "wrapper": Rung("wrapper that passes through", own_loop(over_calls, _passing_through(answer))),
        }

    def _left_out(self) -> dict[str, Rung]:
        """Return the calls that are observed and not recorded."""
        here, sampled = self.disabled, self.left_out
        return {
            "off": Rung("tracing disabled", _switched_off(own_loop(over_calls, observe(answer)))),
            "off_here": Rung(
                "this recorder disabled, another one records", own_loop(over_calls, observe(recorder=here)(answer))
            ),
            "sampled_out": Rung(
                "sampled out, root (decided here)", own_loop(over_calls, observe(recorder=sampled)(answer)),
                sink="sampled out",
            ),
            "sampled_out_nested": Rung(
                "sampled out, nested", self._below(own_loop(over_calls, observe(answer)), sampled), sink="sampled out",
                note="counted once, with its root",
            ),
        }  # fmt: skip

    def _captured(self) -> dict[str, Rung]:
        """Return the calls that become spans."""
        plain = observe(capture_input=False, capture_output=False)(answer)
        memory = self._below(own_loop(over_calls, observe(answer)), self.working)
        return {
            "uncaptured": self._nested("nested, nothing captured", own_loop(over_calls, plain)),
            "nested": self._nested("captured, nested", own_loop(over_calls, observe(answer))),
            "containers": self._nested(
                "captured, nested, nested containers as payload",
                own_loop(over_calls, observe(search), SEARCH_ARGUMENTS),
                note="another function with as many bytes in dicts and lists",
            ),
            "keywords": self._nested(
                "captured, nested, two arguments by keyword", own_loop(over_keywords, observe(answer))
            ),
            "root": Rung(
                "captured, root", own_loop(over_calls, observe(recorder=self.recording)(answer)), sink="null sink",
                settle=functools.partial(_flushed, self.recording, "the null sink"),
            ),
            "memory": Rung(
                "captured, nested, memory backend running", memory, sink="memory", outer=True,
                settle=self._empty_memory, note="its pump works beside the caller, woken every ms",
            ),
            "sync": self._nested(
                "captured, nested, sync function", own_loop(over_sync_calls, observe(answer_sync)), "bare_sync"
            ),
            "generator": self._nested(
                f"captured, nested, generator of {ITEMS} items", own_loop(over_items, observe(answer_in_parts_sync)),
                "bare_generator", note="every item is captured, and the body runs in a context of its own",
            ),
            "async_generator": self._nested(
                f"captured, nested, async generator of {ITEMS} items",
                own_loop(over_async_items, observe(answer_in_parts)), "bare_async_generator", note="as above",
            ),
            "with": self._nested("with span(…, input=…), update(output=…)", own_loop(over_calls, _in_span)),
            "generation": self._nested(
                "with generation(…), update(output=…, usage, cost)", own_loop(over_calls, _in_generation)
            ),
        }  # fmt: skip

    def keep_in(self, journal: Path) -> None:
        """Add the calls whose spans are in a journal, in this folder, as soon as they have ended."""
        settings = _quiet(buffer="journal", journal_dir=str(journal))
        recorder = Recorder(settings, backend=self.journal_sink).start()
        self.recorders.append(recorder)
        flush = functools.partial(_flushed, recorder, "the journal")

        def rung(label: str, loop: Loop, note: str) -> Rung:
            return Rung(label, self._below(loop, recorder), sink="journal", outer=True, settle=flush, note=note)

        self.rungs |= {
            "journal": rung(
                "captured, nested, kept in the journal", own_loop(over_calls, observe(answer)),
                "survives the death of the process from the moment when the call returns",
            ),
            "journal_generation": rung(
                "with generation(…), kept in the journal", own_loop(over_calls, _in_generation),
                "what few spans have (model, usage, cost) is encoded too",
            ),
        }  # fmt: skip

    def _nested(self, label: str, loop: Loop, bare: str = "bare", *, note: str = "") -> Rung:
        return Rung(
            label, self._below(loop, self.recording), bare, "null sink", outer=True, note=note,
            settle=functools.partial(_flushed, self.recording, "the null sink"),
        )  # fmt: skip

    def _stored(self, file: Stored) -> Rung:
        """Return the call that becomes a span in a file."""
        kept = ", kept in the journal" if file.recorder.config.buffer == "journal" else ""
        return Rung(
            f"captured, nested{kept}, SQLite at work",
            self._below(own_loop(over_calls, observe(answer)), file.recorder), sink="SQLite", outer=True,
            settle=functools.partial(_flushed, file.recorder, "the file"),
            note="the same, into a file that is read back at the end",
        )  # fmt: skip

    @staticmethod
    def _below(loop: Loop, recorder: Recorder) -> Loop:
        """Return the loop inside an open span, so that what it opens is nested."""
        return observe(name="outer", capture_input=False, capture_output=False, recorder=recorder)(loop)

    def _empty_memory(self) -> None:
        _flushed(self.working, "the memory backend")
        self.kept_in_memory += sum(map(len, self.data.traces.values()))
        self.data.traces.clear()
        self.data.rollups.clear()

    def check(self, rounds: int) -> None:
        """Raise unless every span of every round arrived where it belongs, as what is there says."""
        there = {
            "null sink": self.sink.records, "journal": self.journal_sink.records, "memory": self.kept_in_memory
        }  # fmt: skip
        for name, found in there.items():
            made = rounds * sum(self.calls + rung.outer for rung in self.rungs.values() if rung.sink == name)
            if found != made:
                raise RuntimeError(f"{name}: expected {made} spans, found {found}")
        # A root that is left out is one, and so is all that is below it.
        left_out = rounds * (self.calls + 1)
        if self.left_out.health().sampled != left_out:
            raise RuntimeError(f"sampled out {self.left_out.health().sampled}, expected {left_out}")
        for file in self._files.values():
            asyncio.run(self._check_file(file, rounds))

    async def _check_file(self, file: Stored, rounds: int) -> None:
        """Read every span of the file back."""
        reader = open_backend(file.url, access="read")
        await reader.open()
        right = Counter[str]()
        try:
            async for span in whole_spans(reader):
                whole = (bytes(span.input), bytes(span.output)) == (ARGUMENTS_JSON, RESULT_JSON)
                right[span.name] += span.parent_id is None if span.name == "outer" else whole
        finally:
            await reader.close()
        if right != {"outer": rounds, "answer": rounds * self.calls}:
            raise RuntimeError(f"{rounds} rounds of {self.calls} calls are stored as {right}")

    def close(self) -> None:
        """End the pumps."""
        for recorder in self.recorders:
            recorder.shutdown()


def _flushed(recorder: Recorder, sink: str) -> None:
    """Let everything that waits be delivered.

    Raises:
        RuntimeError: it was not, in time.
    """
    if not recorder.flush(_FLUSH_WITHIN_S).delivered:
        raise RuntimeError(f"{sink} did not take everything: {recorder.health()}")


def _quiet(**settings: Any) -> Config:
    """Return a configuration whose pump sleeps until it is asked to flush."""
    return Config(backend="memory:", flush_interval_ms=60_000, pending_after_ms=0, **settings)


def _switched_off(loop: Loop) -> Loop:
    """Return the loop with recording off in the whole process, as ``configure(enabled=False)`` leaves it."""

    async def loop_off(calls: int) -> float:
        SWITCH.off = True
        try:
            return await loop(calls)
        finally:
            SWITCH.off = False

    return loop_off
