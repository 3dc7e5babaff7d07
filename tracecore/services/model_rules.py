"""What a definition of a model must be to be kept; the rules for tiers are Langfuse's."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tracecore.errors import ConfigError
from tracecore.exact_json import encode
from tracecore.services.patterns import compiled
from tracecore.services.prices import Condition, Model, Tier

__all__ = ["LONGEST_NAME", "checked"]

LONGEST_NAME: Final = 200
"""Characters of the name of a model or a bucket, of an id, of a key."""
_MOST_TIERS: Final = 100
_MOST_CONDITIONS: Final = 20
_MOST_PRICES: Final = 100
_LARGEST_PRIORITY: Final = 999
_DEAREST: Final = 1e9
"""USD per unit."""
_FINEST: Final = -24
"""The exponent of the last decimal place of a price that counts."""
_LARGEST_CONFIG: Final = 1 << 14
"""Bytes of the configuration of a tokenizer, as JSON."""
_REQUEST: Final = "the request"


def checked(model: Model) -> Model:
    """Return a definition that can be kept, its tiers with ids.

    Raises:
        ConfigError: it cannot be one; says which field, and what would do.
    """
    if not 0 < len(model.name) <= LONGEST_NAME:
        raise ConfigError("modelName", model.name[:60], _REQUEST, f"1 to {LONGEST_NAME} characters")
    compiled(model.pattern, key="matchPattern")
    size = len(encode(model.tokenizer_config))
    _need(size <= _LARGEST_CONFIG, "tokenizerConfig", f"{size} bytes", f"at most {_LARGEST_CONFIG} bytes of JSON")
    _check_tiers(model.tiers)
    tiers = tuple(
        replace(tier, id=f"{model.id}_tier_{tier.priority or 'default'}", name=tier.name.strip())
        for tier in model.tiers
    )
    return replace(model, tiers=tiers, is_shipped=False, version="")


def _check_tiers(tiers: tuple[Tier, ...]) -> None:
    """Refuse what Langfuse refuses: every tier needs a name and a priority of its own, and prices for the same buckets.

    Exactly one is the default: its priority is 0 and it has no condition, and every other has one.
    """
    _need(0 < len(tiers) <= _MOST_TIERS, "pricingTiers", len(tiers), f"1 to {_MOST_TIERS} tiers")
    defaults = [tier for tier in tiers if tier.is_default]
    _need(len(defaults) == 1, "pricingTiers", len(defaults), "exactly one tier with isDefault: true")
    for what, values in (
        ("name", [tier.name.strip() for tier in tiers]), ("priority", [tier.priority for tier in tiers])
    ):  # fmt: skip
        _need(len(set(values)) == len(values), f"pricingTiers.{what}", values, "another one for every tier")
    buckets = sorted(defaults[0].prices)
    for tier in tiers:
        _check_tier(tier)
        _need(sorted(tier.prices) == buckets, f"prices of {tier.name!r}", sorted(tier.prices), f"those for {buckets}")


def _check_tier(tier: Tier) -> None:
    name = tier.name
    _need(0 < len(name.strip()) <= 100, "name of a tier", name[:60], "1 to 100 characters")  # noqa: PLR2004 - said there
    _need(0 <= tier.priority <= _LARGEST_PRIORITY, f"priority of {name!r}", tier.priority, f"0 to {_LARGEST_PRIORITY}")
    conditions = len(tier.conditions)
    if tier.is_default:
        _need(tier.priority == 0, f"priority of {name!r}", tier.priority, "0 for the default tier")
        _need(conditions == 0, f"conditions of {name!r}", conditions, "none for the default tier")
    else:
        _need(0 < conditions <= _MOST_CONDITIONS, f"conditions of {name!r}", conditions, f"1 to {_MOST_CONDITIONS}")
    _need(0 < len(tier.prices) <= _MOST_PRICES, f"prices of {name!r}", len(tier.prices), f"1 to {_MOST_PRICES}")
    for bucket, price in tier.prices.items():
        fits = 0 < len(bucket) <= LONGEST_NAME and 0 <= price <= _DEAREST
        exponent = Decimal(repr(price)).as_tuple().exponent if fits else None
        fine = isinstance(exponent, int) and exponent >= _FINEST
        _need(fine, f"price of {bucket[:60]!r}", price, f"USD per unit, 0 to {_DEAREST:g}, at most 24 decimal places")
    for condition in tier.conditions:
        _check_condition(condition)


def _check_condition(condition: Condition) -> None:
    if condition.source is None:
        compares = condition.operator != "in" and condition.value is not None and condition.value >= 0
        _need(compares, "operator", condition.operator, "gt, gte, lt, lte, eq or neq, and a value from 0 on")
        compiled(condition.usage_detail_pattern or "", key="usageDetailPattern")
        return
    _need(condition.operator == "in", "operator", condition.operator, "'in', for model_parameters and metadata")
    _need(0 < len(condition.key or "") <= LONGEST_NAME, "key", condition.key, f"1 to {LONGEST_NAME} characters")
    values = condition.values
    _need(0 < len(values) <= _MOST_PRICES and all(values), "values", len(values), f"1 to {_MOST_PRICES} texts")


def _need(fits: bool, key: str, value: object, expected: str) -> None:  # noqa: FBT001 - the assertion of this module
    if not fits:
        raise ConfigError(key, value, _REQUEST, expected)
