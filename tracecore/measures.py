"""Measures: what a backend is besides, that counts, sums and compares what it keeps, group by group.

A :class:`MeasureQuery` names what is measured of observations or of scores, how the values of a group become one, and
what makes a group: a step of time, dimensions, both or neither. Names are those of this file, so whoever compiles a
query into SQL has nothing to escape. What each name means, also where a record has no such value, is
:mod:`tracecore.measuring`. Bodies are never read: no condition may be on one.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from msgspec import Struct

from tracecore.conditions import (
    MOST_CONDITIONS,
    MOST_VALUES,
    BadCondition,
    Comparison,
    Condition,
    Kind,
    Operator,
    Value,
    check_operator,
    check_value,
)

__all__ = [
    "AGGREGATIONS", "DIMENSIONS", "LARGEST_ANSWER", "MEASURES", "MOST_BINS", "SCORE_KINDS", "STEPS", "UNMEASURED",
    "Aggregation", "BadMeasures", "Bin", "Common", "Dimension", "Measure", "MeasureOrder", "MeasureQuery", "MeasureRow",
    "MeasureStore", "Measured", "Measuring", "ScoreColumn", "ScoreCondition", "Step", "View",
]  # fmt: skip

LARGEST_ANSWER: Final = 1000
"""The greatest ``limit`` of a query."""
MOST_BINS: Final = 100
"""Bins of a histogram, at most."""
_MOST_NAMES: Final = 20
"""Measures of one query, and dimensions, at most."""

View: TypeAlias = Literal["observations", "scores"]
Step: TypeAlias = Literal["minute", "hour", "day", "week", "month"]
"""A step of time, in UTC; a week begins on Monday."""
Aggregation: TypeAlias = Literal[
    "sum", "avg", "count", "max", "min", "p50", "p75", "p90", "p95", "p99", "histogram"
]  # fmt: skip
Measure: TypeAlias = Literal[
    "count", "latency", "streaming_latency", "input_tokens", "output_tokens", "total_tokens",
    "output_tokens_per_second", "tokens_per_second", "input_cost", "output_cost", "total_cost", "time_to_first_token",
    "score_count", "errors", "start", "value",
]  # fmt: skip
"""What is measured. Latencies and times are ms, costs USD; ``start`` is ms since the Unix epoch."""
Dimension: TypeAlias = Literal[
    "environment", "type", "name", "level", "version", "tags", "release", "trace_name", "trace_version", "model",
    "prompt_name", "prompt_version", "is_root", "month", "day", "source", "data_type", "config_id", "value",
    "string_value", "boolean_value", "observation_name", "observation_model", "observation_prompt_name",
    "observation_prompt_version",
]  # fmt: skip
"""By what groups are made."""
Bin: TypeAlias = tuple[float, float, int]
"""From where to where a bin of a histogram goes, and how many values are in it."""
Common: TypeAlias = str | int | float | bool | tuple[str, ...] | None
"""What is common to a group: None where it is unknown, a tuple of texts where it is tags."""

STEPS: Final[tuple[Step, ...]] = get_args(Step)
AGGREGATIONS: Final[tuple[Aggregation, ...]] = get_args(Aggregation)
MEASURES: Final[dict[View, tuple[Measure, ...]]] = {
    "observations": tuple(name for name in get_args(Measure) if name != "value"),
    "scores": ("count", "value"),
}
"""The measures of each view."""
DIMENSIONS: Final[dict[View, tuple[Dimension, ...]]] = {
    "observations": (
        "environment", "type", "name", "level", "version", "tags", "release", "trace_name", "trace_version", "model",
        "prompt_name", "prompt_version", "is_root", "month",
    ),
    "scores": (
        "environment", "name", "source", "data_type", "config_id", "month", "day", "value", "string_value",
        "boolean_value", "trace_name", "tags", "release", "trace_version", "observation_name", "observation_model",
        "observation_prompt_name", "observation_prompt_version",
    ),
}  # fmt: skip
"""The dimensions of each view."""
UNMEASURED: Final = frozenset(("input", "output", "metadata", "input_cost", "output_cost"))
"""The columns of observations that no query for measures may have a condition on: each costs a look at every record."""

ScoreColumn: TypeAlias = Literal[
    "id", "name", "source", "data_type", "environment", "config_id", "trace_id", "observation_id", "session_id",
    "experiment_id", "user_id", "timestamp", "value", "string_value", "boolean_value", "trace_name", "tags", "release",
    "trace_version", "observation_name", "observation_model", "observation_prompt_name", "observation_prompt_version",
]  # fmt: skip
"""What a condition on a score is on; what is not its own is that of its trace, or of its observation."""
_OF_KIND: Final[dict[ScoreColumn, Kind]] = {
    "timestamp": "time", "value": "number", "observation_prompt_version": "number", "boolean_value": "flag",
    "tags": "tags",
}  # fmt: skip
SCORE_KINDS: Final[dict[ScoreColumn, Kind]] = {column: _OF_KIND.get(column, "text") for column in get_args(ScoreColumn)}
"""The kind of each column of a score, which says what operators it knows (:data:`tracecore.conditions.OPERATORS`)."""


class BadMeasures(ValueError):
    """Report a query for measures that means nothing: what is wrong with it, and what would do."""


class ScoreCondition(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Compare one column of a score with a value.

    Raises:
        BadCondition: the column has no such operator, or the value is not what the operator compares with.
    """

    column: ScoreColumn
    operator: Operator
    value: Value = None

    def __post_init__(self) -> None:
        """Check that the condition means something."""
        kind = SCORE_KINDS.get(self.column)
        if kind is None:
            raise BadCondition(f"there is no column {self.column!r}; use one of {', '.join(SCORE_KINDS)}")
        check_operator(self.column, kind, self.operator)
        check_value(self.column, kind, self.operator, self.value)


