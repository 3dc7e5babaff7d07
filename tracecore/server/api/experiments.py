"""Experiments and their items, as the observations of these say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tracecore.errors import BackendRejected
from tracecore.records import Experiment, Observation, Score
from tracecore.selection import length_of_observation, length_of_score
from tracecore.server.api.payloads import members_of, shown, size_of
from tracecore.server.api.score_lists import ScoreAnswer, listed, score_answer
from tracecore.server.api.shapes import level_of
from tracecore.server.api.times import iso, iso_or_none, ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.experiments import ExperimentQuery, Experiments, ExperimentSummary
from tracecore.services.text_conditions import OptionOperator, TextCondition, TextOperator

__all__ = ["operations"]

operations = Operations()

Group: TypeAlias = Literal["core", "metadata", "scores"]
ItemGroup: TypeAlias = Literal["core", "dataset", "io", "metadata", "itemMetadata", "experimentMetadata", "scores"]
_GROUPS: Final[tuple[Group, ...]] = get_args(Group)
_ITEM_GROUPS: Final[tuple[ItemGroup, ...]] = get_args(ItemGroup)
_COLUMNS: Final = {"id": "id", "name": "name", "datasetId": "dataset_id"}
_ITEM_COLUMNS: Final = {
    "experimentId": "id", "experimentName": "name", "experimentItemId": "item_id", "datasetId": "dataset_id",
}  # fmt: skip
"""The columns of filters, and what they are here."""
_MOST_CONDITIONS: Final = 50
_PAYLOADS: Final = frozenset(("io", "metadata", "itemMetadata", "experimentMetadata"))
_SCORE_GROUPS: Final = ("core", "details", "subject", "annotation")


class _Selection(Struct, frozen=True, kw_only=True, rename="camel"):
    from_start_time: datetime
    to_start_time: datetime | None = None
    fields: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    score_limit: Annotated[int, Meta(ge=1, le=50)] = 50
    cursor: str | None = None
    dataset_id: str | None = None
    filter: str | None = None


class ExperimentsQuery(_Selection, frozen=True, kw_only=True, rename="camel"):
    """Select experiments by the times of their items; texts are lists, separated by commas."""

    id: str | None = None
    name: str | None = None


class ExperimentItemsQuery(_Selection, frozen=True, kw_only=True, rename="camel"):
    """Select items of experiments by their times; texts are lists, separated by commas."""

    experiment_id: str | None = None
    experiment_name: str | None = None
    experiment_item_id: str | None = None


class ExperimentAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Describe an experiment, as far as its items lie in the time that was asked for."""

    id: str
    name: str
    description: str | None
    start_time: str
    end_time: str
    item_count: int
    dataset_id: str | None
    metadata: dict[str, Any] | UnsetType | None = UNSET
    scores: list[ScoreAnswer] | UnsetType = UNSET


class ExperimentItemAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Show the groups of an item that were asked for."""

    id: str
    trace_id: str
    start_time: str
    end_time: str | None
    level: str
    environment: str
    experiment_id: str
    experiment_name: str
    experiment_item_id: str
    experiment_dataset_id: str | UnsetType | None = UNSET
    experiment_item_version: str | UnsetType | None = UNSET
    input: Any = UNSET
    output: Any = UNSET
    expected_output: Any = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    experiment_item_metadata: dict[str, Any] | UnsetType | None = UNSET
    experiment_metadata: dict[str, Any] | UnsetType | None = UNSET
    experiment_description: str | UnsetType | None = UNSET
    scores: list[ScoreAnswer] | UnsetType = UNSET


class CursorMeta(Struct, frozen=True):
    """Say where the next page begins; without a cursor there is none."""

    cursor: str | UnsetType = UNSET


class ExperimentsAnswer(Struct, frozen=True):
    """Hold a page of experiments, the one whose last item began most recently first."""

    data: list[ExperimentAnswer]
    meta: CursorMeta


class ExperimentItemsAnswer(Struct, frozen=True):
    """Hold a page of items, the newest first."""

    data: list[ExperimentItemAnswer]
    meta: CursorMeta


@operations.get("/experiments", permission="datasets:read")
async def list_experiments(call: Call, query: ExperimentsQuery) -> ExperimentsAnswer:
    """List experiments that have an item in a time."""
    groups = _groups(query.fields, _GROUPS, ("core",))
    where = _where(query.filter, _COLUMNS)
    asked = ExperimentQuery(
        since_ns=ns_of(query.from_start_time),
        until_ns=None if query.to_start_time is None else ns_of(query.to_start_time),
        **_chosen({"id": query.id, "name": query.name, "dataset_id": query.dataset_id}, where),
        where=where,
    )
    experiments = Experiments(call.backend, call.catalog, call.project)
    found, cursor = await experiments.find(asked, limit=query.limit, cursor=query.cursor)
    answers = [await _experiment(call, experiments, one, groups, query.score_limit) for one in found]
    return ExperimentsAnswer(answers, CursorMeta(UNSET if cursor is None else cursor))


@operations.get("/experiment-items", permission="datasets:read")
async def list_experiment_items(call: Call, query: ExperimentItemsQuery) -> ExperimentItemsAnswer:
    """List items of experiments that began in a time."""
    groups = _groups(query.fields, _ITEM_GROUPS, ("core", "dataset"))
    where = _where(query.filter, _ITEM_COLUMNS)
    given = {
        "id": query.experiment_id,
        "name": query.experiment_name,
        "item_id": query.experiment_item_id,
        "dataset_id": query.dataset_id,
    }
    asked = ExperimentQuery(
        since_ns=ns_of(query.from_start_time),
        until_ns=None if query.to_start_time is None else ns_of(query.to_start_time),
        **_chosen(given, where),
        where=where,
    )
    experiments = Experiments(call.backend, call.catalog, call.project)
    try:
        found, cursor = await experiments.items(asked, limit=query.limit, cursor=query.cursor)
    except BackendRejected as error:
        if query.cursor is None:
            raise
        raise InvalidRequest(f"cursor: {error}") from error
    answers: list[ExperimentItemAnswer] = []
    for bare in found:
        item = bare if _PAYLOADS.isdisjoint(groups) else await experiments.whole(bare)
        if item.experiment is not None:
            call.hold(_length(item))
            answers.append(await _item(call, item, item.experiment, groups, query.score_limit))
    return ExperimentItemsAnswer(answers, CursorMeta(UNSET if cursor is None else cursor))


async def _experiment(
    call: Call, experiments: Experiments, summary: ExperimentSummary, groups: Collection[str], score_limit: int
) -> ExperimentAnswer:
    more: dict[str, Any] = {}
    if "metadata" in groups:
        metadata = await experiments.metadata(summary)
        call.hold(size_of(metadata))
        more["metadata"] = _members(metadata)
    if "scores" in groups:
        more["scores"] = await _scores(call, experiments.scores(summary.id), score_limit)
    return ExperimentAnswer(
        id=summary.id,
        name=summary.name,
        description=summary.description,
        start_time=iso(summary.start_ns),
        end_time=iso(summary.end_ns),
        item_count=summary.item_count,
        dataset_id=summary.dataset_id,
        **more,
    )


async def _scores(call: Call, scores: AsyncIterator[Score], limit: int) -> list[ScoreAnswer]:
    """Return the first scores as the API shows them."""
    found: list[ScoreAnswer] = []
    async for score in scores:
        if len(found) == limit:
            break
        call.hold(length_of_score(score), "ask for a smaller limit or scoreLimit")
        found.append(score_answer(score, _SCORE_GROUPS))
    return found


def _length(item: Observation) -> int:
    said = item.experiment
    more = () if said is None else (said.metadata, said.item_expected_output, said.item_metadata)
    return length_of_observation(item) + size_of(item.trace.metadata, *more)


async def _item(
    call: Call, item: Observation, said: Experiment, groups: Collection[str], score_limit: int
) -> ExperimentItemAnswer:
    more: dict[str, Any] = {}
    for group in groups:
        more |= _PARTS.get(group, _nothing)(item, said)
    if "scores" in groups:
        experiments = Experiments(call.backend, call.catalog, call.project)
        more["scores"] = await _scores(call, experiments.scores_of_item(item), score_limit)
    return ExperimentItemAnswer(
        id=item.span_id,
        trace_id=item.trace_id,
        start_time=iso(item.start_ns),
        end_time=iso_or_none(item.end_ns),
        level=level_of(item),
        environment=item.trace.environment or "default",
        experiment_id=said.id,
        experiment_name=said.name or said.id,
        experiment_item_id=said.item_id or item.span_id,
        **more,
    )


def _nothing(item: Observation, said: Experiment) -> dict[str, Any]:  # noqa: ARG001 - as those of the other groups
    return {}


def _of_dataset(item: Observation, said: Experiment) -> dict[str, Any]:  # noqa: ARG001 - as those of the other groups
    return {"experiment_dataset_id": said.dataset_id, "experiment_item_version": _time_or_none(said.item_version)}


def _io(item: Observation, said: Experiment) -> dict[str, Any]:
    return {
        "input": shown(item.input),
        "output": shown(item.output),
        "expected_output": shown(said.item_expected_output),
    }


def _metadata(item: Observation, said: Experiment) -> dict[str, Any]:  # noqa: ARG001 - as those of the other groups
    return {"metadata": members_of(item.metadata, item.trace.metadata)}


def _item_metadata(item: Observation, said: Experiment) -> dict[str, Any]:  # noqa: ARG001 - as those of the others
    return {"experiment_item_metadata": _members(said.item_metadata)}


def _experiment_metadata(item: Observation, said: Experiment) -> dict[str, Any]:  # noqa: ARG001 - as those of the others
    return {"experiment_metadata": _members(said.metadata), "experiment_description": said.description}


_PARTS: Final[dict[str, Callable[[Observation, Experiment], dict[str, Any]]]] = {
    "dataset": _of_dataset,
    "io": _io,
    "metadata": _metadata,
    "itemMetadata": _item_metadata,
    "experimentMetadata": _experiment_metadata,
}


def _members(payload: Raw) -> dict[str, Raw] | None:
    return members_of(payload) if payload else None


def _time_or_none(text: str | None) -> str | None:
    """Return a time as it is on the wire; what is none is left out, because typed clients would stumble over it."""
    if text is None:
        return None
    try:
        return iso(ns_of(text))
    except InvalidRequest:
        return None


def _groups(fields: str | None, known: Collection[str], default: Collection[str]) -> frozenset[str]:
    """Return the groups of fields that are asked for."""
    found = frozenset(listed(fields)) or frozenset(default)
    if unknown := sorted(found - set(known)):
        raise InvalidRequest(f"fields has no {unknown[0][:100]!r}; use some of {', '.join(known)}")
    return found


class _Text(Struct, tag_field="type", tag="string"):
    column: str
    operator: TextOperator
    value: str


class _Options(Struct, tag_field="type", tag="stringOptions"):
    column: str
    operator: OptionOperator
    value: tuple[str, ...]


_conditions: Final = msgspec.json.Decoder(list[_Text | _Options]).decode


def _where(text: str | None, columns: dict[str, str]) -> tuple[TextCondition, ...]:
    """Return the conditions of a filter.

    Raises:
        InvalidRequest: it is none, or names another column.
    """
    try:
        given = [] if text is None else _conditions(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        expected = "a JSON array of {type, column, operator, value}"
        raise InvalidRequest(f"filter is not {expected}: {error}") from error
    if len(given) > _MOST_CONDITIONS:
        raise InvalidRequest(f"filter has {len(given)} conditions: send at most {_MOST_CONDITIONS}")
    found: list[TextCondition] = []
    for one in given:
        if one.column not in columns:
            raise InvalidRequest(f"filter has no column {one.column[:100]!r}; use some of {', '.join(columns)}")
        values = (one.value,) if isinstance(one, _Text) else one.value
        found.append(TextCondition(columns[one.column], one.operator, values))
    return tuple(found)


def _chosen(given: dict[str, str | None], where: tuple[TextCondition, ...]) -> dict[str, Any]:
    """Return the values that parameters name; a column that a filter is on is the filter's alone."""
    filtered = {condition.column for condition in where}
    found = {f"{column}s": listed(value) for column, value in given.items() if column not in filtered}
    exact = next((one for one in where if one.column == "id" and one.operator in {"=", "any of"} and one.values), None)
    return found if exact is None else {**found, "ids": exact.values}  # so that an index is followed
