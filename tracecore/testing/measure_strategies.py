"""Random queries for measures, made of what random records are made of; needs hypothesis, as ``strategies`` does.

Rows are sorted only by what every store finds to the last digit: sums of floats depend on their order.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tracecore.conditions import OPERATORS, Kind
from tracecore.measures import (
    AGGREGATIONS,
    DIMENSIONS,
    MEASURES,
    SCORE_KINDS,
    STEPS,
    UNMEASURED,
    Aggregation,
    Measure,
    Measured,
    MeasureOrder,
    MeasureQuery,
    ScoreColumn,
    ScoreCondition,
    View,
)
from tracecore.testing import filter_strategies
from tracecore.testing.samples import SECOND, START
from tracecore.testing.strategies import score_ids, session_ids, span_ids, texts, trace_ids

__all__ = ["measure_queries", "score_conditions"]

_EXACT: Final[frozenset[Aggregation]] = frozenset(("count", "min", "max", "p50", "p75", "p90", "p95", "p99"))
_BINARY: Final[frozenset[Measure]] = frozenset(
    ("count", "score_count", "errors", "input_cost", "output_cost", "total_cost", "value")
)  # fmt: skip
"""The measures of random records of which every sum is exact."""
_TEXTS: Final[dict[str, SearchStrategy[str]]] = {
    "id": score_ids, "trace_id": trace_ids, "observation_id": span_ids, "session_id": session_ids,
    "name": st.sampled_from(("chat", "answer", "")), "source": st.sampled_from(("API", "EVAL")),
    "data_type": st.sampled_from(("NUMERIC", "BOOLEAN", "CATEGORICAL")),
    "environment": st.sampled_from(("production", "default", "é")), "trace_name": st.sampled_from(("chat", "answer")),
    "release": st.sampled_from(("r1", "é", "\ud800")), "user_id": st.sampled_from(("u1", "Ж")),
    "observation_model": st.sampled_from(("gpt-x", "\ud800", "")),
}  # fmt: skip
_OF_KIND: Final[dict[Kind, SearchStrategy[Any]]] = {
    "tags": st.lists(st.sampled_from(("web", "beta", 'q"t', "\ud800")), max_size=2).map(tuple),
    "flag": st.booleans(),
    "time": st.integers(0, 6).map(lambda n: START + n * SECOND),
    "number": st.one_of(st.integers(0, 4), st.integers(0, 4096).map(lambda n: n / 1024)),
}


@st.composite
def _one_score_condition(draw: st.DrawFn) -> ScoreCondition:
    column: ScoreColumn = draw(st.sampled_from(get_args(ScoreColumn)))
    kind = SCORE_KINDS[column]
    operator = draw(st.sampled_from(OPERATORS[kind]))
    if operator.startswith("is "):
        return ScoreCondition(column, operator)
    if kind in _OF_KIND:
        return ScoreCondition(column, operator, draw(_OF_KIND[kind]))
    some = st.one_of(_TEXTS.get(column, texts), texts)
    values: SearchStrategy[Any] = st.lists(some, max_size=3).map(tuple) if operator.endswith(" of") else some
    return ScoreCondition(column, operator, draw(values))


score_conditions: Final[SearchStrategy[ScoreCondition]] = _one_score_condition()
_conditions: Final = filter_strategies.conditions.filter(lambda one: one.column not in UNMEASURED)


def _is_exact(measured: Measured) -> bool:
    return measured.aggregation in _EXACT or (measured.measure in _BINARY and measured.aggregation != "histogram")


@st.composite
def _one_query(draw: st.DrawFn) -> MeasureQuery:
    view: View = draw(st.sampled_from(("observations", "observations", "scores")))
    one = st.builds(Measured, st.sampled_from(MEASURES[view]), st.sampled_from(AGGREGATIONS))
    measures = tuple(draw(st.lists(one, min_size=1, max_size=4, unique=True)))
    dimensions = tuple(draw(st.lists(st.sampled_from(DIMENSIONS[view]), max_size=3, unique=True)))
    by = [*filter(_is_exact, measures), *dimensions]
    orders = st.builds(MeasureOrder, st.sampled_from(by), st.booleans()) if by else st.nothing()
    order = tuple(draw(st.lists(orders, max_size=2))) if by else ()
    step = draw(st.one_of(st.none(), st.sampled_from(STEPS)))
    if not order and step is None:
        first = next((one for one in measures if one.aggregation != "histogram"), None)
        measures = measures if first is None or _is_exact(first) else (Measured("count", "count"), *measures)
    number = st.integers(0, 2)
    return MeasureQuery(
        view=view,
        measures=tuple(dict.fromkeys(measures)),
        dimensions=dimensions,
        since_ns=draw(st.sampled_from((-(2**63), 0, START, START + SECOND))),
        until_ns=draw(st.sampled_from((START + 3 * SECOND, 2**63 - 1, 2**63 - 1))),
        step=step,
        where=tuple(draw(number.flatmap(lambda n: st.tuples(*[_conditions] * n)))) if view == "observations" else (),
        where_scores=tuple(draw(number.flatmap(lambda n: st.tuples(*[score_conditions] * n))))
        if view == "scores"
        else (),
        order=order,
        limit=draw(st.sampled_from((1, 3, 100))),
        bins=draw(st.sampled_from((1, 3, 10))),
    )


measure_queries: Final[SearchStrategy[MeasureQuery]] = _one_query()
"""Queries of either view, often without conditions, so that most find something."""
