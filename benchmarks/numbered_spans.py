"""Spans that are told apart by a number among their arguments: which of them were stored is known to the last one.

All are calls of :func:`benchmarks.workload.answer`; the number is its third argument. A trace has a root and the calls
below it, numbered on. A longer question makes larger spans.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from benchmarks.flow import whole_spans
from benchmarks.workload import ARGUMENTS, RESULT, RESULT_JSON, answer
from tracecore import Recorder, observe
from tracecore.backend import Backend

__all__ = ["QUESTION", "Trace", "check_numbered", "question_of", "tracing"]

QUESTION: Final[str] = ARGUMENTS[0]
_USER: Final[str] = ARGUMENTS[1]
_ROOT: Final = "trace"
Trace: TypeAlias = Callable[[int], Coroutine[Any, Any, object]]
"""Make a trace whose root has this number."""


class _Place(NamedTuple):
    name: str
    trace_id: str
    parent_id: str | None
    span_id: str


def question_of(length: int) -> str:
    """Return a question of so many characters."""
    return (QUESTION * (length // len(QUESTION) + 1))[:length]


def tracing(recorder: Recorder, spans: int, question: str = QUESTION) -> Trace:
    """Return what makes a trace of so many spans, numbered from its argument on, without giving way to anything."""
    nested = observe(answer)

    async def trace(question: str, user_id: str, top_k: int) -> dict[str, Any]:
        for number in range(top_k + 1, top_k + spans):
            await nested(question, user_id, number)
        return RESULT

    observed: Callable[..., Coroutine[Any, Any, object]] = observe(name=_ROOT, recorder=recorder)(trace)
    return lambda first: observed(question, _USER, first)


async def check_numbered(reader: Backend, numbers: range, spans: int, question: str = QUESTION) -> int:
    """Read every span back, compare all that it says with what was emitted, and return how many there are.

    Of the numbers some may be missing; ``spans`` is how many make a trace.

    Raises:
        RuntimeError: a span is there twice, was never emitted, or is not what was emitted.
    """
    found: dict[int, _Place] = {}
    async for span in whole_spans(reader):
        number: int = msgspec.json.decode(span.input)["top_k"]
        if number in found or number not in numbers:
            raise RuntimeError(f"span {number} of {numbers} is there twice, or was never emitted")
        asked = msgspec.json.encode({"question": question, "user_id": _USER, "top_k": number})
        if (bytes(span.input), bytes(span.output), span.status) != (asked, RESULT_JSON, "ok") or not span.duration_ns:
            raise RuntimeError(f"span {number} is stored as {span}")
        found[number] = _Place(span.name, span.trace_id, span.parent_id, span.span_id)
    for number in found:
        _check_place(found, number, number - (number - numbers.start) % spans)
    return len(found)


def _check_place(found: dict[int, _Place], number: int, first: int) -> None:
    """Hold a span to the root of its trace or, where that is not there, to the span before it."""
    span, root = found[number], found.get(first)
    if number == first:
        right = span.name == _ROOT and span.parent_id is None
    elif root is not None:
        right = (span.name, span.trace_id, span.parent_id) == (answer.__name__, root.trace_id, root.span_id)
    else:
        beside = found.get(number - 1, span)
        right = (span.name, span.trace_id, span.parent_id) == (answer.__name__, beside.trace_id, beside.parent_id)
    if not right:
        raise RuntimeError(f"span {number} is not where it was emitted: {span}")
