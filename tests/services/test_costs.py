"""What a generation cost: prices worked out by hand, tiers, dates, definitions of projects, and what stays unknown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from tests.generations import generation, model, tier
from tracecore.services.costs import Pricing
from tracecore.services.prices import Condition, price_table

BOTH = {"input": 1000, "output": 500}
CACHED = {**BOTH, "input_cached_tokens": 200}
CLAUDE = {**BOTH, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 100}


@pytest.mark.parametrize(
    ("name", "usage", "usd"),
    [
        ("gpt-4o", CACHED, 0.00775),  # 1000 at $2.50, 500 at $10 and 200 at $1.25 per million
        ("openai/gpt-4o", CACHED, 0.00775),
        ("GPT-4o", CACHED, 0.00775),
        ("gpt-4o-mini", CACHED, 0.000465),
        ("gpt-4.1", CACHED, 0.0061),
        ("gpt-4.1-mini-2025-04-14", CACHED, 0.00122),
        ("gpt-4.1-nano", CACHED, 0.000305),
        ("gpt-4-turbo", BOTH, 0.025),
        ("gpt-4", BOTH, 0.06),
        ("gpt-3.5-turbo", BOTH, 0.00125),
        ("gpt-5", CACHED, 0.006275),
        ("gpt-5-mini", CACHED, 0.001255),
        ("o1", CACHED, 0.0465),
        ("claude-3-5-sonnet-20241022", CLAUDE, 0.010935),  # written to the cache at $3.75, read from it at $0.30
        ("claude-3-haiku-20240307", BOTH, 0.000875),
        ("anthropic/claude-3-opus", BOTH, 0.0525),
        ("claude-sonnet-4-5-20250929", CLAUDE, 0.010935),
        ("claude-haiku-4-5", CLAUDE, 0.003645),
        ("claude-opus-4-1-20250805", BOTH, 0.0525),
        ("gemini-2.5-pro", BOTH, 0.00625),
        ("models/gemini-2.5-flash", BOTH, 0.00155),
        ("mistral-large-latest", BOTH, 0.005),
        ("grok-4", BOTH, 0.0105),
        ("command-r-plus", BOTH, 0.0075),
        ("amazon.nova-pro-v1:0", BOTH, 0.0024),
        ("text-embedding-3-small", {"input": 1000, "total": 1000}, 0.00002),
        ("text-embedding-3-large", {"input": 1000}, 0.00013),
    ],
)
def test_prices_worked_out_by_hand(name: str, usage: dict[str, int], usd: float) -> None:
    """Well-known models cost what their makers publish, by whatever name clients call them."""
    priced = Pricing().priced(generation(name, usage))
    assert priced.total_cost == usd
    assert priced.model_id is not None
    assert priced.model_id.endswith("@" + price_table().version)
    assert priced.pricing_tier == "Standard"


def test_each_bucket_has_its_cost() -> None:
    """The parts stand under the names of the buckets that were used."""
    priced = Pricing().priced(generation("gpt-4o", {"input": 1000, "output": 300, "output_reasoning_tokens": 200}))
    assert priced.cost_details == {"input": 0.0025, "output": 0.003, "output_reasoning_tokens": 0.002}


@pytest.mark.parametrize(
    ("usage", "tier_name", "usd"),
    [
        ({"input": 200_000, "output": 1000}, "Standard", 0.26),
        ({"input": 200_001, "output": 1000}, "More than 200,000 input tokens", 0.5150025),
        (
            {"input": 100_001, "input_cached_tokens": 100_000, "output": 1000},
            "More than 200,000 input tokens",
            0.2900025,
        ),
        ({"input": 1, "output": 300_000, "total": 300_001}, "Standard", 3.00000125),
    ],
)
def test_prices_by_size(usage: dict[str, int], tier_name: str, usd: float) -> None:
    """Beyond a size of the input, cached or not, every token costs more: Gemini 2.5 Pro $2.50 and $15, then $0.25."""
    priced = Pricing().priced(generation("gemini-2.5-pro", usage))
    assert (priced.pricing_tier, priced.total_cost) == (tier_name, usd)


@pytest.mark.parametrize(("when", "usd"), [("2025-06-09T23:59", 0.03), ("2025-06-10T00:00", 0.006)])
def test_prices_by_date(when: str, usd: float) -> None:
    """The start of the generation decides: o3 cost $10 and $40, and from 10 June 2025 on $2 and $8."""
    assert Pricing().priced(generation("o3", BOTH, when)).total_cost == usd


@pytest.mark.parametrize(
    ("when", "usd"), [("2026-11-27T00:29", 0.00041), ("2026-11-27T00:30", 0.00082), ("2026-11-27T16:30", 0.00041)]
)
def test_prices_by_the_hour(when: str, usd: float) -> None:
    """Some cost twice as much by day: deepseek-chat $0.135 and $0.55, from 00:30 to 16:30 UTC $0.27 and $1.10."""
    assert Pricing().priced(generation("deepseek-chat", BOTH, when)).total_cost == usd


@pytest.mark.parametrize(
    ("parameters", "tier_name", "usd"),
    [
        ({}, "Standard", 0.00625),
        ({"service_tier": "default"}, "Standard", 0.00625),
        ({"service_tier": "flex", "temperature": 1}, "Flex", 0.003125),
        ({"service_tier": "priority"}, "Priority", 0.0125),
        ({"service_tier": "fast"}, "Priority", 0.0125),
    ],
)
def test_prices_by_class_of_service(parameters: dict[str, object], tier_name: str, usd: float) -> None:
    """What a request asked for decides: GPT-5 costs half of $1.25 and $10 where it may wait, twice as much in haste."""
    priced = Pricing().priced(generation("gpt-5", BOTH, model_parameters=Raw(msgspec.json.encode(parameters))))
    assert (priced.pricing_tier, priced.total_cost) == (tier_name, usd)


@pytest.mark.parametrize(
    "name",
    [
        "no-such-model",
        "",
        "gpt-4o-but-not-really",
        "llama-3.3-70b-versatile",
        "x" * 1_000_000,
        "gpt-4o\ud800",
        "whisper-1",
    ],
)
def test_a_model_that_nobody_knows_costs_nobody_knows_what(name: str) -> None:
    """Without a definition nothing is said; nor for a name that several hosts sell at prices of their own."""
    given = generation(name, BOTH)
    assert Pricing().priced(given) is given
    assert Pricing().priced(generation(None, BOTH)).total_cost is None


def test_a_host_has_its_own_prices() -> None:
    """Who sells other people's models is named before the model."""
    assert Pricing().priced(generation("groq/llama-3.3-70b-versatile", BOTH)).total_cost == 0.000985


