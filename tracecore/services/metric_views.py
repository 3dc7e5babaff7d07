"""What can be counted, and by what: the views of Langfuse's metrics (``GET /v2/metrics``, server 4.16).

A view is a kind of fact: an observation, or a score with what it judges. Its dimensions group facts, its measures are
numbers of each. Times are ms and costs USD; what is not known is None.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

from tracecore.filtering import cost_of, tokens_per_second
from tracecore.records import Generation, Observation, Score, ScoreType, Trace, usage_totals

__all__ = [
    "OBSERVATIONS", "SCORES", "Granularity", "ObservationFact", "ScoreFact", "View", "bucket_of", "granularity_of",
]  # fmt: skip

F = TypeVar("F")
Granularity: TypeAlias = Literal["auto", "minute", "hour", "day", "week", "month"]
_MS: Final = 1e6
_MINUTE_NS: Final = 60_000_000_000
_HOUR_NS: Final = 60 * _MINUTE_NS
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ObservationFact(Struct, frozen=True):
    """Hold an observation, and how many scores judge it."""

    observation: Observation
    scores: int = 0


class ScoreFact(Struct, frozen=True):
    """Hold a score with what it judges, as far as that is here and was looked for."""

    score: Score
    trace: Trace | None = None
    observation: Observation | None = None


class View(Struct, Generic[F], frozen=True):
    """Say what there is to know of a kind of fact."""

    dimensions: dict[str, Callable[[F], Any]]
    measures: dict[str, Callable[[F], float | None]]
    only_filters: dict[str, Callable[[F], Any]] = {}
    """What has so many values that nothing is grouped by it."""
    joined: frozenset[str] = frozenset()
    """Dimensions for which what a fact belongs to has to be read."""


def _of_model(field: str) -> Callable[[ObservationFact], Any]:
    return lambda fact: getattr(fact.observation, field) if isinstance(fact.observation, Generation) else None


def _of_trace(field: str) -> Callable[[ObservationFact], Any]:
    return lambda fact: getattr(fact.observation.trace, field)


def _version(fact: ObservationFact) -> str | None:
    return fact.observation.version or fact.observation.trace.version


def _tokens(place: int) -> Callable[[ObservationFact], int | None]:
    def tokens(fact: ObservationFact) -> int | None:
        usage = fact.observation.usage_details if isinstance(fact.observation, Generation) else None
        return None if usage is None else usage_totals(usage)[place]

    return tokens


def _per_second(place: int) -> Callable[[ObservationFact], float | None]:
    tokens = _tokens(place)
    return lambda fact: tokens_per_second(tokens(fact), fact.observation.duration_ns)


def _cost(direction: str) -> Callable[[ObservationFact], float | None]:
    costs = _of_model("cost_details")
    return lambda fact: cost_of(costs(fact), direction)


def _latency(fact: ObservationFact) -> float | None:
    return None if fact.observation.duration_ns is None else fact.observation.duration_ns / _MS


def _first_token(fact: ObservationFact) -> float | None:
    begun = fact.observation.completion_start_ns
    return None if begun is None else (begun - fact.observation.start_ns) / _MS


def _streaming(fact: ObservationFact) -> float | None:
    begun, end = fact.observation.completion_start_ns, fact.observation.end_ns
    return None if begun is None or end is None else (end - begun) / _MS


def _is_root(fact: ObservationFact) -> bool:
    return fact.observation.parent_id is None or fact.observation.app_root


OBSERVATIONS: Final[View[ObservationFact]] = View(
    dimensions={
        "environment": lambda fact: fact.observation.trace.environment or "default",
        "type": lambda fact: fact.observation.type.upper(),
        "name": lambda fact: fact.observation.name,
        "level": lambda fact: fact.observation.level,
        "version": _version,
        "tags": _of_trace("tags"),
        "release": _of_trace("release"),
        "traceName": _of_trace("name"),
        "traceRelease": _of_trace("release"),
        "traceVersion": _of_trace("version"),
        "providedModelName": _of_model("model"),
        "promptName": _of_model("prompt_name"),
        "promptVersion": _of_model("prompt_version"),
        "isRootObservation": _is_root,
        "startTimeMonth": lambda fact: bucket_of(fact.observation.start_ns, "month")[:7],
    },
    measures={
        "count": lambda _: 1,
        "latency": _latency,
        "streamingLatency": _streaming,
        "timeToFirstToken": _first_token,
        "inputTokens": _tokens(0),
        "outputTokens": _tokens(1),
        "totalTokens": _tokens(2),
        "outputTokensPerSecond": _per_second(1),
        "tokensPerSecond": _per_second(2),
        "inputCost": _cost("input"),
        "outputCost": _cost("output"),
        "totalCost": _of_model("total_cost"),
        "countScores": lambda fact: fact.scores,
    },
    only_filters={
        "id": lambda fact: fact.observation.span_id,
        "traceId": lambda fact: fact.observation.trace_id,
        "userId": _of_trace("user_id"),
        "sessionId": _of_trace("session_id"),
        "parentObservationId": lambda fact: fact.observation.parent_id,
    },
)


def _of_judged_trace(field: str) -> Callable[[ScoreFact], Any]:
    return lambda fact: None if fact.trace is None else getattr(fact.trace.attributes, field)


def _of_judged(field: str) -> Callable[[ScoreFact], Any]:
    return lambda fact: getattr(fact.observation, field, None)


_SCORE_DIMENSIONS: Final[dict[str, Callable[[ScoreFact], Any]]] = {
    "environment": lambda fact: fact.score.environment or "default",
    "name": lambda fact: fact.score.name,
    "source": lambda fact: fact.score.source,
    "dataType": lambda fact: fact.score.data_type,
    "configId": lambda fact: fact.score.config_id,
    "timestampMonth": lambda fact: bucket_of(fact.score.timestamp_ns, "month")[:7],
    "timestampDay": lambda fact: bucket_of(fact.score.timestamp_ns, "day")[:10],
    "traceName": lambda fact: None if fact.trace is None else fact.trace.name,
    "tags": lambda fact: () if fact.trace is None else fact.trace.attributes.tags,
    "traceRelease": _of_judged_trace("release"),
    "traceVersion": _of_judged_trace("version"),
    "observationName": _of_judged("name"),
    "observationModelName": _of_judged("model"),
    "observationPromptName": _of_judged("prompt_name"),
    "observationPromptVersion": _of_judged("prompt_version"),
}
_SCORE_FILTERS: Final[dict[str, Callable[[ScoreFact], Any]]] = {
    "id": lambda fact: fact.score.score_id,
    "traceId": lambda fact: fact.score.trace_id,
    "sessionId": lambda fact: fact.score.session_id,
    "observationId": lambda fact: fact.score.observation_id,
    "userId": _of_judged_trace("user_id"),
}
_JOINED: Final = frozenset({
    "traceName", "tags", "traceRelease", "traceVersion", "observationName", "observationModelName",
    "observationPromptName", "observationPromptVersion", "userId",
})  # fmt: skip


def _scores(of: dict[str, Callable[[ScoreFact], Any]], *, numbers: bool) -> View[ScoreFact]:
    measures: dict[str, Callable[[ScoreFact], float | None]] = {"count": lambda _: 1}
    if numbers:
        measures["value"] = lambda fact: fact.score.value
    return View(_SCORE_DIMENSIONS | of, measures, _SCORE_FILTERS, _JOINED)


SCORES: Final[dict[str, tuple[View[ScoreFact], tuple[ScoreType, ...]]]] = {
    "scores-numeric": (_scores({"value": lambda fact: fact.score.value}, numbers=True), ("NUMERIC", "BOOLEAN")),
    "scores-boolean": (
        _scores({
            "value": lambda fact: fact.score.value,
            "booleanValue": lambda fact: None if fact.score.value is None else bool(fact.score.value),
        }, numbers=True),
        ("BOOLEAN",),
    ),
    "scores-categorical": (
        _scores({"stringValue": lambda fact: fact.score.string_value}, numbers=False), ("CATEGORICAL",)
    ),
}  # fmt: skip
"""The views of scores, and the types of those that are in each."""


def granularity_of(asked: Granularity, since_ns: int, until_ns: int) -> Granularity:
    """Return the granularity of a time: ``auto`` makes some fifty steps of it."""
    if asked != "auto":
        return asked
    hours = (until_ns - since_ns) / _HOUR_NS
    steps: tuple[tuple[float, Granularity], ...] = ((2, "minute"), (72, "hour"), (1440, "day"), (8760, "week"))
    for most, name in steps:
        if hours < most:
            return name
    return "month"


def bucket_of(ns: int, granularity: Granularity) -> str:
    """Return the beginning of the step in which a time is, in UTC; weeks begin on Monday."""
    return _begun(ns // _MINUTE_NS, granularity)


@lru_cache(maxsize=4096)
def _begun(minute: int, granularity: Granularity) -> str:
    """Return the same for a minute since the Unix epoch; facts of one step come one after the other."""
    moment = _EPOCH + timedelta(minutes=minute)
    if granularity == "minute":
        begun = moment
    elif granularity == "hour":
        begun = moment.replace(minute=0)
    else:
        begun = moment.replace(hour=0, minute=0)
        if granularity == "week":
            begun -= timedelta(days=begun.weekday())
        elif granularity == "month":
            begun = begun.replace(day=1)
    return f"{begun:%Y-%m-%dT%H:%M:%SZ}"