class Measured(Struct, frozen=True):
    """Name what is measured, and how the values of a group become one."""

    measure: Measure
    aggregation: Aggregation


class MeasureOrder(Struct, frozen=True):
    """Say by what rows are sorted: ``"time"``, a dimension of the query, or one of its measures."""

    by: Literal["time"] | Dimension | Measured
    descending: bool = False


class MeasureQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for measures of observations by their start, or of scores by their timestamp.

    ``since_ns`` is inclusive and ``until_ns`` exclusive. Without an order rows come by time, if there is a step, else
    by the first measure that is no histogram, descending; ties go by time, then by the dimensions in their order. What
    is unknown comes last. With neither step nor dimension there is one row, whatever is found.

    Raises:
        BadMeasures: something in it is not of the view, or out of range.
    """

    view: View = "observations"
    measures: tuple[Measured, ...]
    dimensions: tuple[Dimension, ...] = ()
    since_ns: int
    until_ns: int
    step: Step | None = None
    where: tuple[Condition, ...] = ()
    """Conditions on observations; all must hold."""
    where_scores: tuple[ScoreCondition, ...] = ()
    """Conditions on scores; all must hold."""
    order: tuple[MeasureOrder, ...] = ()
    limit: int = 100
    bins: int = 10

    def __post_init__(self) -> None:
        """Check that the query means something."""
        _check_names("measures", [one.measure for one in self.measures], MEASURES[self.view], at_least=1)
        _check_names("aggregations", [one.aggregation for one in self.measures], AGGREGATIONS)
        _check_names("dimensions", self.dimensions, DIMENSIONS[self.view])
        for name, values in (("measures", self.measures), ("dimensions", self.dimensions)):
            if len(set(values)) < len(values):
                raise BadMeasures(f"{name} name one of them twice; name each once")
        _check_range("limit", self.limit, LARGEST_ANSWER)
        _check_range("bins", self.bins, MOST_BINS)
        if not -(2**63) <= self.since_ns < self.until_ns < 2**63:
            raise BadMeasures(f"from {self.since_ns} to {self.until_ns} ns is no time; let it end after it begins")
        self._check_conditions()
        for one in self.order:
            self._check_order(one)

    @property
    def sorted_by(self) -> tuple[MeasureOrder, ...]:
        """Return the whole order of the rows, ties included."""
        first = self.order or self._usual_order()
        ties: list[MeasureOrder] = [MeasureOrder("time")] if self.step else []
        return (*first, *ties, *map(MeasureOrder, self.dimensions))

    def _usual_order(self) -> tuple[MeasureOrder, ...]:
        if self.step:
            return ()
        return tuple(MeasureOrder(one, descending=True) for one in self.measures if one.aggregation != "histogram")[:1]

    def _check_conditions(self) -> None:
        given: tuple[Comparison, ...] = (*self.where, *self.where_scores)
        if self.where_scores if self.view == "observations" else self.where:
            raise BadMeasures(f"conditions are on another view than {self.view}; leave them out")
        if len(given) > MOST_CONDITIONS:
            raise BadMeasures(f"{len(given)} conditions; use at most {MOST_CONDITIONS}")
        if sum(len(one.value) for one in given if isinstance(one.value, tuple)) > MOST_VALUES:
            raise BadMeasures(f"conditions name too many texts; name at most {MOST_VALUES}")
        for one in self.where:
            if one.column in UNMEASURED:
                raise BadMeasures(f"measures know no condition on {one.column}; use names, tags, users or sessions")

    def _check_order(self, order: MeasureOrder) -> None:
        by = order.by
        known = (
            by in self.measures if isinstance(by, Measured) else by in self.dimensions or (by == "time" and self.step)
        )
        if not known:
            raise BadMeasures(f"rows cannot be sorted by {by}; use the time, a dimension or a measure of the query")
        if isinstance(by, Measured) and by.aggregation == "histogram":
            raise BadMeasures("rows cannot be sorted by a histogram; use another measure")


class MeasureRow(Struct, frozen=True):
    """Hold the measures of one group."""

    time_ns: int | None
    """Where the step of time begins; None where the query has none."""
    dimensions: tuple[Common, ...]
    """What is common to the group, in the order of the query."""
    values: tuple[float | int | tuple[Bin, ...] | None, ...]
    """The measures in the order of the query: None where nothing is known, bins of a histogram."""


class MeasureStore(Protocol):
    """Answer queries for measures. They run beside all other reads, and hold up none."""

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Return the rows of the answer, at most ``limit``.

        Raises ``BackendUnavailable`` when it takes longer than a backend has patience for, ``BackendRejected`` for a
        sum beyond the greatest float.
        """
        ...


@runtime_checkable
class Measuring(Protocol):
    """What a backend is besides, that measures what it keeps."""

    @property
    def measures(self) -> MeasureStore:
        """Return the store that measures."""
        ...


def _check_names(noun: str, given: Any, known: Any, at_least: int = 0) -> None:
    for name in given:
        if name not in known:
            raise BadMeasures(f"there is no {name!r} among the {noun}; use {', '.join(known)}")
    if not at_least <= len(given) <= _MOST_NAMES:
        raise BadMeasures(f"{len(given)} {noun}; use {at_least} to {_MOST_NAMES}")


def _check_range(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise BadMeasures(f"{name} = {value}; use 1 to {most}")
