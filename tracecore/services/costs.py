"""What a generation cost, decided once when it is written.

* A cost that the caller gave is kept; its total is the sum of its parts where no total was given.
* Else the model's name decides the definition: those of the project come before those that are shipped, and of several
  the one with the newest start that is not after the start of the generation. Its first tier whose conditions hold says
  what each bucket costs: units times price.
* A bucket that was used and has no price makes the total unknown, never smaller: ``total_cost`` is None, and
  ``cost_details`` says what is known. So does a total of units that is larger than its buckets: nobody knows of what.
* ``model_id`` is the definition and its version (``openai-gpt-4o@2026-11-24``), ``pricing_tier`` the name of the tier.
  A generation that has a ``model_id`` is priced already and is left as it is.

Money is counted in whole numbers of a decimal fraction of a dollar, so that no sum drifts; only results are floats.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from tracecore.errors import ConfigError
from tracecore.records import Generation
from tracecore.services.patterns import LONGEST_TEXT, Pattern, PatternSet, compiled, found_in
from tracecore.services.prices import Condition, Model, Tier, price_table
from tracecore.services.usage import canonical_bucket

__all__ = ["LARGEST_USD", "Pricing"]

LARGEST_USD: Final = 1e12
"""An amount beyond is no cost, and sums of such would not be finite."""
_TOTAL: Final = "total"
_MOST_UNITS: Final = 2**63 - 1
"""Units beyond are none that a store keeps, and have no price."""
_MOST_NAMES: Final = 10_000
"""Names of models, and of buckets, that are remembered; clients may send any number of others."""
_MINUTE_NS: Final = 60_000_000_000
_MINUTES_A_DAY: Final = 24 * 60
_ALWAYS: Final = -(2**63)

_Holds: TypeAlias = Callable[[Generation, Mapping[str, int]], bool]

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip


class Pricing:
    """Price generations by the definitions of one project, and by those that are shipped."""

    def __init__(self, models: Sequence[Model] = ()) -> None:
        newest_first = sorted(models, key=lambda model: (_starts(model), model.created_ns), reverse=True)
        self._own = tuple((_pattern_of(model), _Priced(model)) for model in newest_first)
        self._candidates: dict[str, tuple[_Priced, ...]] = {}

    def priced(self, generation: Generation) -> Generation:
        """Return a generation with its cost, as far as it is known. Raises nothing; pricing again changes nothing."""
        if generation.model_id is not None:
            return generation
        if generation.cost_details or generation.total_cost is not None:
            return _with_total(generation)
        usage = generation.usage_details
        if not usage or not generation.model:
            return generation
        definition = self._definition(generation.model, generation.start_ns)
        if definition is None:
            return generation
        tier = definition.tier(generation, usage)
        details, total = tier.cost(usage)
        return replace(
            generation, cost_details=details or None, total_cost=total, model_id=definition.reference,
            pricing_tier=tier.name,
        )  # fmt: skip

    def match(self, name: str, start_ns: int) -> Model | None:
        """Return the definition that prices a model of this name at this moment, or None."""
        found = self._definition(name, start_ns)
        return None if found is None else found.model

    def _definition(self, name: str, start_ns: int) -> _Priced | None:
        candidates = self._candidates.get(name)
        if candidates is None:
            candidates = self._found(name)
            if len(self._candidates) >= _MOST_NAMES:
                self._candidates.clear()
            self._candidates[name] = candidates
        for candidate in candidates:
            if candidate.start_ns <= start_ns:
                return candidate
        return None

    def _found(self, name: str) -> tuple[_Priced, ...]:
        if len(name) > LONGEST_TEXT:
            return ()
        shipped, patterns = _shipped()
        own = (priced for pattern, priced in self._own if pattern is not None and found_in(pattern, name))
        return (*own, *(shipped[number] for number in patterns.matching(name)))


class _Priced:
    """Hold a definition made ready: conditions compiled, prices as whole numbers."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.start_ns = _starts(model)
        self.reference = model.reference
        by_priority = sorted(model.tiers, key=lambda tier: (tier.is_default, tier.priority))
        *self._conditional, self._default = (_PricedTier(tier) for tier in by_priority)

    def tier(self, generation: Generation, usage: Mapping[str, int]) -> _PricedTier:
        """Return the first tier that holds; the default one comes last."""
        for tier in self._conditional:
            if tier.holds(generation, usage):
                return tier
        return self._default


