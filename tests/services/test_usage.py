"""Usage as each provider reports it becomes disjoint buckets whose sum is what was used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.attributes import usage_of
from tracecore.records import usage_totals
from tracecore.services.usage import MOST_BUCKETS, canonical_bucket, normalized_usage

OPENAI = {
    "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": None, "rejected_prediction_tokens": 5},
}  # fmt: skip
RESPONSES = {
    "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
    "input_tokens_details": {"cached_tokens": 60}, "output_tokens_details": {"reasoning_tokens": 20},
}  # fmt: skip
IMAGES = {
    "input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}  # fmt: skip
ANTHROPIC = {
    "input_tokens": 40, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3}, "service_tier": "standard",
    "server_tool_use": {"web_search_requests": 2},
}  # fmt: skip
GATEWAY = {
    "prompt_tokens": 110, "completion_tokens": 50, "total_tokens": 160, "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 10, "prompt_tokens_details": {"cached_tokens": 60},
}  # fmt: skip
GEMINI = {
    "promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 30, "thoughtsTokenCount": 20,
    "totalTokenCount": 150, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
}  # fmt: skip
BEDROCK = {
    "inputTokens": 40, "outputTokens": 50, "totalTokens": 160, "cacheReadInputTokens": 60, "cacheWriteInputTokens": 10,
}  # fmt: skip
VERCEL = {"inputTokens": 100, "outputTokens": 50, "totalTokens": 150, "reasoningTokens": 20, "cachedInputTokens": 60}
VERCEL_6 = {
    "inputTokens": 100, "outputTokens": 50, "totalTokens": 150,
    "inputTokenDetails": {"noCacheTokens": 40, "cacheReadTokens": 60, "cacheWriteTokens": None},
    "outputTokenDetails": {"textTokens": 30, "reasoningTokens": 20},
}  # fmt: skip
DEEPSEEK = {
    "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "prompt_cache_hit_tokens": 60,
    "prompt_cache_miss_tokens": 40, "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 20},
}  # fmt: skip
LANGCHAIN = {
    "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
    "input_token_details": {"audio": 10, "cache_read": 50}, "output_token_details": {"reasoning": 20},
}  # fmt: skip
SEMANTIC = {
    "input_tokens": 100, "output_tokens": 50, "cache_read.input_tokens": 60, "cache_creation.input_tokens": 10,
    "reasoning.output_tokens": 20,
}  # fmt: skip
OPENINFERENCE = {
    "prompt": 100, "completion": 50, "total": 150, "prompt_details.cache_read": 60, "prompt_details.audio": 10,
    "completion_details.reasoning": 20,
}  # fmt: skip
PYDANTIC = {"input_tokens": 100, "output_tokens": 50, "details.cache_read_tokens": 60, "details.reasoning_tokens": 20}
OLLAMA = {"prompt_eval_count": 100, "eval_count": 50, "total_duration": 5_000_000_000, "eval_duration": 4_000_000_000}
GROQ = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "queue_time": 1.0, "total_time": 0.5}

CACHED = {"input": 40, "input_cached_tokens": 60}
REASONED = {"output": 30, "output_reasoning_tokens": 20}
CASES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "openai": (OPENAI, CACHED | {"output": 25, "output_reasoning_tokens": 20, "output_rejected_prediction_tokens": 5}
               | {"total": 150}),
    "openai responses": (RESPONSES, CACHED | REASONED | {"total": 150}),
    "openai images": (IMAGES, {"input": 10, "input_image_tokens": 40, "output": 4160, "total": 4210}),
    "anthropic": (ANTHROPIC, {"input": 40, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 60,
                              "output": 50, "input_cache_creation_5m": 7, "input_cache_creation_1h": 3,
                              "web_search_requests": 2}),
    "anthropic through a gateway": (GATEWAY, CACHED | {"cache_creation_input_tokens": 10, "output": 50, "total": 160}),
    "gemini": (GEMINI, CACHED | REASONED | {"total": 150}),
    "bedrock": (BEDROCK, CACHED | {"input_cache_creation": 10, "output": 50, "total": 160}),
    "vercel": (VERCEL, CACHED | REASONED | {"total": 150}),
    "vercel 6": (VERCEL_6, CACHED | REASONED | {"total": 150}),
    "deepseek": (DEEPSEEK, CACHED | REASONED | {"total": 150}),
    "langchain": (LANGCHAIN, {"input": 40, "input_audio": 10, "input_cache_read": 50, "output": 30,
                              "output_reasoning": 20, "total": 150}),
    "opentelemetry": (SEMANTIC, {"input": 30, "input_cached_tokens": 60, "input_cache_creation": 10} | REASONED),
    "openinference": (OPENINFERENCE, {"input": 30, "input_cached_tokens": 60, "input_audio_tokens": 10, "total": 150}
                      | REASONED),
    "pydantic-ai": (PYDANTIC, CACHED | REASONED),
    "ollama": (OLLAMA, {"input": 100, "output": 50}),
    "groq": (GROQ, {"input": 100, "output": 50, "total": 150}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_provider(case: str) -> None:
    """The usage object of each provider becomes these buckets."""
    raw, buckets = CASES[case]
    assert normalized_usage(raw)[0] == buckets


@pytest.mark.parametrize("case", [case for case, (_, buckets) in CASES.items() if "total" in buckets])
def test_no_unit_is_counted_twice(case: str) -> None:
    """Where a provider reports a total, the buckets add up to it."""
    found = normalized_usage(CASES[case][0])[0] or {}
    assert sum(units for bucket, units in found.items() if bucket != "total") == found["total"]


def test_what_was_given_is_kept_under_its_names() -> None:
    """What a provider counted stands beside the buckets, parts by path; given buckets are not kept twice."""
    assert normalized_usage(RESPONSES)[1] == {
        "input_tokens": 100, "output_tokens": 50, "total_tokens": 150, "input_tokens_details.cached_tokens": 60,
        "output_tokens_details.reasoning_tokens": 20,
    }  # fmt: skip
    assert normalized_usage({"input": 3, "images": 1}) == ({"input": 3, "images": 1}, None)


def test_two_names_of_one_bucket_count_once() -> None:
    """Instrumentations that send the old and the new name do not double what was used; a zero beside it is no count."""
    both = {"prompt_tokens": 10, "input_tokens": 10, "completion_tokens": 0, "output_tokens": 4}
    assert normalized_usage(both)[0] == {"input": 10, "output": 4}


@pytest.mark.parametrize(
    "raw",
    [
        {}, {"input": None}, {"input": "3"}, {"input": True}, {"input": -1}, {"input": 0.5}, {"input": float("nan")},
        {"input": float("inf")}, {"input": 2**63}, {"cost": 1}, {"unknown_details": {"cached": 5}},
        {"prompt_tokens_details": {"cached_tokens": None}}, {"a": {"b": {"c": 1}}},
    ],
)  # fmt: skip
def test_what_is_no_count_is_left_out(raw: dict[str, object]) -> None:
    """Null, text, truth values, fractions and numbers that nothing can hold are no units."""
    assert normalized_usage(raw) == (None, None)


def test_parts_never_make_the_whole_negative() -> None:
    """Parts that add up to more than their whole leave nothing of it."""
    raw = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 4}}
    assert normalized_usage(raw)[0] == {"input": 0, "input_cached_tokens": 4, "input_audio_tokens": 4}


def test_an_endless_object_is_cut() -> None:
    """A usage object of a hundred thousand entries costs no more than one of two hundred."""
    raw: dict[str, object] = {f"b{number}": {f"c{part}": 1 for part in range(1000)} for number in range(1000)}
    found = normalized_usage(raw | {f"d{number}": 1 for number in range(100_000)})[0]
    assert found is None or len(found) <= MOST_BUCKETS
    assert len(normalized_usage({f"d{number}": 1 for number in range(100_000)})[0] or {}) == MOST_BUCKETS


def test_names_of_one_bucket_are_one() -> None:
    """Every provider's word for a bucket has one name; what nobody knows is its own."""
    for alias in ("cache_read_input_tokens", "input_cache_read", "cached_tokens"):
        assert canonical_bucket(alias) == "input_cached_tokens"
    assert canonical_bucket("images") == "images"


