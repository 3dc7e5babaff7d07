"""Scores that come over the wire: checked, completed and made records.

Source: Langfuse's public API (``POST /scores``, and ``score-create`` of the older ingestion). A score judges exactly
one subject: a trace, or one observation of it, a session, or an experiment (``datasetRunId`` on the wire). Its type is
that of the config it names, else the one it says, else what its value looks like: a number is NUMERIC, a text
CATEGORICAL, a truth value BOOLEAN. A correction is of a trace or an observation, and always named ``output``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NoReturn, TypeAlias
from uuid import uuid4

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from tracecore.attributes import environment_of
from tracecore.backend import ScoreQuery, ScoreStore
from tracecore.conditions import MOST_VALUES
from tracecore.errors import ConfigError, NotFound, TracecoreError
from tracecore.records import ABSENT, Score, ScoreType
from tracecore.services.moments import ns_of_moment
from tracecore.services.score_configs import ScoreConfig, ScoreConfigs
from tracecore.services.stores import walked

__all__ = ["CORRECTED", "DEFAULT_ENVIRONMENT", "Checked", "NewScore", "Scores", "Source", "check_id"]

Source: TypeAlias = Literal["API", "EVAL", "ANNOTATION"]
CORRECTED: Final = "output"
"""The name of every correction."""
DEFAULT_ENVIRONMENT: Final = "default"
"""The environment of a score that names none, or one that cannot be."""
_REQUEST: Final = "the request"
_LONGEST_ID_BYTES: Final = 800
"""What an index of every store holds, three times over."""
_LONGEST_NAME: Final = 500
_LONGEST_CATEGORY: Final = 10_000
_LONGEST_TEXT: Final = 500


class NewScore(Struct, frozen=True, kw_only=True, rename="camel"):
    """Say what a client says of a score; null and what is not there are the same."""

    name: str
    value: float | bool | str
    id: str | None = None
    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None
    dataset_run_id: str | None = None
    data_type: ScoreType | None = None
    source: Source | None = None
    comment: str | None = None
    metadata: Raw | UnsetType = UNSET
    environment: str | None = None
    config_id: str | None = None
    queue_id: str | None = None
    timestamp: datetime | None = None
    execution_trace_id: str | None = None


class Checked(Struct, frozen=True):
    """Hold what was made of some scores."""

    found: list[Score | TracecoreError]
    """The record of each, or why it cannot be one, in their order."""
    replaced: tuple[str, ...]
    """Ids of scores that are stored with another type, and have to be erased first.

    A record adds to what is stored, and the type of a number is what a record has that says nothing.
    """


class Scores:
    """Make records of scores, checked against the configs of their project."""

    def __init__(self, configs: ScoreConfigs, store: ScoreStore) -> None:
        self._configs = configs
        self._store = store

    async def checked(self, project: str, given: Sequence[NewScore], *, now_ns: int) -> Checked:
        """Return what becomes of scores; one that is stored keeps its time and environment unless others are given."""
        configs = await self._configs.some(project, [one.config_id for one in given if one.config_id])
        stored = await self._stored(project, [one.id for one in given if one.id])
        found = [_score_or_error(project, one, configs, stored.get(one.id or ""), now_ns) for one in given]
        kept = [one for one in found if isinstance(one, Score)]
        replaced = {
            one.score_id for one in kept if (other := stored.get(one.score_id)) and other.data_type != one.data_type
        }
        return Checked(found, tuple(replaced))

    async def _stored(self, project: str, score_ids: Sequence[str]) -> dict[str, Score]:
        ids = list(dict.fromkeys(score_ids))
        found: dict[str, Score] = {}
        for start in range(0, len(ids), MOST_VALUES):
            some = tuple(ids[start : start + MOST_VALUES])
            async for score in walked(self._store.find, project, ScoreQuery(score_ids=some, limit=MOST_VALUES)):
                found[score.score_id] = replace(score, comment=None, metadata=ABSENT)  # which may be long
        return found


def check_id(key: str, value: str) -> str:
    """Return an id that can be one.

    Raises:
        ConfigError: it is empty or too long.
    """
    fits = 0 < len(value.encode("utf-8", "surrogatepass")) <= _LONGEST_ID_BYTES
    return value if fits else _refuse(key, value[:60], f"1 to {_LONGEST_ID_BYTES} bytes")


def _score_or_error(
    project: str, given: NewScore, configs: dict[str, ScoreConfig], stored: Score | None, now_ns: int
) -> Score | TracecoreError:
    try:
        score = _score(project, given, _config_of(given, configs), now_ns)
        return score if stored is None else _at_its_place(score, stored, given)
    except TracecoreError as error:
        return error


def _config_of(given: NewScore, configs: dict[str, ScoreConfig]) -> ScoreConfig | None:
    if not given.config_id:
        return None
    config = configs.get(given.config_id)
    if config is None:
        raise NotFound("score config", given.config_id)
    if config.is_archived:
        _refuse("configId", given.config_id, "a config that is not archived")
    if given.name != config.name:
        _refuse("name", given.name[:200], f"{config.name!r}, the name of the config")
    if given.data_type not in {None, config.data_type}:
        _refuse("dataType", given.data_type, f"{config.data_type}, the type of the config")
    return config


def _score(project: str, given: NewScore, config: ScoreConfig | None, now_ns: int) -> Score:
    data_type = config.data_type if config else given.data_type or _inferred(given.value)
    value, text = _value(data_type, given.value)
    if config is not None:
        _check_against(config, value, text)
    _check_subject(given)
    if data_type == "CORRECTION" and not given.trace_id:
        _refuse("traceId", given.trace_id, "a trace: a correction is of a trace or an observation")
    source = given.source or "API"
    if source == "ANNOTATION" and config is None and data_type != "CORRECTION":
        _refuse("configId", given.config_id, "the id of a config: source is ANNOTATION")
    name = CORRECTED if data_type == "CORRECTION" else given.name
    if not 0 < len(name) <= _LONGEST_NAME:
        _refuse("name", name[:60], f"1 to {_LONGEST_NAME} characters")
    return Score(
        project=project,
        score_id=check_id("id", given.id) if given.id else str(uuid4()),
        name=name,
        timestamp_ns=now_ns if given.timestamp is None else ns_of_moment(given.timestamp),
        data_type=data_type,
        value=value,
        string_value=text,
        source=source,
        trace_id=_id_or_none("traceId", given.trace_id),
        observation_id=_id_or_none("observationId", given.observation_id),
        session_id=_id_or_none("sessionId", given.session_id),
        experiment_id=_id_or_none("datasetRunId", given.dataset_run_id),
        comment=given.comment,
        metadata=ABSENT if given.metadata is UNSET or bytes(given.metadata) == b"null" else given.metadata,
        config_id=_id_or_none("configId", given.config_id),
        environment=environment_of(given.environment) or DEFAULT_ENVIRONMENT,
        queue_id=_id_or_none("queueId", given.queue_id),
        execution_trace_id=_id_or_none("executionTraceId", given.execution_trace_id),
    )


def _at_its_place(score: Score, stored: Score, given: NewScore) -> Score:
    return replace(
        score,
        timestamp_ns=score.timestamp_ns if given.timestamp else stored.timestamp_ns,
        environment=score.environment if given.environment else stored.environment or DEFAULT_ENVIRONMENT,
    )


def _inferred(value: float | bool | str) -> ScoreType:  # noqa: FBT001 - the value of a BOOLEAN score
    return "CATEGORICAL" if isinstance(value, str) else "BOOLEAN" if isinstance(value, bool) else "NUMERIC"


def _value(data_type: ScoreType, value: float | bool | str) -> tuple[float | None, str | None]:  # noqa: FBT001 - as above
    """Return the number and the text that a value of a type is; one of them is None."""
    if data_type in {"NUMERIC", "BOOLEAN"}:
        if isinstance(value, str) or (data_type == "NUMERIC" and isinstance(value, bool)):
            _refuse("value", value[:60] if isinstance(value, str) else value, f"a number: dataType is {data_type}")
        if data_type == "BOOLEAN" and value not in {0, 1}:
            _refuse("value", value, "0 or 1: dataType is BOOLEAN")
        if not math.isfinite(value):
            _refuse("value", value, "a finite number")
        return float(value), None
    if not isinstance(value, str):
        _refuse("value", value, f"a text: dataType is {data_type}")
    if data_type == "TEXT" and not 0 < len(value) <= _LONGEST_TEXT:
        _refuse("value", value[:60], f"1 to {_LONGEST_TEXT} characters: dataType is TEXT")
    if data_type == "CATEGORICAL" and len(value) > _LONGEST_CATEGORY:
        _refuse("value", value[:60], f"at most {_LONGEST_CATEGORY} characters: dataType is CATEGORICAL")
    return None, value


def _check_against(config: ScoreConfig, value: float | None, text: str | None) -> None:
    if value is not None:
        if config.min_value is not None and value < config.min_value:
            _refuse("value", value, f"at least {config.min_value}, by the config")
        if config.max_value is not None and value > config.max_value:
            _refuse("value", value, f"at most {config.max_value}, by the config")
    elif config.data_type == "CATEGORICAL":
        labels = [category.label for category in config.categories or ()]
        if text not in labels:
            _refuse("value", text, f"a category of the config: {', '.join(labels)[:500]}")


def _check_subject(given: NewScore) -> None:
    subjects = [given.trace_id, given.session_id, given.dataset_run_id]
    if sum(map(bool, subjects)) != 1:
        _refuse("subject", subjects, "exactly one of traceId, sessionId and datasetRunId")
    if given.observation_id and not given.trace_id:
        _refuse("observationId", given.observation_id[:60], "a traceId beside it")


def _id_or_none(key: str, value: str | None) -> str | None:
    return check_id(key, value) if value else None


def _refuse(key: str, value: object, expected: str) -> NoReturn:
    raise ConfigError(key, value, _REQUEST, expected)
