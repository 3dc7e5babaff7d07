"""Make the table of prices that is shipped, ``tracecore/services/prices.json``: ``make prices``.

The source is the package genai-prices, which collects what providers publish; it is needed here only, never where the
table is used. Of each model the table says for which names it holds, from when on, and USD per million units:

    {"version": "YYYY-MM-DD", "sources": [{"name", "version", "licence"}],
     "models": [[id, name, pattern, start or null, [[tier, more than so many input units or null, {bucket: USD},
                                                     [from, until] minutes of the day (UTC) or null,
                                                     [parameter of the model, its values] or null], …]], …]}

* The models of one family follow each other, the newest start first; families stand in the order in which the source
  tries them. Of tiers the first one is the default, the others are tried in their order.
* A name without a provider is one of those who make models (and Bedrock's, which are unmistakable); hosts of other
  people's models are asked for by their name, as in ``groq/llama-3.3-70b-versatile``: each has a price of its own.
* What usage cannot say is left out: models that are billed by the hour or the page, fees for each request. What they
  cost stays unknown. Prices for batches are left out too: nothing that is recorded says that a call was part of one.
* Prices by the time of day and by class of service (``service_tier``, ``speed``) count from the newest start of their
  family on; the source knows them for less long than they exist.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data import providers

TABLE = Path(__file__).resolve().parents[1] / "tracecore" / "services" / "prices.json"

MAKERS = {
    "openai": "openai/|azure/|openrouter/openai/",
    "anthropic": "anthropic/|openrouter/anthropic/",
    "mistral": "mistral/|mistralai/",
    "x-ai": "x-ai/|xai/|openrouter/x-ai/",
    "deepseek": "deepseek/",
    "cohere": "cohere/|cohere_chat/",
    "perplexity": "perplexity/",
    "voyageai": "voyage/|voyageai/",
    "moonshotai": "moonshot/|moonshotai/",
    "zai": "zai/|z-ai/",
    "minimax": "minimax/",
    "meta": "meta/",
    "fireworks": "fireworks/|fireworks_ai/",
    "aws": "bedrock/|bedrock/converse/|aws/",
    "google": "google/|gemini/|google_genai/|vertex_ai/|models/|publishers/google/models/|openrouter/google/",
}
"""Providers whose names stand for themselves, and what may stand before them; those are tried first that come first."""
HOSTS = {
    "azure": "azure/",
    "groq": "groq/",
    "together": "together/|together_ai/",
    "cerebras": "cerebras/",
    "zhipuai": "zhipuai/|zhipu/",
}
"""Providers whose names must have this before them."""
BUCKETS = {
    "input_mtok": ("input", 1),
    "output_mtok": ("output", 1),
    "cache_read_mtok": ("input_cached_tokens", 1),
    "cache_write_mtok": ("input_cache_creation", 1),
    "cache_write_5m_mtok": ("input_cache_creation_5m", 1),
    "cache_write_1h_mtok": ("input_cache_creation_1h", 1),
    "input_audio_mtok": ("input_audio_tokens", 1),
    "output_audio_mtok": ("output_audio_tokens", 1),
    "cache_audio_read_mtok": ("input_cached_audio_tokens", 1),
    "input_image_mtok": ("input_image_tokens", 1),
    "output_image_mtok": ("output_image_tokens", 1),
    "cache_image_read_mtok": ("input_cached_image_tokens", 1),
    "input_video_mtok": ("input_video_tokens", 1),
    "output_video_mtok": ("output_video_tokens", 1),
    "output_reasoning_mtok": ("output_reasoning_tokens", 1),
    "output_citation_mtok": ("output_citation_tokens", 1),
    "web_searches_kcount": ("web_search_requests", 1000),
}
"""The source's names of prices, the bucket of usage that each is for, and what makes it USD per million."""
FEE = "requests_kcount"
NOT_SPEECH = r"(?:-(?:preview|exp|latest|thinking|[0-9]+))*"
"""What may follow where the source excludes the speech models of a family: RE2 cannot look ahead."""