AMOUNTS = st.integers(-1, 2**64) | st.none() | st.booleans() | st.floats() | st.text(max_size=3)
NAMES = st.text(max_size=5) | st.sampled_from(sorted({name for raw, _ in CASES.values() for name in raw}))


@given(st.dictionaries(NAMES, AMOUNTS | st.dictionaries(NAMES, AMOUNTS, max_size=4), max_size=6))
def test_any_object_has_an_answer(raw: dict[str, Any]) -> None:
    """Whatever an object holds, the buckets are whole numbers that a store can keep, and are their own buckets."""
    found, provided = normalized_usage(raw)
    assert (found is None) <= (provided is None)
    for units in (found or {}).values():
        assert type(units) is int
        assert 0 <= units < 2**63
    assert all(part <= 3 * 2**53 for part in usage_totals(found))


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": st.integers(0, 1000), "completion_tokens": st.integers(0, 1000)},
        optional={
            "total_tokens": st.integers(0, 2000), "images": st.integers(0, 3),
            "prompt_tokens_details": st.fixed_dictionaries(
                {}, optional={"cached_tokens": st.integers(0, 600), "audio_tokens": st.none() | st.integers(0, 600)}
            ),
            "completion_tokens_details": st.fixed_dictionaries({}, optional={"reasoning_tokens": st.integers(0, 600)}),
        },
    )
)  # fmt: skip
def test_the_recorder_reads_it_the_same_way(raw: dict[str, Any]) -> None:
    """A recorder in a program and a server make the same buckets of the same object."""
    assert normalized_usage(raw)[0] == usage_of(raw)[0]