def test_a_bucket_without_a_price_makes_the_total_unknown() -> None:
    """What is not priced is not free: the rest is kept, the total is None; a bucket of nothing changes nothing."""
    priced = Pricing().priced(generation("gpt-4o", {**BOTH, "input_audio_tokens": 7}))
    assert (priced.total_cost, priced.cost_details) == (None, {"input": 0.0025, "output": 0.005})
    assert priced.model_id is not None
    assert Pricing().priced(generation("gpt-4o", {**BOTH, "input_audio_tokens": 0})).total_cost == 0.0075


@pytest.mark.parametrize(("total", "usd"), [(1500, 0.0075), (1400, 0.0075), (1501, None)])
def test_units_of_no_bucket_have_no_price(total: int, usd: float | None) -> None:
    """A total that is larger than what was counted hides units of which nobody knows what they were."""
    assert Pricing().priced(generation("gpt-4o", {**BOTH, "total": total})).total_cost == usd
    assert Pricing().priced(generation("gpt-4o", {"total": 5})).total_cost is None


def test_a_price_for_the_total() -> None:
    """A model may be priced by all units together, counted by the caller or by us."""
    pricing = Pricing([model("old", "^text-old$", total=0.00002)])
    for usage, details in (({**BOTH, "total": 1500}, 0.03), (BOTH, 0.03), ({"total": 10}, 0.0002)):
        priced = pricing.priced(generation("text-old", usage))
        assert (priced.total_cost, priced.cost_details) == (details, {"total": details})


