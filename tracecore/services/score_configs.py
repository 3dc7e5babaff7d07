"""Score configs: what a score of some name may be; a score that names one is checked against it.

The type of a config never changes, because scores that were given by it would not fit any more; its name, range,
categories and description do, for scores to come. Source: Langfuse's public API (``score-configs``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogQuery, CatalogStore, Entry, Put
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind, numbered_page

__all__ = ["Category", "ConfigType", "ScoreConfig", "ScoreConfigs"]

ConfigType: TypeAlias = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT"]
_REQUEST: Final = "the request"
_LONGEST_NAME: Final = 200
_LONGEST_LABEL: Final = 500
_MOST_CATEGORIES: Final = 1000


class Category(Struct, frozen=True):
    """Name one value of a categorical score."""

    label: str
    value: float


_TRUTH: Final = (Category("True", 1), Category("False", 0))
"""The categories of every BOOLEAN config."""


class ScoreConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe what a score may be; a bound that is None is none."""

    id: str = ""
    name: str
    data_type: ConfigType
    min_value: float | None = None
    max_value: float | None = None
    categories: tuple[Category, ...] | None = None
    description: str | None = None
    is_archived: bool = False
    """No new score may name it."""
    created_ns: int = 0
    updated_ns: int = 0


_KIND: Final = Kind("score_config", ScoreConfig)


class ScoreConfigs:
    """Keep the score configs of projects."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog

    async def create(self, project: str, config: ScoreConfig, *, now_ns: int) -> ScoreConfig:
        """Keep a new config under a new id.

        Raises:
            ConfigError: it cannot be one; says which field, and what would do.
        """
        if config.data_type == "BOOLEAN":
            _need(
                config.categories is None, "categories", config.categories, "none: those of BOOLEAN are True and False"
            )
            config = replace(config, categories=_TRUTH)
        made = replace(_checked(config), id=str(uuid4()), created_ns=now_ns, updated_ns=now_ns)
        await self._catalog.commit([Put(_entry(project, made), 0)])
        return made

    async def get(self, project: str, config_id: str) -> ScoreConfig:
        """Return a config.

        Raises:
            NotFound: the project has none of this id.
        """
        return _KIND.of(await self._entry(project, config_id))

    async def some(self, project: str, config_ids: Sequence[str]) -> dict[str, ScoreConfig]:
        """Return those of the configs that there are, by id."""
        found: dict[str, ScoreConfig] = {}
        for config_id in dict.fromkeys(config_ids):
            entry = await self._catalog.get(project, _KIND.name, config_id)
            if entry is not None:
                found[config_id] = _KIND.of(entry)
        return found

    async def page(self, project: str, *, limit: int, offset: int) -> tuple[list[ScoreConfig], int]:
        """Return some configs, the newest first, and how many there are."""
        page = await numbered_page(self._catalog, project, CatalogQuery(kind=_KIND.name, limit=limit, offset=offset))
        return [_KIND.of(entry) for entry in page.items], page.total

    async def update(self, project: str, config_id: str, changes: Mapping[str, Any], *, now_ns: int) -> ScoreConfig:
        """Change fields of a config, by their names; changes that happen at once all count.

        Raises:
            ConfigError: the result cannot be a config.
            NotFound: the project has none of this id.
        """
        while True:
            entry = await self._entry(project, config_id)
            config = _checked(replace(_KIND.of(entry), **changes, updated_ns=now_ns))
            try:
                await self._catalog.commit([Put(_entry(project, config), entry.revision)])
            except Conflict:
                continue  # somebody changed it since it was read: this change is made to the result
            return config

    async def _entry(self, project: str, config_id: str) -> Entry:
        entry = await self._catalog.get(project, _KIND.name, config_id)
        if entry is None:
            raise NotFound("score config", config_id)
        return entry


def _entry(project: str, config: ScoreConfig) -> Entry:
    return Entry(
        project=project, kind=_KIND.name, id=config.id, body=_KIND.body(config), position=config.created_ns
    )  # fmt: skip


def _checked(config: ScoreConfig) -> ScoreConfig:
    _need(0 < len(config.name) <= _LONGEST_NAME, "name", config.name[:60], f"1 to {_LONGEST_NAME} characters")
    if config.data_type == "NUMERIC":
        _check_range(config)
    else:
        _need(config.min_value is None, "minValue", config.min_value, f"none for {config.data_type}")
        _need(config.max_value is None, "maxValue", config.max_value, f"none for {config.data_type}")
    if config.data_type == "CATEGORICAL":
        _check_categories(config.categories or ())
    else:
        expected = _TRUTH if config.data_type == "BOOLEAN" else None
        words = "True and False" if expected else "none"
        _need(config.categories == expected, "categories", config.categories, f"{words} for {config.data_type}")
    return config


def _check_range(config: ScoreConfig) -> None:
    lowest, highest = config.min_value, config.max_value
    if lowest is not None and highest is not None:
        _need(lowest < highest, "maxValue", highest, f"more than minValue = {lowest}")


def _check_categories(categories: tuple[Category, ...]) -> None:
    count = len(categories)
    _need(0 < count <= _MOST_CATEGORIES, "categories", count, f"1 to {_MOST_CATEGORIES} categories")
    labels = [category.label for category in categories]
    values = [category.value for category in categories]
    for label in labels:
        _need(0 < len(label) <= _LONGEST_LABEL, "label", label[:60], f"1 to {_LONGEST_LABEL} characters")
    _need(len(set(labels)) == count, "categories", _repeated(labels), "another label for every category")
    _need(len(set(values)) == count, "categories", _repeated(values), "another value for every category")


def _repeated(values: Sequence[str] | Sequence[float]) -> object:
    return next((value for number, value in enumerate(values) if value in values[:number]), None)


def _need(fits: bool, key: str, value: object, expected: str) -> None:  # noqa: FBT001 - the assertion of this module
    if not fits:
        raise ConfigError(key, value, _REQUEST, expected)
