"""Scores as Langfuse showed them before (``/v2/scores``): numbered pages, and beside each something of its trace.

Conditions on the trace (``userId``, ``traceTags``) are looked up first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, ObservationQuery, Page, ScoreQuery, TraceQuery
from tracecore.conditions import MOST_VALUES, BadCondition
from tracecore.errors import NotFound
from tracecore.records import Score, ScoreType, TraceAttributes
from tracecore.rollup import unite_attributes
from tracecore.selection import length_of_score
from tracecore.server.api.legacy_score_shapes import LegacyScoreAnswer, TraceOfScore, legacy_score
from tracecore.server.api.numbered import numbered
from tracecore.server.api.paging import PageMeta, Paging
from tracecore.server.api.score_lists import listed
from tracecore.server.api.sifting import sifted
from tracecore.server.api.times import ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.score_configs import ScoreConfigs
from tracecore.services.scores import DEFAULT_ENVIRONMENT, Source
from tracecore.services.stores import observations_of, scores_of, traces_of

__all__ = ["operations"]

operations = Operations()

Operator: TypeAlias = Literal["<", ">", "<=", ">=", "!=", "="]
_NOBODY: Final = "\x00 no trace"
"""The id of no trace: what is selected when no trace meets the conditions."""


class LegacyScoresQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select a numbered page of scores."""

    user_id: str | None = None
    name: str | None = None
    from_timestamp: datetime | None = None
    to_timestamp: datetime | None = None
    environment: tuple[str, ...] = ()
    source: Source | None = None
    operator: Operator | None = None
    value: float | None = None
    score_ids: str | None = None
    config_id: str | None = None
    session_id: str | None = None
    dataset_run_id: str | None = None
    trace_id: str | None = None
    observation_id: str | None = None
    queue_id: str | None = None
    data_type: ScoreType | None = None
    trace_tags: tuple[str, ...] = ()
    fields: str | None = None
    """Groups: ``score``, which is always there, and ``trace``."""
    filter: str | None = None


class LegacyScoresAnswer(Struct, frozen=True):
    """Hold a numbered page of scores."""

    data: list[LegacyScoreAnswer]
    meta: PageMeta


@operations.get("/scores", permission="project:read", deprecated=True)
async def list_first_scores(call: Call, query: LegacyScoresQuery) -> LegacyScoresAnswer:
    """Return what ``/v2/scores`` does, under the path that it had first."""
    return await list_legacy_scores(call, query)


@operations.get("/scores/{score_id:path}", permission="project:read", deprecated=True)
async def get_first_score(call: Call, score_id: str) -> LegacyScoreAnswer:
    """Return what ``/v2/scores/{score_id}`` does, under the path that it had first."""
    return await get_legacy_score(call, score_id)


@operations.get("/v2/scores", permission="project:read", deprecated=True)
async def list_legacy_scores(call: Call, query: LegacyScoresQuery) -> LegacyScoresAnswer:
    """Return a numbered page of scores, the newest first; ``/v3/scores`` does not count them, and is faster."""
    if query.filter is not None:
        raise InvalidRequest("filter is not supported on scores: use the parameters, or /v3/scores")
    asked, store = await _asked(call, query), scores_of(call.backend)

    async def find(limit: int, cursor: str | None) -> Page[Score]:
        return await store.find(call.project, replace(asked, limit=limit, cursor=cursor))

    async def differs(score: Score) -> bool:
        return score.value != query.value

    chosen = sifted(find, differs) if query.operator == "!=" and query.value is not None else find
    scores, meta = await numbered(chosen, chosen, query)
    call.hold(sum(map(length_of_score, scores)))
    shown = await _shapes(call, scores)
    if not query.fields or "trace" in listed(query.fields):
        traces = await _traces_of(call, scores)
        shown = [replace(one, trace=None if one.trace_id is None else traces[one.trace_id]) for one in shown]
    return LegacyScoresAnswer(shown, meta)


