"""Score configs (``/score-configs``)."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.api.times import iso
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.score_configs import Category, ConfigType, ScoreConfig, ScoreConfigs

__all__ = ["operations"]

operations = Operations()


class NewScoreConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    """Describe a config to make."""

    name: str
    data_type: ConfigType
    categories: tuple[Category, ...] | None = None
    min_value: float | None = None
    max_value: float | None = None
    description: str | None = None


class ScoreConfigChanges(Struct, frozen=True, kw_only=True, rename="camel"):
    """Say what changes of a config; what is null is taken away, where that can be."""

    is_archived: bool | UnsetType = UNSET
    name: str | UnsetType = UNSET
    categories: tuple[Category, ...] | UnsetType | None = UNSET
    min_value: float | UnsetType | None = UNSET
    max_value: float | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET


class ScoreConfigAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Show a config."""

    id: str
    name: str
    project_id: str
    data_type: ConfigType
    is_archived: bool
    min_value: float | None
    max_value: float | None
    categories: tuple[Category, ...] | None
    description: str | None
    created_at: str
    updated_at: str


class ScoreConfigsAnswer(Struct, frozen=True):
    """Hold a page of configs."""

    data: list[ScoreConfigAnswer]
    meta: PageMeta


@operations.post("/score-configs", permission="scoreConfigs:CUD")
async def create_score_config(call: Call, body: NewScoreConfig) -> ScoreConfigAnswer:
    """Make a config, and return it with its id."""
    config = ScoreConfig(**asdict(body))
    return _answer(call.project, await ScoreConfigs(call.catalog).create(call.project, config, now_ns=call.now_ns))


@operations.get("/score-configs", permission="scoreConfigs:read")
async def list_score_configs(call: Call, query: Paging) -> ScoreConfigsAnswer:
    """Return configs, the newest first."""
    found, total = await ScoreConfigs(call.catalog).page(call.project, limit=query.limit, offset=query.offset)
    return ScoreConfigsAnswer([_answer(call.project, config) for config in found], page_meta(query, total))


@operations.get("/score-configs/{config_id:path}", permission="scoreConfigs:read")
async def get_score_config(call: Call, config_id: str) -> ScoreConfigAnswer:
    """Return one config."""
    return _answer(call.project, await ScoreConfigs(call.catalog).get(call.project, config_id))


@operations.patch("/score-configs/{config_id:path}", permission="scoreConfigs:CUD")
async def update_score_config(call: Call, config_id: str, body: ScoreConfigChanges) -> ScoreConfigAnswer:
    """Change a config; one that is archived stays for the scores that name it."""
    changes: dict[str, Any] = {name: value for name, value in asdict(body).items() if value is not UNSET}
    if not changes:
        raise InvalidRequest("the body changes nothing; name at least one field of a score config")
    config = await ScoreConfigs(call.catalog).update(call.project, config_id, changes, now_ns=call.now_ns)
    return _answer(call.project, config)


def _answer(project: str, config: ScoreConfig) -> ScoreConfigAnswer:
    return ScoreConfigAnswer(
        id=config.id,
        name=config.name,
        project_id=project,
        data_type=config.data_type,
        is_archived=config.is_archived,
        min_value=config.min_value,
        max_value=config.max_value,
        categories=config.categories,
        description=config.description,
        created_at=iso(config.created_ns),
        updated_at=iso(config.updated_ns),
    )
