"""Scoring from inside the program: a judgement about the current trace or span, or about any subject by id.

Scores go through the same buffer as spans. A score of a trace that sampling left out is left out too: the decision is
the same pure function of the trace id.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypedDict, Unpack, cast

from tracecore.attributes import plain_number, text_of
from tracecore.clock import wall_ns
from tracecore.codec import snapshot
from tracecore.context import POSITION, Route
from tracecore.default import route
from tracecore.ids import new_span_id
from tracecore.records import Score, ScoreType
from tracecore.sampling import is_sampled
from tracecore.sealing import Emitted

__all__ = ["ScoreFields", "create_score", "score_current_span", "score_current_trace"]

_MAX_COMMENT: Final = 8_192
_OF_NUMBERS: Final[dict[str, ScoreType]] = {"NUMERIC": "NUMERIC", "BOOLEAN": "BOOLEAN"}
_OF_TEXT: Final[dict[str, ScoreType]] = {"CATEGORICAL": "CATEGORICAL", "TEXT": "TEXT", "CORRECTION": "CORRECTION"}


class ScoreFields(TypedDict, total=False):
    """Name what may be said about a score besides its name, value and subject."""

    data_type: ScoreType
    """NUMERIC for numbers, BOOLEAN for bools, CATEGORICAL for text, unless one is given that fits the value."""
    comment: str | None
    metadata: object
    score_id: str | None
    """The same id again replaces the score."""
    config_id: str | None


def create_score(
    name: str,
    value: float | str | bool,  # noqa: FBT001 - the value of a BOOLEAN score
    *,
    trace_id: str | None = None,
    span_id: str | None = None,
    session_id: str | None = None,
    experiment_id: str | None = None,
    **fields: Unpack[ScoreFields],
) -> str | None:
    """Record a score of a trace (optionally one span of it), a session or an experiment; return its id.

    Returns None, and records nothing, when tracing is off, when sampling left the trace out, or when the value is not a
    finite number or text. Text is cut to the longest string of a payload.
    """
    position = POSITION.get()
    target = position.trace.route if position is not None and position.trace is not None else route()
    trace_id = text_of(trace_id)
    if target is None or (trace_id is not None and target.threshold and not is_sampled(trace_id, target.threshold)):
        return None
    score = _score(target, name, value, fields)
    if score is None:
        return None
    subject: dict[str, Any] = {
        "trace_id": trace_id,
        "observation_id": text_of(span_id),
        "session_id": text_of(session_id),
        "experiment_id": text_of(experiment_id),
    }
    record = Score(**score, **subject)
    target.push(Emitted(record))
    return record.score_id


def score_current_trace(name: str, value: float | str | bool, **fields: Unpack[ScoreFields]) -> str | None:  # noqa: FBT001 - as above
    """Record a score of the current trace; do nothing outside one, or in one that is not recorded. Return its id."""
    position = POSITION.get()
    if position is None or position.trace is None:
        return None
    return create_score(name, value, trace_id=position.trace_id, **fields)


def score_current_span(name: str, value: float | str | bool, **fields: Unpack[ScoreFields]) -> str | None:  # noqa: FBT001 - as above
    """Record a score of the current span; do nothing outside one, or in one that is not recorded. Return its id."""
    position = POSITION.get()
    if position is None or position.trace is None:
        return None
    return create_score(name, value, trace_id=position.trace_id, span_id=position.span_id, **fields)


def _score(target: Route, name: str, value: object, fields: ScoreFields) -> dict[str, Any] | None:
    value = plain_number(value)
    number, text = _number_of(value), text_of(value, max_length=target.limits.max_string)
    if number is None and not issubclass(type(value), str):
        return None
    inferred: ScoreType = "CATEGORICAL" if number is None else "BOOLEAN" if type(value) is bool else "NUMERIC"
    metadata = fields.get("metadata")
    known: dict[str, Any] = {
        "project": target.project,
        "score_id": text_of(fields.get("score_id")) or new_span_id(),
        "name": text_of(name) or "score",
        "timestamp_ns": wall_ns(),
        "data_type": _data_type(number, asked=fields.get("data_type"), inferred=inferred),
        "value": number,
        "string_value": text if number is None else None,
        "comment": text_of(fields.get("comment"), max_length=_MAX_COMMENT),
        "config_id": text_of(fields.get("config_id")),
        "environment": target.attributes.environment,
    }
    if metadata is not None:
        known["metadata"] = snapshot(metadata, target.limits)
    return known


def _data_type(number: float | None, *, asked: object, inferred: ScoreType) -> ScoreType:
    """Return the type that was asked for if the value can have it, else the inferred one."""
    possible = _OF_TEXT if number is None else _OF_NUMBERS
    found = possible.get(text_of(asked) or "", inferred)
    return inferred if found == "BOOLEAN" and number not in {0, 1} else found


def _number_of(value: object) -> float | None:
    """Return a finite number as a float, else None."""
    if not issubclass(type(value), int | float):
        return None
    try:
        number = float(cast("float", value))
    except Exception:  # noqa: BLE001 - too large an int, or a subclass that raises: capturing must not
        return None
    return number if math.isfinite(number) else None