PARAMETERS = ("service_tier", "speed")
"""What a request may say besides, that makes it cost more or less, by the name that it has in the request."""

Parameter = tuple[str, list[str]]
Tiers = list[tuple[str, int | None, dict[str, float], tuple[int, int] | None, Parameter | None]]


def main() -> None:
    """Write the table; its version stays where nothing else has changed."""
    models = [model for provider, prefixes in (MAKERS | HOSTS).items() for model in models_of(provider, prefixes)]
    ids = [model[0] for model in models]
    twice = sorted({model_id for model_id in ids if ids.count(model_id) > 1})
    need(not twice, f"two definitions of one id: {twice}")
    version = datetime.now(UTC).date().isoformat()
    if TABLE.exists():
        before = json.loads(TABLE.read_text())
        version = before["version"] if before["models"] == json.loads(json.dumps(models)) else version
    about = metadata("genai-prices")
    sources = [{"name": about["Name"], "version": about["Version"], "licence": about["License-Expression"]}]
    rows = ",\n".join(json.dumps(model, separators=(",", ":")) for model in models)
    head = json.dumps({"version": version, "sources": sources})[:-1]
    TABLE.write_text(f'{head}, "models": [\n{rows}\n]}}\n')
    sys.stdout.write(f"{len(models)} definitions of {len({model[1] for model in models})} models, version {version}\n")


def models_of(provider: str, prefixes: str) -> Iterator[tuple[str, str, str, str | None, Tiers]]:
    """Yield the definitions of one provider."""
    [found] = [one for one in providers if one.id == provider]
    optional = "?" if provider in MAKERS else ""
    for model in found.models:
        pattern = f"(?i)^(?:{prefixes}){optional}(?:{expression(model.match)})$"
        name = model.id if provider in MAKERS else f"{provider}/{model.id}"
        for start, tiers in periods(model.prices, classes(model.price_variants or [])):
            model_id = f"{provider}.{slug(model.id)}" + (f".{start}" if start else "")
            yield model_id, name, pattern, start.isoformat() if start else None, tiers


def slug(name: str) -> str:
    """Return a name as it can stand in a path."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower().replace(":free", "-free")).strip("-")


def classes(variants: list[Any]) -> list[tuple[Parameter, Any]]:
    """Return the prices by class of service: those that are the same together."""
    found: list[tuple[Parameter, Any]] = []
    for variant in variants:
        [(key, value)] = variant.when.items()
        if key not in PARAMETERS or not any(vars(variant.prices).values()):
            continue
        if variant.constraint is not None and variant.constraint.start_date > datetime.now(UTC).date():
            continue
        same = next((values for (known, values), prices in found if (known, prices) == (key, variant.prices)), None)
        if same is None:
            found.append(((key, [value]), variant.prices))
        else:
            same.append(value)
    return found


def periods(prices: Any, by_class: list[tuple[Parameter, Any]]) -> list[tuple[date | None, Tiers]]:
    """Return the tiers of each period, the newest first; without those that usage cannot be priced by."""
    conditional = prices if isinstance(prices, list) else [types.ConditionalPrice(prices=prices)]
    dated: dict[date | None, Any] = {}
    hours: list[tuple[tuple[int, int], Any]] = []
    for one in conditional:
        if isinstance(one.constraint, types.TimeOfDateConstraint):
            hours.append(((minutes(one.constraint.start_time), minutes(one.constraint.end_time)), one.prices))
        else:
            dated[one.constraint.start_date if one.constraint else None] = one.prices
    newest = max(dated, key=lambda start: start or date.min)
    found = [
        (start, tiers_of(period, hours, by_class) if start == newest else tiers_of(period, [], []))
        for start, period in dated.items()
    ]
    return sorted(((start, tiers) for start, tiers in found if tiers), key=lambda one: one[0] or date.min, reverse=True)


def minutes(moment: Any) -> int:
    """Return the minute of the day."""
    return int(moment.hour * 60 + moment.minute)


def tiers_of(prices: Any, hours: list[tuple[tuple[int, int], Any]], by_class: list[tuple[Parameter, Any]]) -> Tiers:
    """Return the tiers of one period: the default, then by class of service, by size and by hour."""
    standard = amounts(prices, 0)
    if getattr(prices, FEE) is not None or not standard:
        return []
    tiers: Tiers = [("Standard", None, standard, None, None)]
    for parameter, others in by_class:
        # What a class of service has no price for costs what it costs else.
        whole = types.ModelPrice(**{**vars(prices), **{key: price for key, price in vars(others).items() if price}})
        name = parameter[1][0].capitalize()
        tiers += [(f"{name}, {large(limit)}", limit, amounts(whole, limit), None, parameter) for limit in limits(whole)]
        tiers.append((name, None, amounts(whole, 0), None, parameter))
    tiers += [(large(limit).capitalize(), limit, amounts(prices, limit), None, None) for limit in limits(prices)]
    for (begin, end), at_these in hours:
        need(not limits(prices) and not by_class, f"prices by the hour and by something else: {prices}")
        tiers.append((f"{clock(begin)} to {clock(end)} UTC", None, amounts(at_these, 0), (begin, end), None))
    need(all(tier[2].keys() == standard.keys() for tier in tiers), f"tiers for other buckets: {tiers}")
    return tiers


def limits(prices: Any) -> list[int]:
    """Return the sizes of input beyond which prices change, the largest first."""
    return sorted(
        {tier.start for price in vars(prices).values() if tiered(price) for tier in price.tiers}, reverse=True
    )


def large(limit: int) -> str:
    """Return how a tier for more input than this is called."""
    return f"more than {limit:,} input tokens"


def clock(minute: int) -> str:
    """Return a minute of the day as people write it."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def tiered(price: Any) -> bool:
    """Return whether a price depends on how many input tokens there were."""
    return isinstance(price, types.TieredPrices)


