"""Usage and cost of a model call, out of whatever convention says it.

Buckets are made disjoint, and a total is made of a cost that has none, where that is done for all:
:mod:`tracecore.services.usage` and :mod:`tracecore.services.costs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta, Struct

from tracecore.server.otlp.names import Genkit, Vercel, Vertex
from tracecore.server.otlp.payloads import object_in, payload_of, text_of
from tracecore.server.otlp.reading import number_of, whole_of
from tracecore.server.otlp.sorting import Sorted
from tracecore.services.usage import normalized_usage

__all__ = ["fill_usage"]

_TOTAL: Final = "total"
_MOST_BUCKETS: Final = 200
_LONGEST: Final = 200
_LARGEST_USD: Final = 1e12
_CACHED, _WRITTEN, _REASONING = "input_cached_tokens", "input_cache_creation", "output_reasoning_tokens"
_PLAIN: Final = frozenset({"input", "output", "total"})
_TOKENS: Final = frozenset({"input_tokens", "output_tokens", "total_tokens"})
"""What most model calls have, and nothing else: it need not be looked at closely."""
_MANY: Final = 2**63
_counts: Final = msgspec.json.Decoder(dict[str, Annotated[int, Meta(ge=0, le=2**63 - 1)]]).decode
_SAME: Final = {
    "tokens": "total_tokens",
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


class Usage(Struct, frozen=True, gc=False):
    """Hold disjoint buckets of units, and what was given where that was not the same."""

    details: dict[str, int] | None = None
    provided: dict[str, int] | None = None


class Cost(Struct, frozen=True, gc=False):
    """Hold USD by bucket, and in total."""

    details: dict[str, float] | None = None
    total: float | None = None


def fill_usage(fields: dict[str, Any], attributes: Sorted) -> None:
    """Fill in what a model call used and cost, and what else is said of it in other ways than most."""
    found = attributes.take("usage", _from_object) if attributes.has("usage") else None
    if found is None and "usage.*" in attributes.groups:
        found = _from_attributes(attributes)
    if found is None:
        found = _from_response(attributes)
    if found is not None:
        fields["usage_details"], fields["provided_usage_details"] = found.details, found.provided
    if attributes.has("cost") and (cost := attributes.take("cost", _cost)) is not None:
        fields["cost_details"], fields["total_cost"] = cost.details, cost.total
    if "model_parameters" not in fields:
        said = _holding(attributes, Genkit.INPUT, "config")
        if said is not None and said["config"]:
            fields["model_parameters"] = payload_of(said["config"])
    if "prompt_name" not in fields and attributes.has("prompt_link"):
        said = attributes.take("prompt_link", object_in) or {}
        fields["prompt_name"], fields["prompt_version"] = text_of(said.get("name")), whole_of(said.get("version"))


def _from_object(value: Any) -> Usage | None:
    if type(value) is str:
        try:
            counts = _counts(value)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass  # anything else than a count: parts inside, null
        else:
            if counts and _PLAIN.issuperset(counts):
                return Usage(counts)  # as Langfuse's SDKs write it: buckets already
    said = object_in(value)
    found = Usage(*normalized_usage(said)) if said else None
    return found if found is not None and found.details else None


def _from_attributes(attributes: Sorted) -> Usage | None:
    """Return what attributes with one count each say: of two with the same meaning the first holds."""
    said: dict[str, int | float] = {}
    for name, value in attributes.items_of("usage.*"):
        number = value if type(value) is int else number_of(value)
        if number is not None and name not in _NO_UNITS:
            said.setdefault(_SAME.get(name, name), number)
    passed_on = attributes.get(Vercel.PROVIDER_METADATA)
    metadata = None if passed_on is None else object_in(passed_on)
    found = _with_provider(said, metadata) if metadata else _from_counts(said)
    if not found.details:
        return None
    attributes.members("usage.*")
    return found


def _from_counts(said: dict[str, int | float]) -> Usage:
    """Return usage out of one count each."""
    if _TOKENS.issuperset(said):
        counts = {name: units for name, units in said.items() if type(units) is int and 0 <= units < _MANY}
        if len(counts) == len(said):
            return Usage({name.removesuffix("_tokens"): units for name, units in counts.items()}, counts)
    return Usage(*normalized_usage(said))


def _from_response(attributes: Sorted) -> Usage | None:
    """Return what the answer of the model says, where no attribute does."""
    for key, name in ((Vertex.RESPONSE, "usage_metadata"), (Genkit.OUTPUT, "usage")):
        said = _holding(attributes, key, name)
        found = None if said is None else _from_object(said[name])
        if found is not None:
            return found
    return None


def _holding(attributes: Sorted, key: str, name: str) -> dict[str, Any] | None:
    """Return the object that an attribute is, if it has a member of this name; it is parsed only if it may have."""
    value = attributes.get(key)
    if not isinstance(value, str) or f'"{name}"' not in value:
        return None
    said = object_in(value)
    return said if said is not None and name in said else None


def _with_provider(said: dict[str, int | float], metadata: Mapping[str, Any]) -> Usage:
    """Return usage with what the Vercel AI SDK passes on from a provider, where the attributes do not say it."""
    anthropic = _inside(_inside(metadata, "anthropic"), "usage")
    bedrock = _inside(_inside(metadata, "bedrock"), "usage")
    openai = _inside(metadata, "openai")
    added = (
        (_CACHED, "cache_read_tokens", anthropic.get("cache_read_input_tokens")),
        (_WRITTEN, "cache_write_tokens", anthropic.get("cache_creation_input_tokens")),
        (_CACHED, "cache_read_tokens", bedrock.get("cacheReadInputTokens")),
        (_WRITTEN, "cache_write_tokens", bedrock.get("cacheWriteInputTokens")),
        (_CACHED, "cache_read_tokens", openai.get("cachedPromptTokens")),
        (_REASONING, "reasoning_tokens", openai.get("reasoningTokens")),
    )
    present = normalized_usage(said)[0] or {}
    for bucket, name, value in added:
        if (number := number_of(value)) and bucket not in present:
            said.setdefault(name, number)
    details, provided = normalized_usage(said)
    _split(details or {}, _inside(anthropic, "cache_creation"))
    return Usage(details, provided)


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
