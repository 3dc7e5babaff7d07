"""Lists of scores (``/v3/scores``), as Langfuse has them now: ``value`` is a number, a truth value or a text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tracecore.backend import ScoreQuery
from tracecore.conditions import BadCondition
from tracecore.errors import BackendRejected
from tracecore.records import Score, ScoreType
from tracecore.selection import length_of_score
from tracecore.server.api.payloads import members_of
from tracecore.server.api.times import iso, ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.scores import DEFAULT_ENVIRONMENT, Source
from tracecore.services.stores import scores_of

__all__ = ["ScoreAnswer", "listed", "operations", "score_answer"]

operations = Operations()

Group: TypeAlias = Literal["core", "details", "subject", "annotation"]
_GROUPS: Final[tuple[Group, ...]] = get_args(Group)
_TYPES: Final[tuple[ScoreType, ...]] = get_args(ScoreType)
_SOURCES: Final[tuple[Source, ...]] = get_args(Source)


class Subject(Struct, frozen=True, rename="camel"):
    """Name what a score judges."""

    kind: Literal["trace", "observation", "session", "experiment"]
    id: str
    trace_id: str | UnsetType = UNSET


class ScoresQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Select scores; texts are lists, separated by commas."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: str | None = None
    fields: str | None = None
    """Groups: core, details, subject, annotation."""
    id: str | None = None
    name: str | None = None
    source: str | None = None
    data_type: str | None = None
    environment: str | None = None
    config_id: str | None = None
    queue_id: str | None = None
    author_user_id: str | None = None
    value: str | None = None
    """Values of one data type: numbers, true or false, or categories."""
    value_min: float | None = None
    value_max: float | None = None
    trace_id: str | None = None
    session_id: str | None = None
    observation_id: str | None = None
    experiment_id: str | None = None
    from_timestamp: datetime | None = None
    to_timestamp: datetime | None = None


class ScoreAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Show the groups of a score that were asked for."""

    id: str
    project_id: str
    name: str
    value: float | bool | str
    data_type: ScoreType
    source: Source
    timestamp: str
    environment: str
    created_at: str
    updated_at: str
    comment: str | UnsetType | None = UNSET
    config_id: str | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    subject: Subject | UnsetType | None = UNSET
    author_user_id: str | UnsetType | None = UNSET
    queue_id: str | UnsetType | None = UNSET


class ScoresMeta(Struct, frozen=True):
    """Say where the next page begins; without a cursor there is none."""

    limit: int
    cursor: str | UnsetType = UNSET


class ScoresAnswer(Struct, frozen=True):
    """Hold a page of scores."""

    data: list[ScoreAnswer]
    meta: ScoresMeta


@operations.get("/v3/scores", permission="project:read")
async def list_scores(call: Call, query: ScoresQuery) -> ScoresAnswer:
    """Return scores, the newest first."""
    _check_names(call)
    groups = frozenset(_among("fields", query.fields, _GROUPS)) | {"core"}
    asked = _asked(query)
    try:
        page = await scores_of(call.backend).find(call.project, asked)
    except BackendRejected as error:
        if query.cursor is None:
            raise
        raise InvalidRequest(f"cursor: {error}") from error
    call.hold(sum(map(length_of_score, page.items)))
    meta = ScoresMeta(query.limit, UNSET if page.next_cursor is None else page.next_cursor)
    return ScoresAnswer([score_answer(score, groups) for score in page.items], meta)


def _check_names(call: Call) -> None:
    """Refuse a query with a parameter that would be passed over: its answer would hold what was not asked for.

    Raises:
        InvalidRequest: there is one.
    """
    known = {field.encode_name for field in msgspec.structs.fields(ScoresQuery)}
    unknown = [name for name, value in call.request.query_params.multi_items() if value and name not in known]
    if unknown:
        raise InvalidRequest(
            f"there is no query parameter {unknown[0][:100]!r}; use some of {', '.join(sorted(known))}"
        )


