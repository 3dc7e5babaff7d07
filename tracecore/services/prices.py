"""What models cost: definitions of models with their prices, and the table of them that is shipped.

A definition says for which names it holds (a pattern), from when on, and what a unit of each bucket of usage costs; it
is Langfuse's. Where the price depends on how much was used, or how a model was asked, there are several tiers. The
table is ``prices.json``, made by ``make prices`` (requirements/prices.py, which documents the format) and read when a
server first needs it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = ["Condition", "Model", "PriceTable", "Tier", "Unit", "price_table"]

Unit: TypeAlias = Literal["TOKENS", "CHARACTERS", "MILLISECONDS", "SECONDS", "IMAGES", "REQUESTS"]

STANDARD: Final = "Standard"
"""The name of the only tier of most models."""


class Condition(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """State when a tier holds: what was used, or a parameter of the model or a name in the metadata, is such.

    With ``usage_detail_pattern`` the sum of all buckets whose name it matches is compared with ``value``. With
    ``source`` the text under ``key`` of the model parameters or the metadata must be one of ``values``.
    """

    operator: Literal["gt", "gte", "lt", "lte", "eq", "neq", "in"]
    usage_detail_pattern: str | None = None
    value: float | None = None
    case_sensitive: bool = False
    source: Literal["model_parameters", "metadata"] | None = None
    key: str | None = None
    values: tuple[str, ...] = ()


class Tier(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """State prices, in USD per unit of a bucket, and the conditions under which they hold (all of them).

    Tiers are tried by priority, the lowest first; the default tier, which has no condition, holds where none does.
    """

    name: str
    prices: dict[str, float]
    is_default: bool = True
    priority: int = 0
    conditions: tuple[Condition, ...] = ()
    id: str = ""
    hours: tuple[int, int] | None = None
    """Minutes of the day (UTC) from which on and until when it holds besides; of tiers that are shipped only."""


class Model(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Define a model: for which names, from when on, at which prices."""

    id: str
    name: str
    pattern: str
    """A regular expression in the syntax of RE2 that a model's name must match somewhere."""
    tiers: tuple[Tier, ...]
    start_ns: int | None = None
    """From when on it holds, by the start of a generation; None: always, where no later one does."""
    unit: Unit | None = "TOKENS"
    tokenizer_id: str | None = None
    tokenizer_config: Any = None
    created_ns: int = 0
    version: str = ""
    """Which state of the definition this is: the version of the table, or how often a project changed it."""
    is_shipped: bool = False

    @property
    def reference(self) -> str:
        """Return what is stored with a cost: the definition that made it, in the state that it had."""
        return f"{self.id}@{self.version}"


class PriceTable(Struct, frozen=True):
    """Hold the definitions that are shipped, those of one family one after the other and the newest first."""

    version: str
    models: tuple[Model, ...]

    def get(self, model_id: str) -> Model | None:
        """Return the definition of an id, or None."""
        return _by_id().get(model_id)


_WrittenTier: TypeAlias = tuple[
    str, int | None, dict[str, Decimal], tuple[int, int] | None, tuple[str, tuple[str, ...]] | None
]


class _Written(Struct, frozen=True):
    """The file; requirements/prices.py says what is what."""

    version: str
    sources: list[dict[str, str]]
    models: list[tuple[str, str, str, str | None, list[_WrittenTier]]]


@cache
def price_table() -> PriceTable:
    """Return the table that is shipped; it is read once."""
    written = msgspec.json.decode(files("tracecore.services").joinpath("prices.json").read_bytes(), type=_Written)
    made_ns = _ns_of(written.version)
    models = tuple(
        Model(
            id=model_id, name=name, pattern=pattern, start_ns=None if start is None else _ns_of(start),
            tiers=tuple(_tier(model_id, number, tier) for number, tier in enumerate(tiers)),
            created_ns=made_ns, version=written.version, is_shipped=True,
        )
        for model_id, name, pattern, start, tiers in written.models
    )  # fmt: skip
    return PriceTable(written.version, models)


@cache
def _by_id() -> dict[str, Model]:
    return {model.id: model for model in price_table().models}


def _tier(model_id: str, number: int, written: _WrittenTier) -> Tier:
    name, limit, per_million, hours, parameter = written
    conditions: tuple[Condition, ...] = () if limit is None else (Condition("gt", "input", limit),)
    if parameter is not None:
        key, values = parameter
        conditions += (Condition("in", source="model_parameters", key=key, values=values),)
    prices = {bucket: float(price.scaleb(-6)) for bucket, price in _with_parts(per_million).items()}
    return Tier(name, prices, not number, number, conditions, f"{model_id}_tier_{number or 'default'}", hours)


def _with_parts(prices: dict[str, Decimal]) -> dict[str, Decimal]:
    """Return prices with those of the parts that every provider charges like the whole, unless it says otherwise."""
    parts = {part: prices[whole] for part, whole in _CHARGED_AS.items() if whole in prices}
    return {**parts, **prices}


_CHARGED_AS: Final = {
    "output_reasoning_tokens": "output",
    "output_accepted_prediction_tokens": "output",
    "output_rejected_prediction_tokens": "output",
    "input_tool_use_tokens": "input",
    "input_cache_creation_5m": "input_cache_creation",
}
"""Parts that are billed at the price of the bucket beside them."""


def _ns_of(day: str) -> int:
    """Return the nanosecond at which a day (YYYY-MM-DD, UTC) begins."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 10**9
