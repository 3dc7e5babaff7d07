"""Laws of costs, for any usage and any prices; and patterns that are meant to do harm."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generations import at, generation, model, tier
from tracecore.errors import ConfigError
from tracecore.records import Generation
from tracecore.services.costs import Pricing
from tracecore.services.patterns import LONGEST_PATTERN, compiled, found_in
from tracecore.services.prices import Condition

SHIPPED = Pricing()
BUCKETS = [
    "input",
    "output",
    "input_cached_tokens",
    "cache_read_input_tokens",
    "output_reasoning_tokens",
    "images",
    "total",
]
USAGE = st.dictionaries(st.sampled_from(BUCKETS) | st.text(max_size=3), st.integers(0, 2**40), max_size=6)
PRICES = st.dictionaries(
    st.sampled_from([bucket for bucket in BUCKETS if bucket != "total"]),
    st.decimals(0, 10, places=12, allow_nan=False).map(float),
    min_size=1, max_size=6,
)  # fmt: skip
COSTS = st.dictionaries(st.sampled_from(BUCKETS), st.floats(0, 1e6), max_size=3)
NAMES = st.sampled_from(["gpt-4o", "gemini-2.5-pro", "claude-sonnet-4-5", "deepseek-chat", "nobody's", ""])


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    """Draw a generation: of a model that is known or not, with or without usage and a cost."""
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        fields["cost_details"] = draw(COSTS)
    if draw(st.booleans()):
        fields["total_cost"] = draw(st.none() | st.floats(0, 1e6))
    return generation(draw(NAMES | st.none()), draw(st.none() | USAGE), **fields)


@given(PRICES, USAGE)
def test_the_total_is_exactly_the_sum(prices: dict[str, float], usage: dict[str, int]) -> None:
    """The total is units times price, added up without an error; and the sum of the parts, up to their rounding."""
    priced = Pricing([model("m", "^m$", **prices)]).priced(generation("m", usage))
    if priced.total_cost is None:
        return
    details = priced.cost_details or {}
    exact = sum(Fraction(repr(price_of(prices, name))) * usage[name] for name in details)
    assert priced.total_cost == float(exact)
    assert math.isclose(priced.total_cost, math.fsum(details.values()), rel_tol=1e-14)


def price_of(prices: dict[str, float], name: str) -> float:
    """Return the price of a bucket under this name, or else under its other one."""
    other = {"input_cached_tokens": "cache_read_input_tokens", "cache_read_input_tokens": "input_cached_tokens"}
    return prices[name if name in prices else other[name]]


@given(PRICES, USAGE)
def test_known_only_if_everything_used_has_a_price(prices: dict[str, float], usage: dict[str, int]) -> None:
    """The total is known where each bucket that was used is among the parts, and the parts are all that was used."""
    priced = Pricing([model("m", "^m$", **prices)]).priced(generation("m", usage))
    used = {bucket for bucket, units in usage.items() if units and bucket != "total"}
    counted = sum(units for bucket, units in usage.items() if bucket != "total")
    whole = bool(usage) and used <= set(priced.cost_details or {}) and usage.get("total", 0) <= counted
    assert (priced.total_cost is not None) == (whole and (priced.total_cost or 0) <= 1e12)


@given(generations())
def test_pricing_again_changes_nothing(one: Generation) -> None:
    """A generation that is priced is priced: sent again, or passed on, it stays as it is."""
    once = SHIPPED.priced(one)
    assert SHIPPED.priced(once) == once


@given(generations())
def test_a_cost_that_was_given_is_never_touched(one: Generation) -> None:
    """What the caller said of cost is what is kept, whatever we think of it."""
    priced = SHIPPED.priced(one)
    if one.cost_details:
        assert priced.cost_details == one.cost_details
    if one.total_cost is not None:
        assert priced.total_cost == one.total_cost
    if one.cost_details or one.total_cost is not None:
        assert (priced.model_id, priced.pricing_tier) == (None, None)
    assert priced.usage_details == one.usage_details


@given(USAGE, st.randoms(use_true_random=False))
def test_the_order_of_buckets_means_nothing(usage: dict[str, int], random: Any) -> None:
    """The same usage in another order costs the same, to the last bit."""
    names = list(usage)
    random.shuffle(names)
    for name in ("gpt-4o", "gemini-2.5-pro"):
        one = SHIPPED.priced(generation(name, usage))
        other = SHIPPED.priced(generation(name, {bucket: usage[bucket] for bucket in names}))
        assert (one.total_cost, one.cost_details, one.pricing_tier) == (
            other.total_cost, other.cost_details, other.pricing_tier,
        )  # fmt: skip


@given(st.text(), st.integers(-(2**63), 2**63 - 1))
def test_any_name_has_an_answer(name: str, start_ns: int) -> None:
    """Whatever a client calls a model, and whenever it says that was, there is a definition or there is none."""
    SHIPPED.match(name, start_ns)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "(.*a){20}$", "(?i)^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    """Patterns that hang engines which backtrack are matched in no time."""
    began = time.process_time()
    found = compiled(pattern, key="matchPattern")
    for text in ("a" * 1000 + "!", "a" * 1000, "!" * 1000):
        found_in(found, text)
    Pricing([model("m", pattern, input=1.0)]).match("a" * 999 + "!", at("2026-11-27T00:00"))
    assert time.process_time() - began < 5  # a millisecond; the others take years


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "(",
        "[",
        "a**",
        "(?=x)",
        "(?!x)",
        "(?<=x)y",
        r"(a)\1",
        "(a{1000}){1000}",
        "x" * (LONGEST_PATTERN + 1),
        "\ud800",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """A pattern that cannot be matched safely, or is none, is refused with its name and what would do."""
    with pytest.raises(ConfigError, match=r"^matchPattern = .*: expected a (pattern of 1 to|regular expression)"):
        compiled(pattern, key="matchPattern")


def test_endless_names_are_not_kept() -> None:
    """A client that calls each of its models and buckets otherwise costs no memory, and no name stops a server."""
    large = tier("Large", 1, Condition("gt", "^input", 10**9), input=2.0)
    pricing = Pricing([model("m", "^m$", tier(input=1.0), large)])
    for number in range(10_050):
        pricing.match(f"model-{number}", 0)
        pricing.priced(generation("m", {f"input-{number}": 1, "input\ud800": 0}))
    assert len(pricing._candidates) <= 10_000
    assert pricing.priced(generation("m", {"input": 1, "input\ud800": 0})).total_cost == 1.0
