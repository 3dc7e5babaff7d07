"""Records for tests, written as short as a test wants to read: ids are small numbers, everything has a default."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from msgspec import Raw

from tracecore.prompts import NewPrompt
from tracecore.records import (
    ErrorInfo,
    Event,
    Experiment,
    Generation,
    LedgerEntry,
    Provenance,
    Score,
    Session,
    Span,
    TraceAttributes,
)

__all__ = [
    "MINUTE",
    "PROJECT",
    "SECOND",
    "START",
    "entry",
    "event",
    "full_generation",
    "generation",
    "json_of",
    "long_text",
    "new_prompt",
    "score",
    "session",
    "span",
    "span_id_of",
    "trace_id_of",
]

PROJECT: Final = "default"
START: Final = 1_790_000_000_123_456_789
"""When everything begins unless a test says otherwise: its last digits show whether nanoseconds are kept."""
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND


def new_prompt(name: str, content: Any = "text", **more: Any) -> NewPrompt:
    """Return what is published: a text, or a chat where the content is a list of messages."""
    return NewPrompt(name=name, type="text" if isinstance(content, str) else "chat", prompt=json_of(content), **more)


def trace_id_of(number: int) -> str:
    """Return the trace id of a number."""
    return f"{number:032x}"


def span_id_of(number: int) -> str:
    """Return the span id of a number."""
    return f"{number:016x}"


def long_text(characters: int) -> str:
    """Return a text of some length, always the same, that compresses as texts do and not to nothing."""
    made = random.Random(characters)  # noqa: S311 - the same each time, which is no secret
    return made.randbytes(characters // 2 + 1).hex()[:characters]


def json_of(value: Any) -> Raw:
    """Return a payload; every script is written as it is, as the encoder does."""
    return Raw(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def span(number: int, *, within: int = 1, after_s: float = 0, **fields: Any) -> Span:
    """Return an ended span of trace ``within``: one second that begins ``after_s`` seconds after ``START``."""
    return Span(**_common(number, within, after_s, fields))


def generation(number: int, *, within: int = 1, after_s: float = 0, **fields: Any) -> Generation:
    """Return an ended generation of one second."""
    return Generation(**_common(number, within, after_s, {"type": "generation", **fields}))


def event(number: int, *, within: int = 1, after_s: float = 0, **fields: Any) -> Event:
    """Return an event."""
    return Event(**_common(number, within, after_s, {**fields, "type": "event", "duration_ns": 0}))


def session(session_id: str, **fields: Any) -> Session:
    """Return the own record of a session."""
    given: dict[str, Any] = {"project": PROJECT, "session_id": session_id, **fields}
    return Session(**given)


def score(score_id: str, **fields: Any) -> Score:
    """Return a score."""
    given: dict[str, Any] = {"project": PROJECT, "score_id": score_id, "name": "quality", "timestamp_ns": START}
    return Score(**(given | fields))


def entry(process: str = "process-1", *, minute: int = 0, **fields: Any) -> LedgerEntry:
    """Return the entry of a process in the minute of ``START`` or ``minute`` later, seen in the middle of it."""
    begun = START - START % MINUTE + minute * MINUTE
    given: dict[str, Any] = {"project": PROJECT, "process": process, "minute_ns": begun, "seen_ns": begun + MINUTE // 2}
    return LedgerEntry(**(given | fields))


def full_generation(number: int = 1, *, within: int = 1) -> Generation:
    """Return a generation with every field set to something that is not its default."""
    return generation(
        number,
        within=within,
        type="embedding",
        parent_id=span_id_of(99),
        level="WARNING",
        status="error",
        status_message="half of it",
        input=json_of({"question": "why?"}),
        output=json_of(["because"]),
        metadata=json_of({"k": None}),
        trace=_full_attributes(),
        error=ErrorInfo("ValueError", "no such city", "Traceback: line 1\nline 2"),
        version="1.2",
        app_root=True,
        completion_start_ns=START + 250_000_001,
        tool_definitions=json_of([{"name": "search"}]),
        tool_calls=json_of([{"id": "c1"}]),
        tool_call_names=("search", "read"),
        experiment=_full_experiment(),
        provenance=Provenance("otlp", "pk-1", "sdk", "1", "python", "shop", "7", "scope", "0.1", "process-1"),
        received_ns=START + 5,
        **_full_model(),
    )


def _common(number: int, within: int, after_s: float, fields: dict[str, Any]) -> dict[str, Any]:
    ended = fields.get("status") != "running"
    return {
        "project": PROJECT,
        "trace_id": trace_id_of(within),
        "span_id": span_id_of(number),
        "name": f"work {number}",
        "start_ns": START + int(after_s * SECOND),
        "duration_ns": SECOND if ended else None,
        **fields,
    }


def _full_attributes() -> TraceAttributes:
    return TraceAttributes(
        "chat", "user-1", "session-1", ("web", "beta"), json_of({"tier": "gold"}), "r1", "v1", "staging", public=True
    )


def _full_experiment() -> Experiment:
    return Experiment(
        id="e1", name="try", description="of it", metadata=json_of({"m": 1}), dataset_id="d1", item_id="i1",
        item_version="3", item_expected_output=json_of("yes"), item_metadata=json_of([1]), item_root_span_id="0" * 16,
    )  # fmt: skip


def _full_model() -> dict[str, Any]:
    return {
        "model": "gpt-x", "model_id": "m1", "model_parameters": json_of({"temperature": 0.5}),
        "usage_details": {"input": 10, "output": 5, "input_cached": 2}, "provided_usage_details": {"in": 12},
        "cost_details": {"input": 0.25, "output": 0.5}, "provided_cost_details": {"in": 0.125}, "total_cost": 0.75,
        "pricing_tier": "batch", "prompt_id": "p1", "prompt_name": "greet", "prompt_version": 3,
    }  # fmt: skip
