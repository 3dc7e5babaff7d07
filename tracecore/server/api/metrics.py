"""Metrics: counts, sums, percentiles and histograms of observations and scores, asked for in one JSON text.

What ``query`` holds is Langfuse's (``GET /api/public/v2/metrics``). Latencies are ms, costs USD; rows are for what is
there: a step of time in which nothing happened has none. The version that Langfuse had before is answered alike, but
for its view of traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from tracecore.conditions import Condition
from tracecore.measures import (
    LARGEST_ANSWER,
    MOST_BINS,
    Aggregation,
    BadMeasures,
    Dimension,
    Measure,
    Measured,
    MeasureOrder,
    MeasureQuery,
    MeasureRow,
    ScoreCondition,
    Step,
)
from tracecore.measuring import step_for
from tracecore.server.api.filters import conditions_of, score_conditions_of
from tracecore.server.api.payloads import absent
from tracecore.server.api.times import iso, ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.stores import measures_of

__all__ = ["operations"]

operations = Operations()

T = TypeVar("T")
View: TypeAlias = Literal["observations", "scores-numeric", "scores-boolean", "scores-categorical"]
_OBSERVATIONS: Final[dict[str, Dimension]] = {
    "environment": "environment", "type": "type", "name": "name", "level": "level", "version": "version",
    "tags": "tags", "release": "release", "traceName": "trace_name", "traceRelease": "release",
    "traceVersion": "trace_version", "providedModelName": "model", "promptName": "prompt_name",
    "promptVersion": "prompt_version", "isRootObservation": "is_root", "startTimeMonth": "month",
}  # fmt: skip
_SCORES: Final[dict[str, Dimension]] = {
    "environment": "environment", "name": "name", "source": "source", "dataType": "data_type", "configId": "config_id",
    "timestampMonth": "month", "timestampDay": "day", "traceName": "trace_name", "tags": "tags",
    "traceRelease": "release", "traceVersion": "trace_version", "observationName": "observation_name",
    "observationModelName": "observation_model", "observationPromptName": "observation_prompt_name",
    "observationPromptVersion": "observation_prompt_version",
}  # fmt: skip
_DIMENSIONS: Final[dict[View, dict[str, Dimension]]] = {
    "observations": _OBSERVATIONS,
    "scores-numeric": {**_SCORES, "value": "value"},
    "scores-boolean": {**_SCORES, "value": "value", "booleanValue": "boolean_value"},
    "scores-categorical": {**_SCORES, "stringValue": "string_value"},
}
_MANY: Final = frozenset(("id", "traceId", "userId", "sessionId", "observationId", "parentObservationId"))
"""Names of which there is one for nearly every record: no dimensions."""
_MEASURES: Final[dict[View, dict[str, Measure]]] = {
    "observations": {
        "count": "count", "latency": "latency", "streamingLatency": "streaming_latency",
        "inputTokens": "input_tokens", "outputTokens": "output_tokens", "totalTokens": "total_tokens",
        "outputTokensPerSecond": "output_tokens_per_second", "tokensPerSecond": "tokens_per_second",
        "inputCost": "input_cost", "outputCost": "output_cost", "totalCost": "total_cost",
        "timeToFirstToken": "time_to_first_token", "countScores": "score_count",
    },
    "scores-numeric": {"count": "count", "value": "value"},
    "scores-boolean": {"count": "count", "value": "value"},
    "scores-categorical": {"count": "count"},
}  # fmt: skip
_TYPES: Final[dict[View, tuple[str, ...]]] = {
    "scores-numeric": ("NUMERIC", "BOOLEAN"), "scores-boolean": ("BOOLEAN",), "scores-categorical": ("CATEGORICAL",),
}  # fmt: skip
"""The data types of the scores in each view."""
_TIME: Final = "time_dimension"
_LONGEST: Final = 16_000
"""Characters of a query: it comes in the URL, most of them as three, and more than 64 KiB no HTTP server reads."""


class DimensionAsked(Struct, frozen=True):
    """Name what makes a group."""

    field: str


class MetricAsked(Struct, frozen=True):
    """Name a measure, and how the values of a group become one."""

    measure: str
    aggregation: Aggregation


class TimeDimension(Struct, frozen=True):
    """Name a step of time; ``auto`` cuts the time that is asked for into some fifty."""

    granularity: Literal["auto"] | Step


class OrderBy(Struct, frozen=True):
    """Name a dimension, ``time_dimension``, or a metric as in ``sum_totalCost``."""

    field: str
    direction: Literal["asc", "desc"]


class Config(Struct, frozen=True):
    """Say how many bins a histogram has, and how many rows an answer has at most."""

    bins: Annotated[int, Meta(ge=1, le=MOST_BINS)] = 10
    row_limit: Annotated[int, Meta(ge=1, le=LARGEST_ANSWER)] = 100


class Asked(Struct, frozen=True, kw_only=True, rename="camel"):
    """Hold what ``query`` asks for."""

    view: View
    metrics: Annotated[tuple[MetricAsked, ...], Meta(min_length=1)]
    dimensions: tuple[DimensionAsked, ...] | None = None
    filters: Raw = field(default_factory=absent)
    time_dimension: TimeDimension | None = None
    from_timestamp: datetime
    to_timestamp: datetime
    order_by: tuple[OrderBy, ...] | None = None
    config: Config | None = None


class MetricsQuery(Struct):
    """Hold the JSON text that says what is asked for."""

    query: Annotated[str, Meta(max_length=_LONGEST)]


class MetricsAnswer(Struct):
    """Hold the rows: dimensions by their name, ``time_dimension``, and measures as ``<aggregation>_<measure>``."""

    data: list[dict[str, Any]]


_decode: Final = msgspec.json.Decoder(Asked).decode


@operations.get("/v2/metrics", permission="project:read")
async def get_metrics(call: Call, query: MetricsQuery) -> MetricsAnswer:
    """Return counts, sums, percentiles and histograms of observations or scores, group by group."""
    return await _answered(call, query.query)


@operations.get("/metrics", permission="project:read", deprecated=True)
async def get_legacy_metrics(call: Call, query: MetricsQuery) -> MetricsAnswer:
    """Return what ``/v2/metrics`` does; it has no view of traces either."""
    return await _answered(call, query.query)


async def _answered(call: Call, text: str) -> MetricsAnswer:
    try:
        asked = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"query: {error}") from error
    dimensions = _named("dimension", [one.field for one in asked.dimensions or ()], _DIMENSIONS[asked.view])
    measured = {
        f"{one.aggregation}_{one.measure}": Measured(
            _named("measure", [one.measure], _MEASURES[asked.view])[one.measure], one.aggregation
        )
        for one in asked.metrics
    }
    try:
        query = _query(asked, dimensions, measured)
    except BadMeasures as error:
        raise InvalidRequest(f"query: {error}") from error
    rows = await measures_of(call.backend).measure(call.project, query)
    return MetricsAnswer([_shown(row, query, dimensions, measured) for row in rows])


def _named(noun: str, names: Iterable[str], known: Mapping[str, T]) -> dict[str, T]:
    """Return what names stand for."""
    found: dict[str, T] = {}
    for name in names:
        if name not in known:
            if name in _MANY and noun == "dimension":
                raise InvalidRequest(f"query: {name} has too many values to group by; filter by it instead")
            raise InvalidRequest(f"query: there is no {noun} {name[:200]!r}: use one of {', '.join(known)}")
        found[name] = known[name]
    return found


def _query(asked: Asked, dimensions: Mapping[str, Dimension], measured: Mapping[str, Measured]) -> MeasureQuery:
    since_ns, until_ns = ns_of(asked.from_timestamp), ns_of(asked.to_timestamp)
    if since_ns >= until_ns:
        raise InvalidRequest("query: fromTimestamp has to be before toTimestamp")
    where, where_scores = _conditions(asked)
    config = asked.config or Config()
    return MeasureQuery(
        view="observations" if asked.view == "observations" else "scores",
        measures=tuple(dict.fromkeys(measured.values())),
        dimensions=tuple(dict.fromkeys(dimensions.values())),
        since_ns=since_ns,
        until_ns=until_ns,
        step=_step(asked.time_dimension, since_ns, until_ns),
        where=where,
        where_scores=where_scores,
        order=tuple(_order(one, asked, dimensions, measured) for one in asked.order_by or ()),
        limit=config.row_limit,
        bins=config.bins,
    )


def _conditions(asked: Asked) -> tuple[tuple[Condition, ...], tuple[ScoreCondition, ...]]:
    filters = bytes(asked.filters)
    filters = b"[]" if filters in {b"", b"null"} else filters
    types = _TYPES.get(asked.view)
    if types is None:
        return conditions_of(filters), ()
    return (), (ScoreCondition("data_type", "any of", types), *score_conditions_of(filters))


def _step(given: TimeDimension | None, since_ns: int, until_ns: int) -> Step | None:
    if given is None:
        return None
    return step_for(since_ns, until_ns) if given.granularity == "auto" else given.granularity


def _order(
    given: OrderBy, asked: Asked, dimensions: Mapping[str, Dimension], measured: Mapping[str, Measured]
) -> MeasureOrder:
    descending = given.direction == "desc"
    if given.field == _TIME and asked.time_dimension is not None:
        return MeasureOrder("time", descending)
    by: Dimension | Measured | None = dimensions.get(given.field) or measured.get(given.field)
    if by is None:
        known = [*([_TIME] if asked.time_dimension else []), *dimensions, *measured]
        raise InvalidRequest(f"query: cannot order by {given.field[:200]!r}: use one of {', '.join(known)}")
    return MeasureOrder(by, descending)


def _shown(
    row: MeasureRow, query: MeasureQuery, dimensions: Mapping[str, Dimension], measured: Mapping[str, Measured]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: row.dimensions[query.dimensions.index(dimension)] for name, dimension in dimensions.items()
    }
    if "type" in found:
        found["type"] = found["type"].upper()
    if row.time_ns is not None:
        found[_TIME] = iso(row.time_ns)
    return found | {name: row.values[query.measures.index(one)] for name, one in measured.items()}
