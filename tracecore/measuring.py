"""What measures mean: the law, in plain Python.

Backends may find the same by other means (SQL), and are tested against :func:`measure_observations` and
:func:`measure_scores`. The rules:

* **Unknown** is no value: it is in no sum, no average, no percentile, and ``count`` of a measure counts what is known.
  Where nothing is known a sum is None, not zero. What is no finite number is unknown.
* ``latency`` is the duration, ``time_to_first_token`` from the start to the first piece of the answer,
  ``streaming_latency`` from there to the end: ms. ``output_tokens_per_second`` are units of output by the seconds of
  streaming, ``tokens_per_second`` all units by those of the duration. ``input_cost`` and ``output_cost`` are what
  :func:`tracecore.filtering.cost_of` says. ``score_count`` is how many scores judge the observation. ``count`` is 1.
  ``errors`` is 1 where :func:`tracecore.rollup.failed` says so, else 0: its average is a rate. ``start`` is when the
  observation began, as near as a float of ms comes: its least and greatest value are the first and the last use.
* **Percentiles** lie between the two values next to them, in proportion, as ``percentile_cont`` of SQL does.
* **Histograms** have bins of one width from the least value to the greatest, one bin where these are the same.
* **Dimensions.** The empty text is unknown; without an environment a record is in ``default``. The version of an
  observation is its own, else that of its trace. Tags are a dimension as a whole, as they were recorded. The name,
  tags, release and version of a score's trace are those of its roll-up (:mod:`tracecore.rollup`).
* **Steps** begin at the full minute, hour or day of UTC, on Monday, or on the first of a month.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from tracecore.filtering import amount_meets, cost_of, meets, tags_meet, text_meets
from tracecore.measures import (
    SCORE_KINDS,
    Aggregation,
    Bin,
    Dimension,
    Measure,
    Measured,
    MeasureOrder,
    MeasureQuery,
    MeasureRow,
    ScoreColumn,
    ScoreCondition,
    Step,
)
from tracecore.records import Generation, Observation, Score, Trace, usage_totals
from tracecore.rollup import failed

__all__ = [
    "FRACTIONS", "bins_of", "counted", "measure_observations", "measure_scores", "month_of", "percentile", "shown",
    "start_of", "start_of_month", "step_for",
]  # fmt: skip

Judged: TypeAlias = tuple[Score, Trace | None, Observation | None]
"""A score, and the trace and the observation that it judges, if they are here."""
_Group: TypeAlias = tuple[int | None, tuple[Any, ...]]

_HOUR_NS: Final = 3600 * 10**9
_DAY_NS: Final = 24 * _HOUR_NS
_LENGTHS_NS: Final[dict[Step, int]] = {"minute": 60 * 10**9, "hour": _HOUR_NS, "day": _DAY_NS}
_FIRST_MONDAY: Final = 3
"""Days from a Monday to 1970-01-01, a Thursday."""
_BEGINNING: Final = date(1970, 1, 1)
FRACTIONS: Final[dict[Aggregation, float]] = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""How much of a group lies below each percentile."""
_WHOLE: Final[frozenset[Measure]] = frozenset(
    ("count", "input_tokens", "output_tokens", "total_tokens", "score_count", "errors")
)  # fmt: skip
_MOST_EXACT: Final = 2.0**53
_AUTO: Final[tuple[tuple[int, Step], ...]] = ((2, "minute"), (72, "hour"), (60 * 24, "day"), (365 * 24, "week"))
"""Hours up to which a step is taken for a time of that length, as Langfuse takes it."""


def step_for(since_ns: int, until_ns: int) -> Step:
    """Return the step that cuts a time into some fifty."""
    hours = (until_ns - since_ns) / _HOUR_NS
    for most, step in _AUTO:
        if hours < most:
            return step
    return "month"


