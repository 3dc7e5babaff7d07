"""Definitions of models and their prices: those of the project, and those that are shipped, which can only be read."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from msgspec import Struct

from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.api.times import iso, iso_or_none, ns_of
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.prices import STANDARD, Condition, Model, Tier, Unit

__all__ = ["operations"]

operations = Operations()

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_FLAT: Final = ("input", "output", "total")
"""Buckets that have a price of their own beside the tiers (deprecated)."""


class TierBody(Struct, frozen=True, rename="camel"):
    """Say prices, in USD per unit of each bucket, and when they hold."""

    name: str
    priority: int
    prices: dict[str, float]
    is_default: bool = False
    conditions: tuple[Condition, ...] = ()


class ModelBody(Struct, frozen=True, rename="camel"):
    """Define a model: with prices for input and output, or one for all units, or with tiers."""

    model_name: str
    match_pattern: str
    start_date: str | None = None
    """An ISO 8601 time or day."""
    unit: Unit | None = None
    input_price: float | None = None
    output_price: float | None = None
    total_price: float | None = None
    pricing_tiers: tuple[TierBody, ...] | None = None
    tokenizer_id: Literal["openai", "claude"] | None = None
    tokenizer_config: Any = None


class TierAnswer(Struct, frozen=True, rename="camel"):
    """Describe a tier."""

    id: str
    name: str
    is_default: bool
    priority: int
    conditions: list[dict[str, Any]]
    prices: dict[str, float]


class Price(Struct, frozen=True):
    """Hold USD per unit."""

    price: float


class ModelAnswer(Struct, frozen=True, rename="camel"):
    """Describe a definition as Langfuse's API does; the flat prices are those of the default tier."""

    id: str
    model_name: str
    match_pattern: str
    start_date: str | None
    input_price: float | None
    output_price: float | None
    total_price: float | None
    unit: Unit | None
    tokenizer_id: str | None
    tokenizer_config: Any
    is_langfuse_managed: bool
    """Whether it is shipped."""
    created_at: str
    prices: dict[str, Price]
    pricing_tiers: list[TierAnswer]


class ModelsAnswer(Struct, frozen=True):
    """Hold one page of definitions."""

    data: list[ModelAnswer]
    meta: PageMeta


class Deleted(Struct, frozen=True):
    """Say that it is gone."""

    message: str = "Model successfully deleted"


@operations.get("/models", permission="project:read")
async def list_models(call: Call, query: Paging) -> ModelsAnswer:
    """Return the definitions that count for the project, its own and those that are shipped, by name."""
    every = await call.state.models.every(call.project)
    page = every[query.offset : query.offset + query.limit]
    return ModelsAnswer([_answer(model) for model in page], page_meta(query, len(every)))


@operations.post("/models", permission="models:CUD")
async def create_model(call: Call, body: ModelBody) -> ModelAnswer:
    """Define a model."""
    return _answer(await call.state.models.create(call.project, _model(body), now_ns=call.now_ns))


@operations.get("/models/{model_id}", permission="project:read")
async def get_model(call: Call, model_id: str) -> ModelAnswer:
    """Return one definition."""
    return _answer(await call.state.models.get(call.project, model_id))


@operations.put("/models/{model_id}", permission="models:CUD")
async def upsert_model(call: Call, model_id: str, body: ModelBody) -> ModelAnswer:
    """Change a definition of the project, or make one of this id."""
    return _answer(await call.state.models.replace(call.project, model_id, _model(body), now_ns=call.now_ns))


@operations.delete("/models/{model_id}", permission="models:CUD")
async def delete_model(call: Call, model_id: str) -> Deleted:
    """Remove a definition of the project."""
    await call.state.models.delete(call.project, model_id)
    return Deleted()


def _model(body: ModelBody) -> Model:
    return Model(
        id="", name=body.model_name, pattern=body.match_pattern, tiers=_tiers(body), unit=body.unit or "TOKENS",
        start_ns=_start_ns(body.start_date),
        tokenizer_id=body.tokenizer_id, tokenizer_config=body.tokenizer_config,
    )  # fmt: skip


def _start_ns(given: str | None) -> int | None:
    if given is None:
        return None
    return ns_of(f"{given}T00:00:00Z" if _DAY.fullmatch(given) else given)


def _tiers(body: ModelBody) -> tuple[Tier, ...]:
    """Return the tiers that are asked for; flat prices are a tier of their own."""
    given = (body.input_price, body.output_price, body.total_price)
    flat = {bucket: price for bucket, price in zip(_FLAT, given, strict=True) if price is not None}
    if bool(flat) == bool(body.pricing_tiers):
        raise InvalidRequest("give either flat prices (inputPrice, outputPrice, totalPrice) or pricingTiers")
    if "total" in flat and len(flat) > 1:
        raise InvalidRequest("if inputPrice or outputPrice is given, totalPrice must be null")
    if flat:
        return (Tier(STANDARD, flat),)
    tiers = body.pricing_tiers or ()
    return tuple(Tier(tier.name, tier.prices, tier.is_default, tier.priority, tier.conditions) for tier in tiers)


def _answer(model: Model) -> ModelAnswer:
    default = next((tier for tier in model.tiers if tier.is_default), None)
    prices = {} if default is None else default.prices
    return ModelAnswer(
        id=model.id, model_name=model.name, match_pattern=model.pattern, start_date=iso_or_none(model.start_ns),
        input_price=prices.get("input"), output_price=prices.get("output"), total_price=prices.get("total"),
        unit=model.unit, tokenizer_id=model.tokenizer_id, tokenizer_config=model.tokenizer_config,
        is_langfuse_managed=model.is_shipped, created_at=iso(model.created_ns),
        prices={bucket: Price(price) for bucket, price in prices.items()},
        pricing_tiers=[_tier_answer(tier) for tier in model.tiers],
    )  # fmt: skip


def _tier_answer(tier: Tier) -> TierAnswer:
    conditions = [_condition(condition) for condition in tier.conditions]
    return TierAnswer(tier.id, tier.name, tier.is_default, tier.priority, conditions, tier.prices)


def _condition(condition: Condition) -> dict[str, Any]:
    if condition.source is None:
        return {
            "usageDetailPattern": condition.usage_detail_pattern, "operator": condition.operator,
            "value": condition.value, "caseSensitive": condition.case_sensitive,
        }  # fmt: skip
    return {
        "source": condition.source, "key": condition.key, "operator": condition.operator,
        "values": list(condition.values),
    }  # fmt: skip