def _asked(query: ScoresQuery) -> ScoreQuery:
    types = cast("tuple[ScoreType, ...]", _among("dataType", query.data_type, _TYPES, upper=True))
    numbers, texts = _values(query, types)
    subjects = [listed(text) for text in (query.trace_id, query.session_id, query.experiment_id)]
    if sum(map(bool, subjects)) > 1:
        raise InvalidRequest("at most one of traceId, sessionId and experimentId may be given")
    if listed(query.observation_id) and not subjects[0]:
        raise InvalidRequest("observationId needs traceId beside it: ids of observations belong to a trace")
    try:
        return ScoreQuery(
            limit=query.limit,
            cursor=query.cursor,
            since_ns=None if query.from_timestamp is None else ns_of(query.from_timestamp),
            until_ns=None if query.to_timestamp is None else ns_of(query.to_timestamp),
            min_value=_bound("valueMin", query.value_min, types),
            max_value=_bound("valueMax", query.value_max, types),
            score_ids=listed(query.id),
            names=listed(query.name),
            data_types=types,
            sources=cast("tuple[Source, ...]", _among("source", query.source, _SOURCES, upper=True)),
            trace_ids=subjects[0],
            session_ids=subjects[1],
            experiment_ids=subjects[2],
            observation_ids=listed(query.observation_id),
            environments=listed(query.environment),
            config_ids=listed(query.config_id),
            queue_ids=listed(query.queue_id),
            author_user_ids=listed(query.author_user_id),
            values=numbers,
            string_values=texts,
        )
    except BadCondition as error:
        raise InvalidRequest(str(error)) from error


def _values(query: ScoresQuery, types: Sequence[ScoreType]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the numbers and the texts of ``value``; one of them is empty."""
    values = listed(query.value)
    if not values:
        return (), ()
    if len(types) != 1 or types[0] not in {"NUMERIC", "BOOLEAN", "CATEGORICAL"}:
        raise InvalidRequest("value needs one dataType: NUMERIC, BOOLEAN or CATEGORICAL")
    if types[0] == "CATEGORICAL":
        return (), values
    try:
        if types[0] == "BOOLEAN":
            return tuple({"true": 1.0, "false": 0.0}[value] for value in values), ()
        return tuple(msgspec.json.decode(value, type=float) for value in values), ()
    except (KeyError, msgspec.MsgspecError, UnicodeError) as error:
        expected = "true or false" if types[0] == "BOOLEAN" else "a finite number"
        raise InvalidRequest(f"value = {query.value!r}: with dataType={types[0]} each is {expected}") from error


def _bound(name: str, bound: float | None, types: Sequence[ScoreType]) -> float | None:
    if bound is None:
        return None
    if tuple(types) != ("NUMERIC",):
        raise InvalidRequest(f"{name} needs dataType=NUMERIC and no other")
    if bound - bound != 0:
        raise InvalidRequest(f"{name} = {bound}: give a finite number")
    return bound


def listed(text: str | None) -> tuple[str, ...]:
    """Return the texts of a list that is separated by commas."""
    return tuple(stripped for part in (text or "").split(",") if (stripped := part.strip()))


def _among(name: str, text: str | None, allowed: Collection[str], *, upper: bool = False) -> tuple[str, ...]:
    found = tuple(value.upper() if upper else value for value in listed(text))
    unknown = [value for value in found if value not in allowed]
    if unknown:
        raise InvalidRequest(f"{name} has no {unknown[0][:100]!r}; use some of {', '.join(allowed)}")
    return found


def score_answer(score: Score, groups: Collection[str]) -> ScoreAnswer:
    """Return the groups of a score that were asked for."""
    fields: dict[str, Any] = {}
    if "details" in groups:
        metadata = members_of(score.metadata)
        fields = {"comment": score.comment, "config_id": score.config_id, "metadata": metadata}
    if "subject" in groups:
        fields["subject"] = _subject(score)
    if "annotation" in groups:
        fields |= {"author_user_id": score.author_user_id, "queue_id": score.queue_id}
    moment = iso(score.timestamp_ns)
    return ScoreAnswer(
        id=score.score_id,
        project_id=score.project,
        name=score.name,
        value=_value(score),
        data_type=score.data_type,
        source=score.source,
        timestamp=moment,
        environment=score.environment or DEFAULT_ENVIRONMENT,
        created_at=moment,
        updated_at=moment,
        **fields,
    )


def _value(score: Score) -> float | bool | str:
    if score.data_type == "BOOLEAN":
        return score.value == 1
    if score.data_type == "NUMERIC":
        return score.value or 0.0
    return score.string_value or ""


def _subject(score: Score) -> Subject | None:
    if score.observation_id is not None:
        return Subject("observation", score.observation_id, score.trace_id or UNSET)
    if score.trace_id is not None:
        return Subject("trace", score.trace_id)
    if score.session_id is not None:
        return Subject("session", score.session_id)
    return None if score.experiment_id is None else Subject("experiment", score.experiment_id)
