"""Generations and definitions of models for tests of what they cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tracecore.records import Generation
from tracecore.services.prices import Condition, Model, Tier

NOON = "2026-11-27T12:00"


def at(moment: str) -> int:
    """Return a time in UTC as ns since the epoch."""
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 10**9


def generation(model: str | None, usage: dict[str, int] | None, when: str = NOON, **fields: Any) -> Generation:
    """Return a generation of this model that used so much."""
    return Generation(
        project="p", trace_id="1" * 32, span_id="2" * 16, name="call", type="generation", start_ns=at(when),
        model=model, usage_details=usage, **fields,
    )  # fmt: skip


def tier(name: str = "Standard", priority: int = 0, *conditions: Condition, **prices: float) -> Tier:
    """Return a tier: the default one if it has no priority."""
    return Tier(name, prices, not priority, priority, conditions)


def model(name: str, pattern: str, *tiers: Tier, start: str | None = None, **prices: float) -> Model:
    """Return a definition, with one tier of these prices unless some are given."""
    return Model(
        id=f"id-{name}", name=name, pattern=pattern, tiers=tiers or (tier(**prices),), version="1",
        start_ns=None if start is None else at(start),
    )  # fmt: skip