@pytest.mark.parametrize("units", [-1, 2**63, 10**400])
def test_units_that_are_none_have_no_price(units: int) -> None:
    """Less than nothing, and more than a store keeps, makes the cost unknown; it breaks nothing."""
    priced = Pricing().priced(generation("gpt-4o", {"input": units, "output": 1}))
    assert (priced.total_cost, priced.cost_details) == (None, {"output": 0.00001})
    assert Pricing([model("m", "m", total=1.0)]).priced(generation("m", {"total": units})).total_cost is None


def test_an_amount_beyond_measure_is_unknown() -> None:
    """A sum that no other could be added to is no cost."""
    assert Pricing([model("m", "m", input=1e9)]).priced(generation("m", {"input": 10**6})).total_cost is None


def test_the_caller_s_cost_is_kept() -> None:
    """Who gives a cost knows better, also that something was free; a total that is missing is the sum."""
    pricing = Pricing()
    for fields in ({"total_cost": 0.0}, {"cost_details": {"input": 1.0}, "total_cost": 2.0}):
        given = generation("gpt-4o", BOTH, **fields)
        assert pricing.priced(given) is given
    parts = pricing.priced(generation("gpt-4o", BOTH, cost_details={"input": 0.1, "output": 0.2}))
    assert (parts.total_cost, parts.model_id, parts.cost_details) == (
        0.30000000000000004,
        None,
        {"input": 0.1, "output": 0.2},
    )
    whole = pricing.priced(generation("gpt-4o", BOTH, cost_details={"input": 0.1, "total": 5.0}))
    assert whole.total_cost == 5.0


def test_definitions_of_the_project_come_first() -> None:
    """A project's own definition takes the place of what is shipped for the same names, from its start on."""
    pricing = Pricing([model("mine", "(?i)^gpt-4o$", start="2026-01-01T00:00", input=1e-3, output=2e-3)])
    priced = pricing.priced(generation("GPT-4o", BOTH))
    assert (priced.total_cost, priced.model_id) == (2.0, "id-mine@1")
    assert pricing.priced(generation("gpt-4o", BOTH, "2025-12-31T23:59")).total_cost == 0.0075
    assert pricing.priced(generation("gpt-4o-mini", BOTH)).total_cost == 0.00045


def test_the_newest_start_that_has_come_counts() -> None:
    """Of several definitions the newest holds that does not lie ahead; one without a start holds before all."""
    pricing = Pricing(
        [
            model("first", "m", input=1.0),
            model("third", "m", start="2026-06-01T00:00", input=3.0),
            model("second", "m", start="2026-01-01T00:00", input=2.0),
        ]
    )
    costs = [
        pricing.priced(generation("m", {"input": 1}, when)).total_cost
        for when in ("2025-01-01T00:00", "2026-01-01T00:00", "2026-05-31T23:59", "2026-06-01T00:00")
    ]
    assert costs == [1.0, 2.0, 2.0, 3.0]


def test_prices_hold_under_every_name_of_a_bucket() -> None:
    """Whatever a client and a definition call what was read from the cache, it has that price; the same name wins."""
    pricing = Pricing([model("m", "m", input=1.0, input_cache_read=0.5)])
    assert pricing.priced(generation("m", {"input": 1, "cache_read_input_tokens": 2})).total_cost == 2.0
    both = Pricing([model("m", "m", input=1.0, input_cache_read=0.5, cache_read_input_tokens=0.25)])
    assert both.priced(generation("m", {"cache_read_input_tokens": 4, "input_cache_read": 2})).total_cost == 2.0


