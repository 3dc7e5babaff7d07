"""Usage, cost and prompt links in the shapes that providers and libraries give them."""

from __future__ import annotations

import types
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.attributes import MAX_BUCKETS, cost_of, extend_attributes, prompt_of, texts_of, usage_of
from tracecore.records import TraceAttributes, usage_totals

OPENAI = {
    "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": None, "accepted_prediction_tokens": 0},
}  # fmt: skip
OPENAI_RESPONSES = {
    "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
    "input_tokens_details": {"cached_tokens": 60}, "output_tokens_details": {"reasoning_tokens": 20},
}  # fmt: skip
ANTHROPIC = {
    "input_tokens": 40,
    "cache_creation_input_tokens": 10,
    "cache_read_input_tokens": 60,
    "output_tokens": 50,
    "service_tier": "standard",
}
LANGCHAIN = {
    "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
    "input_token_details": {"audio": 10, "cache_read": 50}, "output_token_details": {"reasoning": 20},
}  # fmt: skip
OPENAI_BUCKETS = {
    "input": 40, "input_cached_tokens": 60, "output": 30, "output_reasoning_tokens": 20, "total": 150,
}  # fmt: skip
CAMEL = {"promptTokens": 100, "completionTokens": 50, "totalTokens": 150}


@pytest.mark.parametrize(
    ("given_", "buckets"),
    [
        (OPENAI, OPENAI_BUCKETS),
        (OPENAI_RESPONSES, OPENAI_BUCKETS),
        (ANTHROPIC, {"input": 40, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output": 50}),
        (
            LANGCHAIN,
            {"input": 40, "input_audio": 10, "input_cache_read": 50, "output": 30, "output_reasoning": 20}
            | {"total": 150},
        ),
        (CAMEL, {"input": 100, "output": 50, "total": 150}),
        ({"input": 1, "output": 2, "images": 3}, {"input": 1, "output": 2, "images": 3}),
        ({"input": 1.0, "output": 2.5}, {"input": 1}),
        ({"input": True, "output": -1, "total": "3"}, None),
        ({"prompt_tokens_details": {"cached_tokens": 5}}, {"input_cached_tokens": 5}),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, {"input": 0, "input_cached_tokens": 9}),
        ({"prompt_tokens_details": {"cached_tokens": 5}, "prompt_tokens": 8}, {"input_cached_tokens": 5, "input": 3}),
        ({"input": Decimal(1), "output": np.int64(2), "images": np.float32(3)}, {"input": 1, "output": 2, "images": 3}),
        ({"a": Decimal("1.5"), "b": np.float32(2.5), "c": np.bool_(1), "d": Decimal("sNaN"), "e": 4}, {"e": 4}),
        ({1: 2, None: 3}, None),
        ({}, None),
        (None, None),
        (5, None),
        ([("input", 5)], None),
    ],
)  # fmt: skip
def test_usage(given_: Any, buckets: dict[str, int] | None) -> None:
    """Every provider's shape becomes disjoint buckets; what is no whole number from 0 on is left out."""
    assert usage_of(given_)[0] == buckets


@pytest.mark.parametrize("usage", [OPENAI, OPENAI_RESPONSES, LANGCHAIN, ANTHROPIC, CAMEL])
def test_totals_are_those_of_the_provider(usage: dict[str, Any]) -> None:
    """Input and output of the disjoint buckets add up to what the provider counted."""
    read = 110 if usage is ANTHROPIC else 100
    assert usage_totals(usage_of(usage)[0]) == (read, 50, read + 50)


def test_what_was_provided_is_kept_as_it_was() -> None:
    """The provider's own names and numbers are kept beside the buckets, nested ones by path."""
    assert usage_of(OPENAI)[1] == {
        "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "prompt_tokens_details.cached_tokens": 60,
        "completion_tokens_details.reasoning_tokens": 20,
    }  # fmt: skip


def test_a_read_only_mapping_is_a_mapping() -> None:
    """Any mapping will do."""
    assert usage_of(types.MappingProxyType({"input": 3})) == ({"input": 3}, None)


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 2**70), max_size=5))
def test_plain_buckets_stay(usage: dict[str, int]) -> None:
    """Buckets that fit 64 bits stay as they are and are not kept twice; none is invented."""
    kept = {key: units for key, units in usage.items() if units < 2**63}
    assert usage_of(usage) == (kept or None, None)


@given(
    st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["input", "prompt_tokens", "total", "x" * 201]),
        st.integers(-1, 2**64) | st.sampled_from([True, 1.0, 0.5, 2**63 - 1]) | st.floats(),
        max_size=5,
    )
)
def test_the_short_way_is_the_general_way(amounts: dict[str, Any]) -> None:
    """What is read of a dict at a glance is what is read of the same entries in any other mapping."""
    assert usage_of(amounts) == usage_of(types.MappingProxyType(amounts))
    assert cost_of(amounts) == cost_of(types.MappingProxyType(amounts))


