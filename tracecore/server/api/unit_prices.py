"""What a unit cost by the definition that priced a generation, where that still is as it was then."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tracecore.records import Generation, Observation
from tracecore.server.api.shapes import LegacyObservation, ObservationAnswer
from tracecore.server.operations import Call
from tracecore.services.costs import Pricing

__all__ = ["show_prices", "show_prices_as_text"]


async def show_prices_as_text(
    call: Call, observations: Sequence[Observation], answers: Sequence[ObservationAnswer]
) -> None:
    """Put the prices of input, output and all units into the answers, in USD, as texts."""
    pricing = await call.state.models.pricing(call.project)
    for observation, answer in zip(observations, answers, strict=True):
        for name, price in _prices(pricing, observation).items():
            setattr(answer, name, f"{Decimal(repr(price)):f}")


async def show_prices(call: Call, observations: Sequence[Observation], answers: Sequence[LegacyObservation]) -> None:
    """Put the prices of input, output and all units into the answers, in USD, as numbers."""
    pricing = await call.state.models.pricing(call.project)
    for observation, answer in zip(observations, answers, strict=True):
        for name, price in _prices(pricing, observation).items():
            setattr(answer, name, price)


def _prices(pricing: Pricing, observation: Observation) -> dict[str, float]:
    if not isinstance(observation, Generation) or observation.model is None or observation.model_id is None:
        return {}
    model = pricing.match(observation.model, observation.start_ns)
    if model is None or model.reference != observation.model_id:
        return {}
    for tier in model.tiers:
        if tier.name == observation.pricing_tier:
            named = ("input", "output", "total")
            return {f"{bucket}_price": tier.prices[bucket] for bucket in named if bucket in tier.prices}
    return {}
