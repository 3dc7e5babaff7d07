"""Metrics (``GET /v2/metrics``): counts, sums, means and percentiles of observations and scores.

Source: Langfuse's public API, server 4.16. Rows are only there for groups with something in them, also in time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Meta, Struct

from tracecore.server.api.filters import conditions_of
from tracecore.server.api.times import ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.aggregation import Metric
from tracecore.services.metric_views import OBSERVATIONS, Granularity
from tracecore.services.metrics import Metrics, MetricsQuery, ScoreCondition, ViewName

__all__ = ["operations"]

operations = Operations()

Direction: TypeAlias = Literal["asc", "desc"]
_LONGEST: Final = 16_000
"""Characters of a query: it comes in the URL, most of them as three, and more than 64 KiB no HTTP server reads."""
_MOST: Final = 20
"""Dimensions, and metrics, of one query."""
_RENAMED: Final = {"traceRelease": "release", "traceVersion": "version"}
"""Dimensions that are filtered by under another name."""


class Dimension(Struct, frozen=True):
    """Name what groups are made by."""

    field: str


class TimeDimension(Struct, frozen=True):
    """Say how long the steps of time are."""

    granularity: Granularity


class Order(Struct, frozen=True):
    """Say by what rows are ordered."""

    field: str
    direction: Direction


class Settings(Struct, frozen=True):
    """Say how much is shown."""

    bins: Annotated[int, Meta(ge=1, le=100)] = 10
    row_limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Filter(Struct, frozen=True):
    """Hold one condition, as it was sent."""

    column: str
    operator: str
    type: str
    value: Any = None
    key: str | None = None


class MetricsBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """Say what is asked."""

    view: ViewName
    metrics: Annotated[tuple[Metric, ...], Meta(min_length=1, max_length=_MOST)]
    from_timestamp: datetime
    to_timestamp: datetime
    dimensions: Annotated[tuple[Dimension, ...], Meta(max_length=_MOST)] | None = None
    filters: tuple[Filter, ...] | None = None
    time_dimension: TimeDimension | None = None
    order_by: tuple[Order, ...] | None = None
    config: Settings | None = None


class MetricsParameters(Struct, frozen=True):
    """Hold the query, which is JSON."""

    query: Annotated[str, Meta(max_length=_LONGEST)]


class MetricsAnswer(Struct, frozen=True):
    """Hold a row for each group."""

    data: list[dict[str, Any]]


_decode: Final = msgspec.json.Decoder(MetricsBody).decode


@operations.get("/v2/metrics", permission="project:read")
async def get_metrics(call: Call, query: MetricsParameters) -> MetricsAnswer:
    """Return what observations or scores amount to, group by group."""
    try:
        asked = _decode(query.query)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"query: {error}") from error
    return MetricsAnswer(await Metrics(call.backend, call.project).ask(_query(asked)))


def _query(asked: MetricsBody) -> MetricsQuery:
    since, until = ns_of(asked.from_timestamp), ns_of(asked.to_timestamp)
    if since >= until:
        raise InvalidRequest("fromTimestamp has to be before toTimestamp")
    dimensions = tuple(one.field for one in asked.dimensions or ())
    many = next((name for name in dimensions if name in _HIGH), None)
    if many is not None:
        raise InvalidRequest(f"{many} has too many values to group by; filter by it instead")
    settings = asked.config or Settings()
    filters = asked.filters or ()
    is_of_observations = asked.view == "observations"
    return MetricsQuery(
        view=asked.view,
        dimensions=dimensions,
        metrics=asked.metrics,
        granularity=None if asked.time_dimension is None else asked.time_dimension.granularity,
        since_ns=since,
        until_ns=until,
        where=conditions_of(_as_text(filters)) if is_of_observations else (),
        of_scores=() if is_of_observations else tuple(map(_of_scores, filters)),
        order=tuple((one.field, one.direction == "desc") for one in asked.order_by or ()),
        bins=settings.bins,
        limit=settings.row_limit,
    )


_HIGH: Final = frozenset({*OBSERVATIONS.only_filters, "observationId"})


def _as_text(filters: tuple[Filter, ...]) -> str:
    """Return conditions in the language of ``/v2/observations``."""
    renamed = [msgspec.structs.replace(one, column=_RENAMED.get(one.column, one.column)) for one in filters]
    return msgspec.json.encode(renamed).decode()


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda value, wanted: value == wanted,
    "<>": lambda value, wanted: value != wanted,
    ">": lambda value, wanted: value > wanted,
    "<": lambda value, wanted: value < wanted,
    ">=": lambda value, wanted: value >= wanted,
    "<=": lambda value, wanted: value <= wanted,
    "contains": lambda value, wanted: wanted in value,
    "does not contain": lambda value, wanted: wanted not in value,
    "starts with": lambda value, wanted: value.startswith(wanted),
    "ends with": lambda value, wanted: value.endswith(wanted),
    "any of": lambda value, wanted: bool(_several(value) & set(wanted)),
    "none of": lambda value, wanted: not _several(value) & set(wanted),
    "all of": lambda value, wanted: set(wanted) <= _several(value),
}
_TEXT: Final = ("=", "contains", "does not contain", "starts with", "ends with")
_KINDS: Final[dict[str, tuple[Any, tuple[str, ...]]]] = {
    "string": (str, _TEXT),
    "stringOptions": (tuple[str, ...], ("any of", "none of")),
    "categoryOptions": (tuple[str, ...], ("any of", "none of")),
    "arrayOptions": (tuple[str, ...], ("any of", "none of", "all of")),
    "number": (float, ("=", ">", "<", ">=", "<=")),
    "boolean": (bool, ("=", "<>")),
}
"""The value, and the operators, of each type of condition on scores."""


def _several(value: Any) -> set[Any]:
    several = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return set(several)


def _of_scores(given: Filter) -> ScoreCondition:
    """Return a condition on scores.

    Raises:
        InvalidRequest: it makes no sense.
    """
    if given.type == "null" and given.operator in {"is null", "is not null"}:
        wanted = given.operator == "is null"
        return ScoreCondition(given.column, lambda value: (value is None or value == ()) == wanted)
    kind, operators = _KINDS.get(given.type, (None, ()))
    if given.operator not in operators:
        allowed = ", ".join(operators) or f"types: {', '.join((*_KINDS, 'null'))}"
        raise InvalidRequest(f"filters: {given.type} {given.operator} on {given.column}: use one of {allowed}")
    try:
        value = msgspec.convert(given.value, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"filters: {given.column} {given.operator}: {error}") from error
    return ScoreCondition(given.column, _comparing(given.operator, value))


def _comparing(operator: str, wanted: Any) -> Callable[[Any], bool]:
    """Return the comparison: a text that is not known is the empty one, and what is of another type meets nothing."""
    compare = _COMPARE[operator]

    def holds(value: Any) -> bool:
        if isinstance(wanted, tuple):
            return compare("" if value is None else value, wanted)
        if isinstance(wanted, str):
            return isinstance(value, str | None) and compare(value or "", wanted)
        if isinstance(wanted, bool):
            return compare(value, wanted)
        return isinstance(value, int | float) and compare(value, wanted)

    return holds