def test_too_many_buckets_are_cut() -> None:
    """A mapping of a million buckets does not cost a million steps."""
    usage = {f"b{number}": 1 for number in range(1_000_000)}
    assert len(usage_of(usage)[0] or {}) == len(cost_of(usage)[0] or {}) == MAX_BUCKETS


@pytest.mark.parametrize(
    ("given_", "costs", "total"),
    [
        ({"input": 0.25, "output": 0.5}, {"input": 0.25, "output": 0.5}, 0.75),
        ({"input": 0.25, "total": 1}, {"input": 0.25, "total": 1.0}, 1.0),
        ({"input": Decimal("0.25"), "output": np.float32(0.5)}, {"input": 0.25, "output": 0.5}, 0.75),
        (Decimal("0.1"), {"total": 0.1}, 0.1),
        (np.int64(2), {"total": 2.0}, 2.0),
        ({"a": Decimal("NaN"), "b": Decimal("1e999999"), "c": np.bool_(1), "d": np.float32("nan")}, None, None),
        (0.5, {"total": 0.5}, 0.5),
        (3, {"total": 3.0}, 3.0),
        (0, {"total": 0.0}, 0.0),
        ({"input": 0}, {"input": 0.0}, 0.0),
        ({"input": "0.25", "output": 0.5}, {"output": 0.5}, 0.5),
        ({"input": True}, None, None),
        (True, None, None),
        ({"input": float("nan"), "output": float("inf"), "other": 10**400}, None, None),
        ({"input": 1e308, "output": 1e308}, None, None),
        ({}, None, None),
        ("0.5", None, None),
        (None, None, None),
    ],
)
def test_cost(given_: Any, costs: dict[str, float] | None, total: float | None) -> None:
    """Cost is USD per bucket and a finite total; what is not known is None, and zero only where zero was given."""
    assert cost_of(given_) == (costs, total)


class Prompt:
    """Be a prompt of somebody's library."""

    name = "greeting"
    version = 7
    id = "p-1"


@pytest.mark.parametrize(
    ("given_", "fields"),
    [
        (("greeting", 7), {"prompt_name": "greeting", "prompt_version": 7}),
        (["greeting", 7], {"prompt_name": "greeting", "prompt_version": 7}),
        (("greeting",), {"prompt_name": "greeting"}),
        (
            {"name": "greeting", "version": 7, "id": "p-1"},
            {"prompt_name": "greeting", "prompt_version": 7, "prompt_id": "p-1"},
        ),
        (Prompt(), {"prompt_name": "greeting", "prompt_version": 7, "prompt_id": "p-1"}),
        (("greeting", "7"), {"prompt_name": "greeting"}),
        (("greeting", True), {"prompt_name": "greeting"}),
        (("greeting", 10**30), {"prompt_name": "greeting"}),
        ((), {}),
        (None, {}),
        ("greeting", {}),
    ],
)
def test_prompts(given_: Any, fields: dict[str, Any]) -> None:
    """A prompt is linked by a pair, a mapping or an object; a version that is no whole number is left out."""
    assert prompt_of(given_) == fields


@pytest.mark.parametrize(
    ("given_", "texts"),
    [
        (["a", "b"], ("a", "b")),
        (("a", None, "", "b"), ("a", "b")),
        ("one", ("one",)),
        ([1, True], ("1", "true")),
        (None, ()),
        (5, ()),
        ({"a": 1}, ()),
        (iter(["a"]), ()),
        (["x" * 300], ("x" * 200,)),
    ],
)
def test_texts(given_: Any, texts: tuple[str, ...]) -> None:
    """Lists of text are read; an iterator is the program's, and is not consumed."""
    assert texts_of(given_) == texts
    if hasattr(given_, "__next__"):
        assert next(given_) == "a"


def test_attributes_are_extended() -> None:
    """Tags are joined without repeats, metadata is merged, other fields replaced, None leaves what was."""
    first = extend_attributes(
        TraceAttributes(), {"user_id": "u", "tags": ["a", "b"], "metadata": {"k": 1}, "public": True}
    )
    second = extend_attributes(first, {"user_id": None, "session_id": "s", "tags": ["b", "c"], "metadata": {"l": 2}})
    assert (second.user_id, second.session_id, second.tags, second.public) == ("u", "s", ("a", "b", "c"), True)
    assert bytes(second.metadata) == b'{"k":1,"l":2}'
    assert first.tags == ("a", "b")
    assert extend_attributes(second, {}) is second
    assert extend_attributes(second, {"user_id": None, "public": "yes"}) is second  # type: ignore[typeddict-item]  # wrong on purpose