TIERS = (
    tier("Standard", input=1.0, output=1.0),
    tier("Both", 2, Condition("gt", "^in", 10), Condition("lte", "^OUT", 5), input=3.0, output=3.0),
    tier("Cased", 3, Condition("gte", "^OUT", 1, case_sensitive=True), input=9.0, output=9.0),
    tier(
        "Flex",
        1,
        Condition("in", source="model_parameters", key="tier", values=("flex", "2")),
        input=0.5,
        output=0.5,
    ),
    tier("Marked", 4, Condition("in", source="metadata", key="plan", values=("true",)), input=0.1, output=0.1),
)


@pytest.mark.parametrize(
    ("usage", "parameters", "metadata", "expected"),
    [
        ({"input": 1}, b"", b"", "Standard"),
        ({"input": 11}, b"", b"", "Both"),
        ({"input": 10}, b"", b"", "Standard"),
        ({"input": 5, "in": 6}, b"", b"", "Both"),
        ({"input": 11, "output": 6}, b"", b"", "Standard"),
        ({"input": 11}, b'{"tier":"flex"}', b"", "Flex"),
        ({"input": 1}, b'{"tier":2}', b"", "Flex"),
        ({"input": 1}, b'{"tier":["flex"]}', b"", "Standard"),
        ({"input": 1}, b'{"tier":null}', b"", "Standard"),
        ({"input": 1}, b'["tier"]', b"", "Standard"),
        ({"input": 1}, b"{broken", b'"text"', "Standard"),
        ({"input": 1}, b"", b'{"plan":true}', "Marked"),
        ({"input": 1}, b"", b'{"pl\\u0061n":true}', "Marked"),
        ({"input": 1}, b"", b'{"plan":"true', "Standard"),
    ],
)
def test_the_first_tier_that_holds(usage: dict[str, int], parameters: bytes, metadata: bytes, expected: str) -> None:
    """Tiers are tried by priority; all conditions of one must hold, and where none does the default one counts."""
    given = generation("m", usage, model_parameters=Raw(parameters), metadata=Raw(metadata))
    assert Pricing([model("m", "m", *TIERS)]).priced(given).pricing_tier == expected


def test_what_another_version_kept_breaks_nothing() -> None:
    """A definition with a pattern that this program cannot use matches nothing, and the others go on."""
    broken = tier("Broken", 1, Condition("gt", "(?=x)", 0), input=7.0)
    pricing = Pricing([model("a", "(?<!x)m", input=9.0), model("b", "m", tier(input=1.0), broken)])
    assert pricing.priced(generation("m", {"input": 1})).total_cost == 1.0


def test_every_definition_is_found_by_its_name() -> None:
    """What makers call their models finds these models; a few names are only the family's."""
    makers = ("openai.", "anthropic.", "mistral.", "x-ai.", "deepseek.", "cohere.", "moonshotai.", "zai.", "voyageai.")
    own = [one for one in price_table().models if one.id.startswith(makers)]
    pricing = Pricing()
    lost = {one.name for one in own if (found := pricing.match(one.name, 2**62)) is None or found.name != one.name}
    assert len(own) > 250
    assert len(lost) < 10, lost
    assert len({one.id for one in price_table().models}) == len(price_table().models)


def test_the_table_is_whole() -> None:
    """Every definition has one default tier, tiers with the same buckets, and prices that can be."""
    for one in price_table().models:
        default, *rest = one.tiers
        assert default.is_default
        assert not any(other.is_default for other in rest)
        for each in one.tiers:
            assert each.prices.keys() == default.prices.keys()
            assert all(0 <= price < 1 for price in each.prices.values()), one
            assert each.is_default or each.conditions or each.hours


def test_the_readme_counts_the_models() -> None:
    """The README says how many models have a price."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert f"Prices of {len({one.name for one in price_table().models})} models come with it" in readme
