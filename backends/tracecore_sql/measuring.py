"""Queries for measures as SQL, and rows as their answers. Names come from this file, values are always parameters.

Both databases agree on nearly all of it; in what they differ is a :class:`Measuring`. A statement has two levels:
groups with the values of their measures, and around it the order, in which what is unknown comes last, and the limit.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from tracecore.backend import ObservationQuery
from tracecore.measures import (
    SCORE_KINDS,
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
from tracecore.measuring import FRACTIONS, bins_of, shown, start_of_month
from tracecore_sql.filters import FAILED, Conditions, observation_conditions
from tracecore_sql.from_rows import text_of, unpack_tags
from tracecore_sql.where import Dialect, Part, flag_part, float_part, integer_part, tags_part, text_part

__all__ = ["Measuring", "measured_rows", "measuring_sql"]

_DAY_NS: Final = 24 * 3600 * 10**9
_LENGTHS_NS: Final[dict[Step, int]] = {"minute": 60 * 10**9, "hour": 3600 * 10**9, "day": _DAY_NS}
_BEFORE: Final = 20_000
"""Weeks by which days are moved beyond zero: integers are divided towards it. The earliest time is 15,251 before."""
_GREATEST: Final = "1.7976931348623157e308"
_TEXTS: Final[dict[Dimension, str]] = {
    "environment": "coalesce({r}.environment, 'default')", "name": "{r}.name", "type": "o.type",
    "level": "coalesce(o.level, 'DEFAULT')", "version": "coalesce(o.version, o.trace_version)",
    "release": "{t}.release", "trace_name": "{t_name}", "trace_version": "{t_version}", "model": "o.model",
    "prompt_name": "o.prompt_name", "source": "s.source", "data_type": "s.data_type", "config_id": "s.config_id",
    "string_value": "s.string_value", "observation_name": "o.name", "observation_model": "o.model",
    "observation_prompt_name": "o.prompt_name",
}  # fmt: skip
_PLACES: Final[dict[str, dict[str, str]]] = {
    "observations": {"r": "o", "t": "o", "t_name": "o.trace_name", "t_version": "o.trace_version"},
    "scores": {"r": "s", "t": "t", "t_name": "t.name", "t_version": "t.version"},
}
"""Where a view finds what both have: of the record itself, and of its trace."""
_VALUE: Final = f"CASE WHEN abs(s.value) <= {_GREATEST} THEN s.value END"
_BOOLEAN: Final = f"CASE WHEN s.data_type = 'BOOLEAN' THEN ({_VALUE}) <> 0 END"
_OTHERS: Final[dict[Dimension, str]] = {
    "tags": "nullif({t}.tags, '[]')", "prompt_version": "o.prompt_version", "value": _VALUE, "boolean_value": _BOOLEAN,
    "is_root": "(o.parent_id IS NULL OR coalesce(o.app_root, 0) = 1)",
    "observation_prompt_version": "o.prompt_version",
}  # fmt: skip


def _ms(ns: str) -> str:
    return f"CAST({ns} AS double precision) / 1e6"


_STREAMED: Final = "(CAST(o.start_ns AS numeric) + o.duration_ns - o.completion_start_ns)"
_MEASURES: Final[dict[Measure, str]] = {
    "count": "1", "latency": _ms("o.duration_ns"), "streaming_latency": _ms(_STREAMED), "start": _ms("o.start_ns"),
    "errors": f"CASE WHEN {FAILED} THEN 1 ELSE 0 END",
    "time_to_first_token": _ms("CAST(o.completion_start_ns AS numeric) - o.start_ns"),
    "input_tokens": "o.input_tokens", "output_tokens": "o.output_tokens", "total_tokens": "o.total_tokens",
    "output_tokens_per_second": f"CAST(o.output_tokens AS double precision) * 1e9 / nullif({_STREAMED}, 0)",
    "tokens_per_second": "CAST(o.total_tokens AS double precision) * 1e9 / nullif(o.duration_ns, 0)",
    "total_cost": f"CASE WHEN abs(o.total_cost) <= {_GREATEST} THEN o.total_cost END", "value": _VALUE,
    "score_count": (
        "(SELECT count(*) FROM tc_scores s "
        "WHERE s.project = o.project AND s.trace_id = o.trace_id AND s.observation_id = o.span_id)"
    ),
}  # fmt: skip
_SCORE_TEXTS: Final[dict[ScoreColumn, str]] = {
    "id": "s.score_id", "name": "s.name", "source": "s.source", "data_type": "s.data_type",
    "environment": "coalesce(s.environment, 'default')", "config_id": "s.config_id", "trace_id": "s.trace_id",
    "observation_id": "s.observation_id", "session_id": "s.session_id", "experiment_id": "s.experiment_id",
    "user_id": "t.user_id", "string_value": "s.string_value", "trace_name": "t.name", "release": "t.release",
    "trace_version": "t.version", "observation_name": "o.name", "observation_model": "o.model",
    "observation_prompt_name": "o.prompt_name",
}  # fmt: skip
_ALIAS: Final = re.compile(r"\b([ost])\.[a-z]")
_bins = msgspec.json.Decoder(tuple[float, float, dict[int, int]])


class Measuring(Struct, frozen=True):
    """Hold what each database says in its own way; an expression is a text."""

    dialect: Dialect
    month: Callable[[str], str]
    """The month of a time in whole seconds since 1970, as ``2026-01``."""
    day: Callable[[str], str]
    """Its day, as ``2026-01-31``."""
    cost: Callable[[str], str]
    """The USD in the costs of an observation whose bucket has this in its name."""
    percentile: Callable[[str, float], str]
    """The percentile of the values of a group that are known."""
    gathered: Callable[[str, int], str]
    """What a group keeps for a histogram of so many bins."""
    binned: Callable[[str, int], str]
    """What :func:`tracecore.measuring.counted` says of that, as JSON; NULL where no value is known."""
    sorted_text: Callable[[str], str]
    """By what a text is sorted, so that it is by its code points."""
    observed: str
    """Joins the observation ``o`` that a score ``s`` judges, where its trace ``t`` is joined."""


def measuring_sql(project: str, query: MeasureQuery, measuring: Measuring) -> Part:
    """Return the statement whose rows :func:`measured_rows` understands, and the values of its marks."""
    where = _conditions(project, query, measuring)
    keys = _keys(query, measuring)
    values = [_value(one, query, measuring) for one in query.measures]
    names = [f"k{place}" for place in range(len(keys))] + [f"v{place}" for place in range(len(values))]
    grouped = ", ".join(f"{sql} AS {name}" for sql, name in zip([*keys, *values], names, strict=True))
    by = f" GROUP BY {', '.join(str(place + 1) for place in range(len(keys)))}" if keys else ""
    answered = names[: len(keys)] + [
        _answered(place, one, query, measuring) for place, one in enumerate(query.measures)
    ]
    source = _source(query, where, [*keys, *values], measuring)
    order = ", ".join(_ordered(one, query, measuring) for one in query.sorted_by)
    sorted_ = f" ORDER BY {order}" if order else ""
    inner = f"SELECT {grouped} FROM {source} WHERE {where.sql}{by}"
    return f"SELECT {', '.join(answered)} FROM ({inner}) g{sorted_} LIMIT ?", [*where.values, query.limit]


def measured_rows(rows: Sequence[Sequence[Any]], query: MeasureQuery) -> list[MeasureRow]:
    """Return the answer that rows are."""
    return [_row(list(row), query) for row in rows]


def _keys(query: MeasureQuery, measuring: Measuring) -> list[str]:
    """Return the expressions by which groups are made: the step of time first."""
    time = "o.start_ns" if query.view == "observations" else "s.timestamp_ns"
    steps = [_step(query.step, time, measuring)] if query.step else []
    return [*steps, *(_dimension(dimension, query, time, measuring) for dimension in query.dimensions)]


def _dimension(dimension: Dimension, query: MeasureQuery, time: str, measuring: Measuring) -> str:
    places = _PLACES[query.view]
    if dimension in _TEXTS:
        return f"nullif({_TEXTS[dimension].format(**places)}, '')"
    if dimension in _OTHERS:
        return _OTHERS[dimension].format(**places)
    return (measuring.month if dimension == "month" else measuring.day)(_quotient(time, 10**9))


def _step(step: Step, time: str, measuring: Measuring) -> str:
    """Return the number of a step since 1970, or the month."""
    if step == "month":
        return measuring.month(_quotient(time, 10**9))
    if step == "week":
        return f"(({_quotient(time, _DAY_NS)} + {3 + 7 * _BEFORE}) / 7 - {_BEFORE})"
    return _quotient(time, _LENGTHS_NS[step])


def _quotient(time: str, length: int) -> str:
    """Return the quotient of integers, rounded down."""
    return f"({time} / {length} - CASE WHEN {time} % {length} < 0 THEN 1 ELSE 0 END)"


def _value(measured: Measured, query: MeasureQuery, measuring: Measuring) -> str:
    aggregation, measure = measured.aggregation, measured.measure
    if measured == Measured("count", "count"):
        return "count(*)"
    direction = measure.removesuffix("_cost")
    given = measuring.cost(direction) if direction in {"input", "output"} else _MEASURES[measure]
    if aggregation == "count":
        return f"count({given})"
    given = f"CAST({given} AS double precision)"
    if aggregation in FRACTIONS:
        return measuring.percentile(given, FRACTIONS[aggregation])
    return measuring.gathered(given, query.bins) if aggregation == "histogram" else f"{aggregation}({given})"


def _answered(place: int, measured: Measured, query: MeasureQuery, measuring: Measuring) -> str:
    return measuring.binned(f"g.v{place}", query.bins) if measured.aggregation == "histogram" else f"v{place}"


def _source(query: MeasureQuery, where: Conditions, used: list[str], measuring: Measuring) -> str:
    """Return the table, joined with what a score judges where that is asked for."""
    if query.view == "observations":
        return "tc_observations o"
    named = set(_ALIAS.findall(" ".join([where.sql, *used])))
    if named == {"s"}:
        return "tc_scores s"
    traced = "tc_scores s LEFT JOIN tc_traces t ON t.project = s.project AND t.trace_id = s.trace_id"
    return f"{traced} {measuring.observed}" if "o" in named else traced


def _ordered(order: MeasureOrder, query: MeasureQuery, measuring: Measuring) -> str:
    by = order.by
    if isinstance(by, Measured):
        name = f"v{query.measures.index(by)}"
    else:
        name = f"k{0 if by == 'time' else query.dimensions.index(by) + bool(query.step)}"
    is_text = not isinstance(by, Measured) and (by in _TEXTS or by == "tags")
    return f"{name} IS NULL, {measuring.sorted_text(name) if is_text else name}{' DESC' if order.descending else ''}"


def _conditions(project: str, query: MeasureQuery, measuring: Measuring) -> Conditions:
    if query.view == "observations":
        asked = ObservationQuery(since_ns=query.since_ns, until_ns=query.until_ns, where=query.where)
        return observation_conditions(project, asked, measuring.dialect)
    found = Conditions()
    found.add("s.project = ?", project)
    found.between("s.timestamp_ns", query.since_ns, query.until_ns)
    for condition in query.where_scores:
        sql, values = _score_part(condition, measuring.dialect)
        found.add(sql, *values)
    return found


def _score_part(condition: ScoreCondition, dialect: Dialect) -> Part:
    match SCORE_KINDS[condition.column]:
        case "tags":
            return tags_part("t.tags", condition, dialect)
        case "flag":
            return flag_part(f"coalesce({_BOOLEAN}, 1 = 0)", condition)
        case "time":
            return integer_part("s.timestamp_ns", condition)
        case "number" if condition.column == "value":
            return float_part(f"({_VALUE})", condition)
        case "number":
            return integer_part("o.prompt_version", condition)
        case _:
            return text_part(f"coalesce({_SCORE_TEXTS[condition.column]}, '')", condition, dialect)


def _row(row: list[Any], query: MeasureQuery) -> MeasureRow:
    time_ns = None if query.step is None else _start(query.step, row.pop(0))
    keys, values = row[: len(query.dimensions)], row[len(query.dimensions) :]
    return MeasureRow(
        time_ns,
        tuple(_key(dimension, key) for dimension, key in zip(query.dimensions, keys, strict=True)),
        tuple(_answer(measured, value, query) for measured, value in zip(query.measures, values, strict=True)),
    )


def _start(step: Step, key: Any) -> int:
    if step == "month":
        return start_of_month(key)
    return (int(key) * 7 - 3) * _DAY_NS if step == "week" else int(key) * _LENGTHS_NS[step]


def _key(dimension: Dimension, key: Any) -> Any:
    if dimension == "tags":
        return unpack_tags(text_of(key))
    if dimension in {"is_root", "boolean_value"}:
        return None if key is None else bool(key)
    return text_of(key)


def _answer(measured: Measured, value: Any, query: MeasureQuery) -> Any:
    if measured.aggregation != "histogram":
        return shown(measured, value)
    return () if value is None else bins_of(*_bins.decode(value), query.bins)