class _PricedTier:
    """Hold the prices of a tier as whole numbers of ``10 ** -digits`` USD."""

    def __init__(self, tier: Tier) -> None:
        self.name = tier.name
        self._conditions = tuple(_holding(condition) for condition in tier.conditions)
        if tier.hours is not None:
            self._conditions += (_within(*tier.hours),)
        prices = {bucket: Decimal(repr(price)) for bucket, price in tier.prices.items()}
        digits = max((-_exponent(price) for price in prices.values()), default=0)
        self._unit = 10 ** max(0, digits)
        whole = {bucket: int(price * self._unit) for bucket, price in prices.items()}
        self._prices = {**{canonical_bucket(bucket): price for bucket, price in whole.items()}, **whole}

    def holds(self, generation: Generation, usage: Mapping[str, int]) -> bool:
        """Return whether all conditions hold; without one, none does."""
        for condition in self._conditions:
            if not condition(generation, usage):
                return False
        return bool(self._conditions)

    def cost(self, usage: Mapping[str, int]) -> tuple[dict[str, float], float | None]:
        """Return USD per bucket that has a price, and in total: None if not all that was used has one."""
        prices, unit = self._prices, self._unit
        details: dict[str, float] = {}
        known, cost, counted = True, 0, 0
        for bucket, units in usage.items():
            if bucket == _TOTAL:
                continue
            counted += units
            price = prices.get(bucket)
            if price is None:
                price = prices.get(canonical_bucket(bucket))
            if price is None or not 0 <= units <= _MOST_UNITS:
                known = known and not units
            else:
                cost += units * price
                details[bucket] = units * price / unit
        total, per_unit = usage.get(_TOTAL, counted), prices.get(_TOTAL)
        if per_unit is None:
            known = known and total <= counted
        elif 0 <= total <= _MOST_UNITS:
            cost, known = total * per_unit, True
            details[_TOTAL] = cost / unit
        else:
            known = False
        usd = cost / unit
        return details, usd if known and usd <= LARGEST_USD else None


@cache
def _shipped() -> tuple[tuple[_Priced, ...], PatternSet]:
    models = price_table().models
    return tuple(_Priced(model) for model in models), PatternSet([model.pattern for model in models])


def _with_total(generation: Generation) -> Generation:
    """Return a generation whose caller gave its cost, with a total."""
    details = generation.cost_details
    if generation.total_cost is not None or not details:
        return generation
    total = details.get(_TOTAL)
    return replace(generation, total_cost=math.fsum(details.values()) if total is None else total)


def _pattern_of(model: Model) -> Pattern | None:
    """Return the pattern of a definition; one that this version cannot use (another one kept it) matches nothing."""
    try:
        return compiled(model.pattern, key="matchPattern")
    except ConfigError:
        return None


def _starts(model: Model) -> int:
    return _ALWAYS if model.start_ns is None else model.start_ns


def _exponent(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _holding(condition: Condition) -> _Holds:
    """Return a condition as a function."""
    if condition.source is not None:
        return _names(condition.source, condition.key or "", frozenset(condition.values))
    ignore_case = not condition.case_sensitive
    try:
        pattern = compiled(condition.usage_detail_pattern or "", key="usageDetailPattern", ignore_case=ignore_case)
    except ConfigError:  # another version kept it
        return _never
    return _uses(pattern, _COMPARE[condition.operator], condition.value or 0)


def _never(_: Generation, __: Mapping[str, int]) -> bool:
    return False


def _uses(pattern: Pattern, compare: Callable[[float, float], bool], value: float) -> _Holds:
    """Return whether the sum over the buckets whose names match compares so with the value."""
    matching: dict[str, bool] = {}

    def counts(bucket: str) -> bool:
        found = matching.get(bucket)
        if found is None:
            if len(matching) >= _MOST_NAMES:
                matching.clear()
            found = matching[bucket] = found_in(pattern, bucket)
        return found

    def holds(_: Generation, usage: Mapping[str, int]) -> bool:
        return compare(sum(units for bucket, units in usage.items() if counts(bucket)), value)

    return holds


def _within(begin: int, end: int) -> _Holds:
    """Return whether a generation started between two minutes of the day (UTC)."""

    def holds(generation: Generation, _: Mapping[str, int]) -> bool:
        return begin <= generation.start_ns // _MINUTE_NS % _MINUTES_A_DAY < end

    return holds


def _names(source: str, key: str, values: frozenset[str]) -> _Holds:
    """Return whether the text under a key of the model parameters, or of the metadata, is one of some."""
    spelt = key.encode("utf-8", "surrogatepass")

    def holds(generation: Generation, _: Mapping[str, int]) -> bool:
        payload = generation.metadata if source == "metadata" else generation.model_parameters
        if not payload:
            return False
        data = bytes(payload)
        # Most objects have no such key, and looking for it takes a tenth of the time that reading them takes.
        return (spelt in data or b"\\" in data) and _text_under(data, key) in values

    return holds


def _text_under(data: bytes, key: str) -> str | None:
    """Return a value of an object as text; of another payload, and of an object within, None."""
    try:
        found: Any = msgspec.json.decode(data, type=dict[str, Raw]).get(key)
        if found is None:
            return None
        value: Any = msgspec.json.decode(found)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if isinstance(value, str):
        return value
    return None if isinstance(value, dict | list) or value is None else bytes(found).decode()