@operations.get("/v2/scores/{score_id:path}", permission="project:read", deprecated=True)
async def get_legacy_score(call: Call, score_id: str) -> LegacyScoreAnswer:
    """Return one score."""
    score = await scores_of(call.backend).get(call.project, score_id)
    if score is None:
        raise NotFound("score", score_id)
    return (await _shapes(call, [score]))[0]


async def _asked(call: Call, query: LegacyScoresQuery) -> ScoreQuery:
    asked = ScoreQuery(
        name=query.name,
        since_ns=None if query.from_timestamp is None else ns_of(query.from_timestamp),
        until_ns=None if query.to_timestamp is None else ns_of(query.to_timestamp),
        source=query.source,
        data_type=query.data_type,
        session_id=query.session_id,
        experiment_id=query.dataset_run_id,
        trace_id=query.trace_id,
        config_ids=(query.config_id,) if query.config_id else (),
        queue_ids=(query.queue_id,) if query.queue_id else (),
    )
    try:
        asked = replace(
            asked,
            score_ids=listed(query.score_ids),
            observation_ids=listed(query.observation_id),
            environments=query.environment,
            **_compared(query.operator, query.value),
        )
    except BadCondition as error:
        raise InvalidRequest(str(error)) from error
    if query.user_id is None and not query.trace_tags:
        return asked
    return replace(asked, trace_ids=await _trace_ids(call, query) or (_NOBODY,))


def _compared(operator: Operator | None, value: float | None) -> dict[str, Any]:
    """Return the bounds that an operator and a value are."""
    if operator is None or value is None:
        return {}
    if not math.isfinite(value):
        raise InvalidRequest(f"value = {value}: give a finite number")
    match operator:
        case "=":
            return {"values": (value,)}
        case "!=":
            return {}
        case ">=" | ">":
            return {"min_value": value if operator == ">=" else math.nextafter(value, math.inf)}
        case _:
            return {"max_value": value if operator == "<=" else math.nextafter(value, -math.inf)}


async def _trace_ids(call: Call, query: LegacyScoresQuery) -> tuple[str, ...]:
    tags = tuple(tag for given in query.trace_tags for tag in listed(given))
    asked = TraceQuery(user_id=query.user_id, tags=tags, limit=MOST_VALUES)
    page = await traces_of(call.backend).find(call.project, asked)
    if page.next_cursor is not None:
        raise InvalidRequest(f"userId and traceTags select more than {MOST_VALUES} traces: name a traceId")
    return tuple(trace.trace_id for trace in page.items)


async def _traces_of(call: Call, scores: Sequence[Score]) -> dict[str, TraceOfScore | None]:
    """Return something of the traces of scores; what is no trace here is None."""
    found: dict[str, TraceOfScore | None] = {}
    for score in scores:
        if score.trace_id is not None and score.trace_id not in found:
            said = await _said(call, score.trace_id)
            found[score.trace_id] = None if said is None else TraceOfScore(
                user_id=said.user_id, tags=said.tags, environment=said.environment or DEFAULT_ENVIRONMENT,
                session_id=said.session_id,
            )  # fmt: skip
    return found


async def _said(call: Call, trace_id: str) -> TraceAttributes | None:
    """Return what the newest thousand observations of a trace say of it, without reading payloads."""
    query = ObservationQuery(trace_id=trace_id, limit=LARGEST_PAGE)
    spans = (await observations_of(call.backend).find(call.project, query)).items
    if not spans:
        return None
    return unite_attributes((span.start_ns + (span.duration_ns or 0), span.span_id, span.trace) for span in spans)


async def _shapes(call: Call, scores: Sequence[Score]) -> list[LegacyScoreAnswer]:
    ids = [score.config_id for score in scores if score.config_id and score.data_type == "CATEGORICAL"]
    configs = await ScoreConfigs(call.catalog).some(call.project, ids)
    return [legacy_score(score, configs.get(score.config_id or "")) for score in scores]