def amounts(prices: Any, limit: int) -> dict[str, float]:
    """Return USD per million of each bucket, for more input units than the limit (0: for as many as there are)."""
    found: dict[str, float] = {}
    for key, (bucket, scale) in BUCKETS.items():
        price = getattr(prices, key, None)
        if tiered(price):
            reached = [tier.price for tier in price.tiers if tier.start <= limit] if limit else []
            price = reached[-1] if reached else price.base
        if price is not None:
            amount = Decimal(price) * scale
            found[bucket] = int(amount) if amount == int(amount) else float(amount)
    return found


def expression(clause: Any) -> str:
    """Return a regular expression of RE2 for what a clause of the source matches as a whole."""
    match clause:
        case types.ClauseOr():
            found = "|".join(dict.fromkeys(expression(part) for part in clause.or_))
        case types.ClauseEquals():
            found = literal(clause.equals)
        case types.ClauseStartsWith():
            found = literal(clause.starts_with) + ".*"
        case types.ClauseEndsWith():
            found = ".*" + literal(clause.ends_with)
        case types.ClauseContains():
            found = f".*{literal(clause.contains)}.*"
        case types.ClauseRegex():
            found = unanchored(clause.regex)
        case types.ClauseAnd(and_=[types.ClauseStartsWith() as start, types.ClauseRegex() as other]):
            need("[tT][tT][sS]" in other.regex, f"something else than speech is excluded: {other}")
            found = literal(start.starts_with) + NOT_SPEECH
        case _:
            raise NotImplementedError(clause)
    return found


def unanchored(pattern: str) -> str:
    """Return a pattern that is searched for as one that matches the whole."""
    need("(?" not in pattern and "|" not in pattern, f"a pattern that cannot be made a part of another: {pattern}")
    start, end = pattern.startswith("^"), pattern.endswith("$")
    inner = pattern[start : len(pattern) - end]
    return f"{'' if start else '.*'}{inner}{'' if end else '.*'}"


def literal(text: str) -> str:
    """Return a text as a pattern."""
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", text.lower())


def need(fits: bool, otherwise: str) -> None:  # noqa: FBT001 - the assertion of this program
    """Stop where the source has something that nobody thought of yet."""
    if not fits:
        sys.exit(f"error: {otherwise}: teach requirements/prices.py what it means")


if __name__ == "__main__":
    main()
