"""Metrics: what the observations or the scores of a time amount to, group by group.

Facts are read page by page as lists show them, without payloads, whatever the backend; an answer is worked out of at
most :data:`MOST_FACTS` of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import product
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, Backend, ObservationQuery, ScoreQuery
from tracecore.conditions import MOST_VALUES, Condition
from tracecore.errors import ConfigError
from tracecore.records import Observation, Score
from tracecore.rollup import roll_up
from tracecore.services.aggregation import Groups, Metric
from tracecore.services.metric_views import (
    OBSERVATIONS,
    SCORES,
    Granularity,
    ObservationFact,
    ScoreFact,
    View,
    bucket_of,
    granularity_of,
)
from tracecore.services.stores import observations_of, scores_of

__all__ = ["MOST_FACTS", "Metrics", "MetricsQuery", "ScoreCondition", "ViewName"]

F = TypeVar("F", ObservationFact, ScoreFact)
ViewName: TypeAlias = Literal["observations", "scores-numeric", "scores-boolean", "scores-categorical"]
MOST_FACTS: Final = 500_000
"""Observations, or scores, that one answer is worked out of; reading as many takes seconds."""
_PAGE: Final = 500
"""Facts that are worked on in one go: some ms, after which others have their turn."""
_TIME: Final = "time_dimension"
_REQUEST: Final = "the request"


class ScoreCondition(Struct, frozen=True):
    """Compare a dimension of scores with a value."""

    column: str
    holds: Callable[[Any], bool]


class MetricsQuery(Struct, frozen=True, kw_only=True):
    """Say what is asked; ``since_ns`` is inclusive and ``until_ns`` exclusive."""

    view: ViewName
    dimensions: tuple[str, ...] = ()
    metrics: tuple[Metric, ...]
    granularity: Granularity | None = None
    since_ns: int
    until_ns: int
    where: tuple[Condition, ...] = ()
    """Conditions on observations."""
    of_scores: tuple[ScoreCondition, ...] = ()
    """Conditions on scores."""
    order: tuple[tuple[str, bool], ...] = ()
    """Fields of the answer, and whether their greatest value comes first."""
    bins: int = 10
    limit: int = 100


class Metrics:
    """Work out metrics of one project."""

    def __init__(self, backend: Backend, project: str) -> None:
        self._backend = backend
        self._project = project

    async def ask(self, query: MetricsQuery) -> list[dict[str, Any]]:
        """Return a row for each group.

        Raises:
            ConfigError: something that is named is not in the view, or there is too much of it.
        """
        if query.view == "observations":
            return await _answered(
                query, OBSERVATIONS, self._observations(query), lambda fact: fact.observation.start_ns
            )
        view, _ = SCORES[query.view]
        return await _answered(query, view, self._scores(query, view), lambda fact: fact.score.timestamp_ns)

    async def _observations(self, query: MetricsQuery) -> AsyncIterator[ObservationFact]:
        counted = any(metric.measure == "countScores" for metric in query.metrics)
        asked = ObservationQuery(
            since_ns=query.since_ns, until_ns=query.until_ns, where=query.where, limit=_PAGE
        )  # fmt: skip
        count = 0
        while True:
            page = await observations_of(self._backend).find(self._project, asked)
            count = _check_count(count + len(page.items))
            scores = await self._counts(page.items) if counted else Counter[tuple[str, str]]()
            for one in page.items:
                yield ObservationFact(one, scores[one.trace_id, one.span_id])
            if page.next_cursor is None:
                return
            asked = replace(asked, cursor=page.next_cursor)

    async def _counts(self, observations: Sequence[Observation]) -> Counter[tuple[str, str]]:
        """Return how many scores judge each of some observations."""
        found: Counter[tuple[str, str]] = Counter()
        for some in _slices([one.span_id for one in observations]):
            async for score in self._every_score(ScoreQuery(observation_ids=some, limit=LARGEST_PAGE)):
                found[score.trace_id or "", score.observation_id or ""] += 1
        return found

    async def _scores(self, query: MetricsQuery, view: View[ScoreFact]) -> AsyncIterator[ScoreFact]:
        named = {*query.dimensions, *(condition.column for condition in query.of_scores)}
        _check(named, {*view.dimensions, *view.only_filters}, "column")
        values = view.dimensions | view.only_filters
        asked = ScoreQuery(
            since_ns=query.since_ns, until_ns=query.until_ns, data_types=SCORES[query.view][1], limit=_PAGE
        )  # fmt: skip
        count = 0
        while True:
            page = await scores_of(self._backend).find(self._project, asked)
            count = _check_count(count + len(page.items))
            facts = await self._joined(page.items) if named & view.joined else map(ScoreFact, page.items)
            for fact in facts:
                if all(condition.holds(values[condition.column](fact)) for condition in query.of_scores):
                    yield fact
            if page.next_cursor is None:
                return
            asked = replace(asked, cursor=page.next_cursor)

    async def _joined(self, scores: Sequence[Score]) -> list[ScoreFact]:
        """Return scores with the traces and observations that they judge."""
        by_trace: dict[str, list[Observation]] = {}
        for some in _slices(sorted({score.trace_id for score in scores if score.trace_id is not None})):
            asked = ObservationQuery(where=(Condition("trace_id", "any of", some),), limit=LARGEST_PAGE)
            async for one in self._every_observation(asked):
                by_trace.setdefault(one.trace_id, []).append(one)
        traces = {trace_id: roll_up(self._project, trace_id, spans) for trace_id, spans in by_trace.items()}
        judged = {(one.trace_id, one.span_id): one for spans in by_trace.values() for one in spans}
        return [
            ScoreFact(
                score, traces.get(score.trace_id or ""), judged.get((score.trace_id or "", score.observation_id or ""))
            )
            for score in scores
        ]

    async def _every_score(self, asked: ScoreQuery) -> AsyncIterator[Score]:
        while True:
            page = await scores_of(self._backend).find(self._project, asked)
            for score in page.items:
                yield score
            if page.next_cursor is None:
                return
            asked = replace(asked, cursor=page.next_cursor)

    async def _every_observation(self, asked: ObservationQuery) -> AsyncIterator[Observation]:
        count = 0
        while True:
            page = await observations_of(self._backend).find(self._project, asked)
            count = _check_count(count + len(page.items))
            for one in page.items:
                yield one
            if page.next_cursor is None:
                return
            asked = replace(asked, cursor=page.next_cursor)


async def _answered(
    query: MetricsQuery, view: View[F], facts: AsyncIterator[F], time_of: Callable[[F], int]
) -> list[dict[str, Any]]:
    """Return the rows that facts make."""
    _check(query.dimensions, view.dimensions, "dimension")
    _check([metric.measure for metric in query.metrics], view.measures, "measure")
    names: list[str] = list(query.dimensions)
    dimensions = [view.dimensions[name] for name in names]
    if query.granularity is not None:
        step = granularity_of(query.granularity, query.since_ns, query.until_ns)
        names.append(_TIME)
        dimensions.append(lambda fact: bucket_of(time_of(fact), step))
    groups = Groups(names, query.metrics, query.bins)
    order = query.order or _usual_order(query)
    _check([field for field, _ in order], [*names, *(metric.alias for metric in query.metrics)], "field to order by")
    measures = [view.measures[name] for name in groups.measures]
    async for fact in facts:
        numbers = [measure(fact) for measure in measures]
        for key in _keys([dimension(fact) for dimension in dimensions]):
            groups.add(key, numbers)
    return groups.rows(order, query.limit)


def _keys(values: list[Any]) -> list[tuple[Any, ...]]:
    """Return the groups of a fact: of several values of one dimension, such as tags, one for each."""
    if not any(isinstance(value, tuple) for value in values):
        return [tuple(values)]
    return list(product(*(_several(value) for value in values)))


def _several(value: Any) -> tuple[Any, ...]:
    several = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return several or (None,)


def _usual_order(query: MetricsQuery) -> tuple[tuple[str, bool], ...]:
    """Return the order of rows for which none was asked: by time, else what is most first."""
    if query.granularity is not None:
        return ((_TIME, False), *((name, False) for name in query.dimensions))
    return ((query.metrics[0].alias, True), *((name, False) for name in query.dimensions))


def _check(named: Any, known: Any, noun: str) -> None:
    """Refuse a name that is none.

    Raises:
        ConfigError: there is one.
    """
    for name in named:
        if name not in known:
            raise ConfigError(noun, name, _REQUEST, f"one of {', '.join(sorted(known))}")


def _check_count(count: int) -> int:
    if count > MOST_FACTS:
        raise ConfigError("fromTimestamp", "", _REQUEST, f"a time with at most {MOST_FACTS} observations or scores")
    return count


def _slices(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(ids[place : place + MOST_VALUES]) for place in range(0, len(ids), MOST_VALUES)]