def start_of(step: Step, ns: int) -> int:
    """Return where the step of time begins in which a moment is."""
    if step == "week":
        return ((ns // _DAY_NS + _FIRST_MONDAY) // 7 * 7 - _FIRST_MONDAY) * _DAY_NS
    return start_of_month(month_of(ns)) if step == "month" else ns // _LENGTHS_NS[step] * _LENGTHS_NS[step]


def start_of_month(month: str) -> int:
    """Return where a month begins that is written as ``2026-01``, in ns."""
    return (date.fromisoformat(f"{month}-01") - _BEGINNING).days * _DAY_NS


def month_of(ns: int) -> str:
    """Return the month of a moment, as ``2026-01``."""
    return _day_of(ns)[:7]


def _day_of(ns: int) -> str:
    return (_BEGINNING + timedelta(days=ns // _DAY_NS)).isoformat()


def percentile(ordered: Sequence[float], fraction: float) -> float | None:
    """Return the value below which a fraction lies of some values in ascending order, or None where there are none."""
    if not ordered:
        return None
    position = fraction * (len(ordered) - 1)
    low, high = ordered[math.floor(position)], ordered[math.ceil(position)]
    return low if low == high else low + (position - math.floor(position)) * (high - low)


def counted(values: Sequence[float], bins: int) -> tuple[float, float, dict[int, int]]:
    """Return the least and the greatest of some values, at least one, and how many are in each bin between them."""
    low, high = min(values), max(values)
    width, counts = high - low, dict[int, int]()
    for value in values:
        place = min(bins - 1, math.floor((value - low) / width * bins)) if width else 0
        counts[place] = counts.get(place, 0) + 1
    return low, high, counts


def bins_of(low: float, high: float, counts: dict[int, int], bins: int) -> tuple[Bin, ...]:
    """Return the bins that :func:`counted` has counted, also those in which nothing is."""
    if low == high:
        return ((low, high, counts[0]),)
    edges = [*(low + (high - low) * place / bins for place in range(bins)), high]
    return tuple((edges[place], edges[place + 1], counts.get(place, 0)) for place in range(bins))


def shown(measured: Measured, value: float | None) -> float | int | None:
    """Return the value of a group as it is answered: whole numbers as such, as long as a float holds them exactly."""
    if value is None or not math.isfinite(value):
        return None
    is_whole = measured.aggregation == "count" or (
        measured.measure in _WHOLE and measured.aggregation in {"sum", "max", "min"}
    )
    return int(value) if is_whole and abs(value) <= _MOST_EXACT else float(value)


def measure_observations(found: Iterable[tuple[Observation, int]], query: MeasureQuery) -> list[MeasureRow]:
    """Return what a query says of observations, each with the number of scores that judge it."""
    chosen = (
        (span.start_ns, (span, scores))
        for span, scores in found
        if _in_time(span.start_ns, query) and all(meets(span, condition) for condition in query.where)
    )
    return _rows(chosen, query, _OF_OBSERVATIONS, _MEASURES)


def measure_scores(found: Iterable[Judged], query: MeasureQuery) -> list[MeasureRow]:
    """Return what a query says of scores."""
    chosen = (
        (judged[0].timestamp_ns, judged)
        for judged in found
        if _in_time(judged[0].timestamp_ns, query)
        and all(_score_meets(judged, condition) for condition in query.where_scores)
    )
    return _rows(chosen, query, _OF_SCORES, _SCORE_MEASURES)


def _in_time(ns: int, query: MeasureQuery) -> bool:
    return query.since_ns <= ns < query.until_ns


def _rows(
    chosen: Iterable[tuple[int, Any]],
    query: MeasureQuery,
    dimensions: dict[Any, Callable[[Any], Any]],
    measures: dict[Any, Callable[[Any], float | None]],
) -> list[MeasureRow]:
    alone: _Group = (None, ())
    groups: dict[_Group, list[Any]] = {} if query.step or query.dimensions else {alone: []}
    for ns, one in chosen:
        names = tuple(dimensions[dimension](one) for dimension in query.dimensions)
        groups.setdefault((start_of(query.step, ns) if query.step else None, names), []).append(one)
    rows = [MeasureRow(*group, _values(ones, query, measures)) for group, ones in groups.items()]
    return _sorted(rows, query)[: query.limit]


def _values(ones: list[Any], query: MeasureQuery, measures: dict[Any, Callable[[Any], float | None]]) -> Any:
    found: list[Any] = []
    for measured in query.measures:
        given = [measures[measured.measure](one) for one in ones]
        values = sorted(float(value) for value in given if value is not None and math.isfinite(value))
        if measured.aggregation == "histogram":
            found.append(bins_of(*counted(values, query.bins), query.bins) if values else ())
        else:
            found.append(shown(measured, _joined(measured.aggregation, values)))
    return tuple(found)


def _joined(aggregation: Aggregation, values: Sequence[float]) -> float | None:
    """Return what values in ascending order become."""
    if aggregation == "count":
        return len(values)
    if not values:
        return None
    if aggregation in FRACTIONS:
        return percentile(values, FRACTIONS[aggregation])
    if aggregation in {"sum", "avg"}:
        return sum(values) / (len(values) if aggregation == "avg" else 1)
    return values[0 if aggregation == "min" else -1]


def _sorted(rows: list[MeasureRow], query: MeasureQuery) -> list[MeasureRow]:
    for order in reversed(query.sorted_by):
        ranked = [(_rank(row, order, query), row) for row in rows]
        known = sorted((one for one in ranked if one[0] is not None), key=itemgetter(0), reverse=order.descending)
        rows = [row for _, row in known] + [row for rank, row in ranked if rank is None]
    return rows


def _rank(row: MeasureRow, order: MeasureOrder, query: MeasureQuery) -> Any:
    """Return what a row is sorted by, None where it is unknown; tags are sorted as the JSON that they are stored as."""
    if isinstance(order.by, Measured):
        return row.values[query.measures.index(order.by)]
    if order.by == "time":
        return row.time_ns
    value: Any = row.dimensions[query.dimensions.index(order.by)]
    if order.by == "tags":
        return f"[{','.join(map(_encoded, value))}]" if value else None
    return value


def _encoded(tag: str) -> str:
    try:
        return msgspec.json.encode(tag).decode()
    except UnicodeEncodeError:
        return json.dumps(tag)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _of_model(field: str) -> Callable[[tuple[Observation, int]], Any]:
    return lambda found: getattr(found[0], field) if isinstance(found[0], Generation) else None


def _text(of: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    return lambda found: of(found) or None


def _is_root(span: Observation) -> bool:
    return span.parent_id is None or span.app_root


_OF_OBSERVATIONS: Final[dict[Dimension, Callable[[tuple[Observation, int]], Any]]] = {
    "environment": _text(lambda found: _environment(found[0].trace.environment)),
    "type": lambda found: found[0].type,
    "name": _text(lambda found: found[0].name),
    "level": lambda found: found[0].level,
    "version": _text(lambda found: found[0].trace.version if found[0].version is None else found[0].version),
    "tags": lambda found: found[0].trace.tags,
    "release": _text(lambda found: found[0].trace.release),
    "trace_name": _text(lambda found: found[0].trace.name),
    "trace_version": _text(lambda found: found[0].trace.version),
    "model": _text(_of_model("model")),
    "prompt_name": _text(_of_model("prompt_name")),
    "prompt_version": _of_model("prompt_version"),
    "is_root": lambda found: _is_root(found[0]),
    "month": lambda found: month_of(found[0].start_ns),
}


def _environment(said: str | None) -> str:
    return "default" if said is None else said


def _streaming_ns(span: Observation) -> int | None:
    end_ns, began_ns = span.end_ns, span.completion_start_ns
    return None if end_ns is None or began_ns is None else end_ns - began_ns


def _ms(of: Callable[[Observation], int | None]) -> Callable[[tuple[Observation, int]], float | None]:
    return lambda found: None if (ns := of(found[0])) is None else ns / 1e6


def _units(span: Observation, place: int) -> int | None:
    usage = span.usage_details if isinstance(span, Generation) else None
    return None if usage is None else usage_totals(usage)[place]


def _speed(units: int | None, ns: int | None) -> float | None:
    """Return units by seconds, None where either is unknown or no time has passed."""
    return None if units is None or not ns else units * 1e9 / ns


_MEASURES: Final[dict[Measure, Callable[[tuple[Observation, int]], float | None]]] = {
    "count": lambda _: 1,
    "latency": _ms(lambda span: span.duration_ns),
    "streaming_latency": _ms(_streaming_ns),
    "time_to_first_token": _ms(
        lambda span: None if span.completion_start_ns is None else span.completion_start_ns - span.start_ns
    ),
    "input_tokens": lambda found: _units(found[0], 0),
    "output_tokens": lambda found: _units(found[0], 1),
    "total_tokens": lambda found: _units(found[0], 2),
    "output_tokens_per_second": lambda found: _speed(_units(found[0], 1), _streaming_ns(found[0])),
    "tokens_per_second": lambda found: _speed(_units(found[0], 2), found[0].duration_ns),
    "input_cost": lambda found: cost_of(_of_model("cost_details")(found), "input"),
    "output_cost": lambda found: cost_of(_of_model("cost_details")(found), "output"),
    "total_cost": _of_model("total_cost"),
    "score_count": lambda found: found[1],
    "errors": lambda found: failed(found[0]),
    "start": _ms(lambda span: span.start_ns),
}


def _of_trace(of: Callable[[Trace], str | None]) -> Callable[[Judged], str | None]:
    return lambda judged: None if judged[1] is None else of(judged[1]) or None


def _of_span(field: str) -> Callable[[Judged], Any]:
    return lambda judged: getattr(judged[2], field, None) or None


def _boolean(judged: Judged) -> bool | None:
    value = _finite(judged[0].value)
    return None if value is None or judged[0].data_type != "BOOLEAN" else value != 0


_OF_SCORES: Final[dict[Dimension, Callable[[Judged], Any]]] = {
    "environment": _text(lambda judged: _environment(judged[0].environment)),
    "name": _text(lambda judged: judged[0].name),
    "source": lambda judged: judged[0].source,
    "data_type": lambda judged: judged[0].data_type,
    "config_id": _text(lambda judged: judged[0].config_id),
    "month": lambda judged: month_of(judged[0].timestamp_ns),
    "day": lambda judged: _day_of(judged[0].timestamp_ns),
    "value": lambda judged: _finite(judged[0].value),
    "string_value": _text(lambda judged: judged[0].string_value),
    "boolean_value": _boolean,
    "trace_name": _of_trace(lambda trace: trace.name),
    "tags": lambda judged: () if judged[1] is None else judged[1].attributes.tags,
    "release": _of_trace(lambda trace: trace.attributes.release),
    "trace_version": _of_trace(lambda trace: trace.attributes.version),
    "observation_name": _of_span("name"),
    "observation_model": _of_span("model"),
    "observation_prompt_name": _of_span("prompt_name"),
    "observation_prompt_version": lambda judged: getattr(judged[2], "prompt_version", None),
}
_SCORE_MEASURES: Final[dict[Measure, Callable[[Judged], float | None]]] = {
    "count": lambda _: 1,
    "value": lambda judged: judged[0].value,
}
_OTHERS: Final[dict[ScoreColumn, Callable[[Judged], Any]]] = {
    "id": lambda judged: judged[0].score_id,
    "trace_id": lambda judged: judged[0].trace_id,
    "observation_id": lambda judged: judged[0].observation_id,
    "session_id": lambda judged: judged[0].session_id,
    "experiment_id": lambda judged: judged[0].experiment_id,
    "user_id": _of_trace(lambda trace: trace.attributes.user_id),
    "timestamp": lambda judged: judged[0].timestamp_ns,
}
"""What scores can be asked for, and not grouped by."""


def _score_meets(judged: Judged, condition: ScoreCondition) -> bool:
    column: Any = condition.column
    found = (_OTHERS.get(column) or _OF_SCORES[column])(judged)
    match SCORE_KINDS[condition.column]:
        case "tags":
            return tags_meet(found, condition)
        case "flag":
            return bool(found) == (condition.value == (condition.operator == "="))
        case "text":
            return text_meets(found or "", condition)
        case _:
            return amount_meets(found, condition)
