"""Scores as Langfuse's older operations show them, in lists and as part of a trace.

``value`` is a number and ``stringValue`` a text: a truth value is both, and a category has the number that its config
gives it, 0 without one.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from tracecore.records import Score, ScoreType
from tracecore.server.api.payloads import members_of
from tracecore.server.api.times import iso
from tracecore.services.score_configs import ScoreConfig
from tracecore.services.scores import DEFAULT_ENVIRONMENT, Source

__all__ = ["LegacyScoreAnswer", "TraceOfScore", "legacy_score"]


class TraceOfScore(Struct, frozen=True, kw_only=True, rename="camel"):
    """Show something of the trace of a score."""

    user_id: str | None
    tags: tuple[str, ...]
    environment: str
    session_id: str | None


class LegacyScoreAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Show a score."""

    id: str
    project_id: str
    trace_id: str | None
    session_id: str | None
    observation_id: str | None
    dataset_run_id: str | None
    name: str
    value: float | None
    string_value: str | None
    data_type: ScoreType
    source: Source
    comment: str | None
    metadata: dict[str, Any]
    author_user_id: str | None
    config_id: str | None
    queue_id: str | None
    execution_trace_id: str | None
    environment: str
    timestamp: str
    created_at: str
    updated_at: str
    trace: TraceOfScore | UnsetType | None = UNSET


def legacy_score(score: Score, config: ScoreConfig | None = None) -> LegacyScoreAnswer:
    """Return a score as the older operations show it; its config says which number a category is."""
    moment = iso(score.timestamp_ns)
    value, text = _values(score, config)
    return LegacyScoreAnswer(
        id=score.score_id,
        project_id=score.project,
        trace_id=score.trace_id,
        session_id=score.session_id,
        observation_id=score.observation_id,
        dataset_run_id=score.experiment_id,
        name=score.name,
        value=value,
        string_value=text,
        data_type=score.data_type,
        source=score.source,
        comment=score.comment,
        metadata=members_of(score.metadata),
        author_user_id=score.author_user_id,
        config_id=score.config_id,
        queue_id=score.queue_id,
        execution_trace_id=score.execution_trace_id,
        environment=score.environment or DEFAULT_ENVIRONMENT,
        timestamp=moment,
        created_at=moment,
        updated_at=moment,
    )


def _values(score: Score, config: ScoreConfig | None) -> tuple[float | None, str | None]:
    if score.data_type == "BOOLEAN":
        return score.value, "True" if score.value else "False"
    if score.data_type == "NUMERIC":
        return score.value, None
    if score.data_type == "TEXT":
        return None, score.string_value
    numbers = {category.label: category.value for category in (config.categories if config else None) or ()}
    return numbers.get(score.string_value or "", 0.0), score.string_value or ""
