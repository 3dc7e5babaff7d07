"""Usage and cost: buckets that do not overlap, whoever counted them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.otlp.otlp_requests import one, said
from tracecore.records import Generation
from tracecore.services.usage import normalized_usage

GENERATION = {"langfuse.observation.type": "generation"}


def generation(attributes: dict[str, Any]) -> Generation:
    """Return the record of a generation."""
    record = one(GENERATION | attributes)
    assert isinstance(record, Generation)
    return record


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ('{"input": 1, "output": 2, "total": 3}', {"input": 1, "output": 2, "total": 3}),
        (('{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens":'
         ' 4, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 2}, "x": null}'),
         {"input": 6, "output": 3, "total": 15, "input_cached_tokens": 4, "output_reasoning_tokens": 2}),
        ('{"input": 1.0, "output": "2"}', {"input": 1}),
        ('{"input": 1, "input_cached_tokens": 5}', {"input": 1, "input_cached_tokens": 5}),
    ],
)  # fmt: skip
def test_usage_of_langfuse(given_text: str, expected: dict[str, int]) -> None:
    """Its SDK's buckets are taken as they are; raw usage of a provider is made disjoint."""
    assert generation({"langfuse.observation.usage_details": given_text}).usage_details == expected


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"input": -1}', "7"])
def test_usage_that_is_none(text: str) -> None:
    """Another convention is asked then, and what could not be read is kept."""
    attributes = {"langfuse.observation.usage_details": text, "gen_ai.usage.input_tokens": 3}
    record = generation(attributes)
    assert record.usage_details == {"input": 3}
    assert said(record)["metadata"]["attributes"] == {"langfuse.observation.usage_details": text}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}, {"input": 5, "output": 2}),
        ({"gen_ai.usage.prompt_tokens": "5", "gen_ai.usage.completion_tokens": 2.0}, {"input": 5, "output": 2}),
        ({"gen_ai.usage.prompt_tokens": 50, "gen_ai.usage.completion_tokens": 300, "gen_ai.usage.thoughts_tokens": 200},
         {"input": 50, "output": 100, "output_reasoning_tokens": 200}),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read_input_tokens": 30}, {"input": 0,
         "input_cached_tokens": 30}),
        ({"llm.token_count.prompt": 9, "llm.token_count.prompt_details.audio": 4,
          "llm.token_count.prompt_details.cache_write": 2, "llm.token_count.completion": 8,
          "llm.token_count.completion_details.audio": 3},
         {"input": 3, "input_audio_tokens": 4, "input_cache_creation": 2, "output": 5, "output_audio_tokens": 3}),
        ({"ai.usage.promptTokens": 7, "ai.usage.completionTokens": 2, "ai.usage.cachedInputTokens": 3,
          "ai.usage.reasoningTokens": 1},
         {"input": 4, "output": 1, "input_cached_tokens": 3, "output_reasoning_tokens": 1}),
        ({"ai.usage.inputTokens": 7, "ai.usage.inputTokenDetails.cacheReadTokens": 3,
          "ai.usage.inputTokenDetails.noCacheTokens": 4}, {"input": 4, "input_cached_tokens": 3}),
        ({"gen_ai.usage.input_tokens": True}, None),
        ({"gen_ai.usage.input_tokens": -5}, None),
        ({"gen_ai.usage.input_tokens": "many"}, None),
        ({"gen_ai.usage.cost": 0.5}, None),
    ],
)  # fmt: skip
def test_counts_in_attributes(attributes: dict[str, Any], expected: dict[str, int] | None) -> None:
    """Parts are taken out of what contains them, and nothing becomes negative; what is no count counts nothing."""
    record = generation(attributes)
    assert record.usage_details == expected
    assert "metadata" not in said(record) or expected is None


@given(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "total_tokens"]), st.integers(0, 2**63 - 1)))
def test_what_most_calls_have_is_counted_as_everything_else(counts: dict[str, int]) -> None:
    """The short way gives what the long one gives."""
    record = generation({f"gen_ai.usage.{name}": units for name, units in counts.items()})
    assert (record.usage_details, record.provided_usage_details) == normalized_usage(counts)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ('{"anthropic": {"usage": {"cache_read_input_tokens": 40}}}', {"input": 60, "input_cached_tokens": 40}),
        (('{"anthropic": {"usage": {"cache_creation_input_tokens": 9, "cache_creation":'
         ' {"ephemeral_1h_input_tokens": 9}}}}'),
         {"input": 91, "input_cache_creation": 0, "input_cache_creation_1h": 9}),
        (('{"anthropic": {"usage": {"cache_creation_input_tokens": 3, "cache_creation":'
         ' {"ephemeral_5m_input_tokens": 9}}}}'), {"input": 97, "input_cache_creation": 3}),
        ('{"openai": {"cachedPromptTokens": 30, "reasoningTokens": 0}}', {"input": 70, "input_cached_tokens": 30}),
        ('{"bedrock": {"usage": {"cacheReadInputTokens": 10, "cacheWriteInputTokens": 5}}}',
         {"input": 85, "input_cached_tokens": 10, "input_cache_creation": 5}),
        ('{"anthropic": 7}', {"input": 100}), ("not json", {"input": 100}),
    ],
)  # fmt: skip
def test_what_a_provider_says_besides(metadata: str, expected: dict[str, int]) -> None:
    """The Vercel AI SDK passes it on as JSON; it counts where no attribute says the same."""
    attributes = {"gen_ai.usage.input_tokens": 100, "ai.response.providerMetadata": metadata}
    assert generation(attributes).usage_details == expected


@pytest.mark.parametrize(
    ("attributes", "details", "total"),
    [
        ({"langfuse.observation.cost_details": '{"input": 0.1, "total": 0.5}'}, {"input": 0.1}, 0.5),
        ({"langfuse.observation.cost_details": '{"input": 0.1, "odd": "x"}'}, {"input": 0.1}, None),
        ({"langfuse.observation.cost_details": '{"total": 2}'}, None, 2.0),
        ({"gen_ai.usage.cost": 0.25, "llm.cost.total": 9}, None, 0.25),
        ({"langfuse.observation.cost_details": "x", "llm.cost.total": "0.5"}, None, 0.5),
        ({"llm.cost.total": float("nan")}, None, None),
        ({"llm.cost.total": -1}, None, None),
        ({"llm.cost.total": 1e300}, None, None),
    ],
)  # fmt: skip
def test_costs(attributes: dict[str, Any], details: dict[str, float] | None, total: float | None) -> None:
    """By bucket or in total, in USD; what is no amount is none, and is kept."""
    record = generation(attributes)
    assert (record.cost_details, record.total_cost) == (details, total)


def test_only_generations_have_usage() -> None:
    """An agent that repeats what its model calls used would be counted twice: it is kept as attributes."""
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.cost": 1.0}
    assert said(one(attributes))["metadata"] == {"attributes": attributes}
