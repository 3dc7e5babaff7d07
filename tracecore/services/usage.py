"""Usage in the shapes in which providers report it, made disjoint buckets; nothing here reads or waits.

Every provider counts the same units and names them otherwise, and most count some of them twice: ``prompt_tokens`` of
OpenAI contains the cached ones that its details name again. Here a unit is counted in one bucket only, so that the sum
of the buckets is what was used and each can have a price of its own.

Names are those of the usage objects of OpenAI (chat, responses), Anthropic, Gemini and Vertex (``usageMetadata``),
Bedrock Converse, DeepSeek, Ollama, LangChain (``usage_metadata``) and the Vercel AI SDK; and what follows
``gen_ai.usage.`` (OpenTelemetry GenAI, pydantic-ai, Traceloop) or ``llm.token_count.`` (OpenInference) in attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, cast

__all__ = ["MOST_BUCKETS", "canonical_bucket", "normalized_usage"]

MOST_BUCKETS: Final = 200
"""Entries of one usage object that are looked at; real ones have a dozen."""
_LONGEST_NAME: Final = 200
"""Characters of the name of a bucket; the rest is cut."""
_LARGEST: Final = 2**63 - 1
"""What every store keeps as an integer."""

_CACHED: Final = "input_cached_tokens"
_WRITTEN: Final = "input_cache_creation"
_WRITTEN_5M: Final = "input_cache_creation_5m"
_WRITTEN_1H: Final = "input_cache_creation_1h"
_REASONING: Final = "output_reasoning_tokens"

# Beside each name: its bucket, and the bucket whose count contains it where it is reported under this name ("" none).
# A bucket "" is none: the name repeats what others count, or counts no units.
_PLACES: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(
        (
            "prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "prompt", "promptTokenCount",
            "prompt_token_count", "prompt_eval_count",
        ),
        ("input", ""),
    ),
    **dict.fromkeys(
        (
            "completion_tokens", "output_tokens", "completionTokens", "outputTokens", "completion",
            "candidatesTokenCount", "candidates_token_count", "eval_count",
        ),
        ("output", ""),
    ),
    **dict.fromkeys(
        ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count"), ("total", "")
    ),
    # Gemini counts cached content within the prompt, and thoughts beside the candidates.
    **dict.fromkeys(("cachedContentTokenCount", "cached_content_token_count"), (_CACHED, "input")),
    **dict.fromkeys(("thoughtsTokenCount", "thoughts_token_count"), (_REASONING, "")),
    **dict.fromkeys(("toolUsePromptTokenCount", "tool_use_prompt_token_count"), ("input_tool_use_tokens", "")),
    # Vercel AI SDK, DeepSeek
    "cachedInputTokens": (_CACHED, "input"),
    "reasoningTokens": (_REASONING, "output"),
    "prompt_cache_hit_tokens": (_CACHED, "input"),
    "prompt_cache_miss_tokens": ("", ""),
    # Bedrock and Anthropic count what the cache did beside the input.
    "cacheReadInputTokens": (_CACHED, ""),
    "cacheWriteInputTokens": (_WRITTEN, ""),
    "cache_creation.ephemeral_5m_input_tokens": (_WRITTEN_5M, "cache_creation_input_tokens"),
    "cache_creation.ephemeral_1h_input_tokens": (_WRITTEN_1H, "cache_creation_input_tokens"),
    "server_tool_use.web_search_requests": ("web_search_requests", ""),
    # OpenTelemetry GenAI, pydantic-ai, OpenInference: within the input and the output.
    **dict.fromkeys(
        (
            "cache_read.input_tokens", "cache_read_tokens", "details.cache_read_tokens",
            "details.cache_read_input_tokens", "prompt_details.cache_read",
        ),
        (_CACHED, "input"),
    ),
    **dict.fromkeys(
        (
            "cache_creation.input_tokens", "cache_write_tokens", "details.cache_write_tokens",
            "details.cache_creation_input_tokens", "prompt_details.cache_write",
        ),
        (_WRITTEN, "input"),
    ),
    **dict.fromkeys(
        (
            "reasoning.output_tokens", "reasoning_tokens", "details.reasoning_tokens", "completion_details.reasoning",
        ),
        (_REASONING, "output"),
    ),
    "prompt_details.audio": ("input_audio_tokens", "input"),
    "completion_details.audio": ("output_audio_tokens", "output"),
    # Vercel AI SDK 6
    "inputTokenDetails.cacheReadTokens": (_CACHED, "input"),
    "inputTokenDetails.cacheWriteTokens": (_WRITTEN, "input"),
    "inputTokenDetails.noCacheTokens": ("", ""),
    "outputTokenDetails.reasoningTokens": (_REASONING, "output"),
    "outputTokenDetails.textTokens": ("", ""),
    # Money and times that stand beside the units: OpenRouter, Groq, Ollama.
    **dict.fromkeys(
        (
            "cost", "queue_time", "prompt_time", "completion_time", "total_time", "total_duration", "load_duration",
            "prompt_eval_duration", "eval_duration",
        ),
        ("", ""),
    ),
}  # fmt: skip

_DETAILS: Final = {
    "prompt_tokens_details": "input", "input_tokens_details": "input", "input_token_details": "input",
    "completion_tokens_details": "output", "output_tokens_details": "output", "output_token_details": "output",
}  # fmt: skip
"""Objects within a usage object, whose entries are parts of the input or of the output."""
_REST: Final = frozenset({"text_tokens", "text"})
"""Parts that are what is left when the other parts are taken away: without a bucket of their own."""

_ALIASES: Final = {
    _CACHED: ("cache_read_input_tokens", "input_cache_read", "cached_tokens", "input_cache_read_tokens"),
    _WRITTEN: (
        "cache_creation_input_tokens", "input_cache_write", "cache_write_tokens", "input_cache_creation_tokens",
        "input_cache_write_tokens",
    ),
    _WRITTEN_5M: ("cache_creation.ephemeral_5m_input_tokens", "ephemeral_5m_input_tokens",
                  "input_ephemeral_5m_input_tokens"),
    _WRITTEN_1H: ("cache_creation.ephemeral_1h_input_tokens", "ephemeral_1h_input_tokens",
                  "input_ephemeral_1h_input_tokens"),
    _REASONING: ("output_reasoning", "reasoning_tokens", "reasoning.output_tokens", "completion_details.reasoning",
                 "thoughtsTokenCount", "thoughts_token_count"),
    "input_audio_tokens": ("input_audio", "audio_input_tokens"),
    "output_audio_tokens": ("output_audio", "audio_output_tokens"),
    "input_image_tokens": ("input_image",),
    "output_image_tokens": ("output_image",),
    "input": ("input_tokens", "prompt_tokens", "input_text_tokens", "input_text", "promptTokenCount",
              "prompt_token_count"),
    "output": ("output_tokens", "completion_tokens", "output_text_tokens", "output_text", "candidatesTokenCount",
               "candidates_token_count"),
    "total": ("total_tokens", "totalTokenCount", "total_token_count"),
}  # fmt: skip
_CANONICAL: Final = {alias: bucket for bucket, aliases in _ALIASES.items() for alias in aliases}


def canonical_bucket(name: str) -> str:
    """Return the one name of a bucket that has several, or the name itself.

    Prices are looked up by it, so that a model priced for ``input_cache_read`` prices ``cache_read_input_tokens`` too.
    """
    return _CANONICAL.get(name, name)


def normalized_usage(raw: Mapping[str, object]) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """Return (disjoint buckets, what was given if it was not these); None where there is nothing.

    Parts are subtracted from what contains them, never below 0. What was given is kept under its own names, parts by
    path (``prompt_tokens_details.cached_tokens``). Of two names for one bucket the larger count holds. Values that are
    not whole numbers ≥ 0 are left out: null, text, fractions.
    """
    given = dict(islice(_flat(raw), MOST_BUCKETS))
    buckets: dict[str, int] = {}
    within: dict[str, str] = {}
    for path, units in given.items():
        bucket, container = _place(path)
        if bucket and (units or not container):
            buckets[bucket] = max(units, buckets.get(bucket, 0))
            if container:
                within[bucket] = container
    if not buckets:
        return None, None
    _join_cache_names(buckets, within, counted_within="prompt_tokens" in given)
    for bucket, container in within.items():
        if container in buckets:
            buckets[container] = max(0, buckets[container] - buckets[bucket])
    return buckets, None if given == buckets else given


def _flat(raw: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers of an object and of the objects in it, by path."""
    for name, value in islice(raw.items(), MOST_BUCKETS):
        if (units := _units(value)) is not None:
            yield name[:_LONGEST_NAME], units
        elif isinstance(value, Mapping):
            for part, amount in islice(cast("Mapping[str, object]", value).items(), MOST_BUCKETS):
                if (units := _units(amount)) is not None:
                    yield f"{name}.{part}"[:_LONGEST_NAME], units


def _units(value: object) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _place(path: str) -> tuple[str, str]:
    """Return the bucket of a name and the bucket that contains it; both may be empty."""
    known = _PLACES.get(path)
    if known is not None:
        return known
    outer, dot, part = path.partition(".")
    if not dot:
        return path, ""
    container = _DETAILS.get(outer, "")
    if container and part not in _REST:
        return f"{container}_{part}", container
    return "", ""  # parts of something that nobody knows: they may be counted elsewhere


def _join_cache_names(buckets: dict[str, int], within: dict[str, str], *, counted_within: bool) -> None:
    """Count the cache once where it is reported under two names, as by gateways that speak for Anthropic like OpenAI.

    Anthropic's own names count beside ``input_tokens``; next to ``prompt_tokens`` they are counted within.
    """
    for name in ("cache_read_input_tokens", "cache_creation_input_tokens"):
        if name not in buckets:
            continue
        other = canonical_bucket(name)
        if other in within:
            buckets[other] = max(buckets[other], buckets.pop(name))
        elif counted_within:
            within[name] = "input"
