"""Usage and cost of a model call, out of whatever convention says it.

Buckets are made disjoint, and a total is made of a cost that has none, where that is done for all:
:mod:`tracecore.services.usage` and :mod:`tracecore.services.costs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from tracecore.server.otlp.names import Genkit, Vercel, Vertex
from tracecore.server.otlp.payloads import object_in
from tracecore.server.otlp.reading import number_of
from tracecore.server.otlp.sorting import Sorted
from tracecore.services.usage import normalized_usage

__all__ = ["Cost", "Usage", "cost_of", "usage_of"]

_TOTAL: Final = "total"
_MOST_BUCKETS: Final = 200
_LONGEST: Final = 200
_LARGEST_USD: Final = 1e12
_CACHED, _WRITTEN = "input_cached_tokens", "input_cache_creation"
_SAME: Final = {
    "tokens": "total_tokens",
    "total": "total_tokens",
    "thoughts_tokens": "reasoning_tokens",
    "input_cached_tokens": "cache_read_tokens",
    "cached_tokens": "cache_read_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "prompt_details.cache_input": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "input_audio_tokens": "prompt_details.audio",
    "output_audio_tokens": "completion_details.audio",
}
"""What follows ``gen_ai.usage.`` and the like, by the name that means the same there: parts of the input or output."""
_NO_UNITS: Final = frozenset({"cost", "input_text_tokens", "output_text_tokens"})
"""What follows it that counts nothing, or what is left of others."""


class Usage(NamedTuple):
    """Hold disjoint buckets of units, and what was given where that was not the same."""

    details: dict[str, int] | None = None
    provided: dict[str, int] | None = None


class Cost(NamedTuple):
    """Hold USD by bucket, and in total."""

    details: dict[str, float] | None = None
    total: float | None = None


def usage_of(attributes: Sorted) -> Usage:
    """Return the usage of a model call; what says nothing of it stays where it is."""
    found = attributes.take("usage", _from_object)
    if found is not None:
        return found
    group = attributes.groups.get("usage.*")
    if group is not None:
        found = _from_attributes(attributes)
    return found or _from_response(attributes) or Usage()


def cost_of(attributes: Sorted) -> Cost:
    """Return what a model call is said to have cost."""
    return attributes.take("cost", _cost) or Cost()


def _from_object(value: Any) -> Usage | None:
    said = object_in(value)
    found = Usage(*normalized_usage(said)) if said else None
    return found if found is not None and found.details else None


def _from_attributes(attributes: Sorted) -> Usage | None:
    """Return what attributes with one count each say: of two with the same meaning the first holds."""
    said: dict[str, object] = {}
    group = attributes.groups["usage.*"]
    for full, name in group.items():
        number = number_of(attributes.value(full))
        if number is not None and name not in _NO_UNITS:
            said.setdefault(_SAME.get(name, name), number)
    written = _from_provider(said, object_in(attributes.value(Vercel.PROVIDER_METADATA)) or {})
    details, provided = normalized_usage(said)
    if not details:
        return None
    _split(details, written)
    attributes.members("usage.*")
    return Usage(details, provided)


def _from_response(attributes: Sorted) -> Usage | None:
    """Return what the answer of the model says, where no attribute does."""
    for key, name in ((Vertex.RESPONSE, "usage_metadata"), (Genkit.OUTPUT, "usage")):
        value = attributes.value(key)
        if isinstance(value, str) and f'"{name}"' in value:
            found = _from_object((object_in(value) or {}).get(name))
            if found is not None:
                return found
    return None


def _from_provider(said: dict[str, object], metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what the Vercel AI SDK passes on from a provider; return how long what was written is cached, by duration."""
    anthropic = _inside(_inside(metadata, "anthropic"), "usage")
    bedrock = _inside(_inside(metadata, "bedrock"), "usage")
    openai = _inside(metadata, "openai")
    added = (
        ("cache_read_tokens", anthropic.get("cache_read_input_tokens")),
        ("cache_write_tokens", anthropic.get("cache_creation_input_tokens")),
        ("cache_read_tokens", bedrock.get("cacheReadInputTokens")),
        ("cache_write_tokens", bedrock.get("cacheWriteInputTokens")),
        ("cache_read_tokens", openai.get("cachedPromptTokens")),
        ("reasoning_tokens", openai.get("reasoningTokens")),
    )
    present, _ = normalized_usage(said)
    for name, value in added:
        bucket = {"cache_read_tokens": _CACHED, "cache_write_tokens": _WRITTEN}.get(name, "output_reasoning_tokens")
        if number_of(value) and bucket not in (present or {}):
            said.setdefault(name, value)
    return _inside(anthropic, "cache_creation")


def _split(details: dict[str, int], written: Mapping[str, Any]) -> None:
    """Divide what was written to the cache by how long it is kept, if the parts fit into the whole."""
    parts = {
        f"{_WRITTEN}_{duration}": int(number_of(written.get(f"ephemeral_{duration}_input_tokens")) or 0)
        for duration in ("5m", "1h")
    }
    whole = details.get(_WRITTEN, 0)
    if 0 < sum(parts.values()) <= whole and min(parts.values()) >= 0:
        details.update({name: units for name, units in parts.items() if units})
        details[_WRITTEN] = whole - sum(parts.values())


def _inside(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _cost(value: Any) -> Cost | None:
    number = _usd(value)
    if number is not None:
        return Cost(None, number)
    said = object_in(value)
    if said is None:
        return None
    priced = {
        name[:_LONGEST]: usd for name, one in list(said.items())[:_MOST_BUCKETS] if (usd := _usd(one)) is not None
    }
    if not priced:
        return None
    total = priced.pop(_TOTAL, None)
    return Cost(priced or None, total)


def _usd(value: Any) -> float | None:
    number = number_of(value)
    return float(number) if number is not None and 0 <= number <= _LARGEST_USD else None
