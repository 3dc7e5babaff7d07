"""What can be configured, and from where: environment variables that begin with ``RAG_``; an empty one is unset.

The language model is an OpenAI-compatible endpoint when one is named, and the built-in extractive answerer otherwise.
``OPENAI_BASE_URL`` alone does not switch the endpoint on: it is often set for other programs, and a demo must not spend
money by accident, so ``RAG_OPENAI_MODEL`` has to name a model as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

__all__ = ["Endpoint", "Price", "Settings", "SettingsError"]

PER_MILLION: Final = 1_000_000


class SettingsError(ValueError):
    """Report an environment variable that cannot be used, in one sentence."""


class Price(Struct, frozen=True):
    """State what a model costs, in USD per million tokens."""

    input: float
    output: float = 0.0

    def cost(self, usage: Mapping[str, int]) -> dict[str, float]:
        """Return USD per usage bucket; cached input is charged as input."""
        rates = {"input": self.input, "input_cached_tokens": self.input, "output": self.output}
        return {bucket: tokens * rates[bucket] / PER_MILLION for bucket, tokens in usage.items()}


class Endpoint(Struct, frozen=True):
    """Name an OpenAI-compatible endpoint: its base URL (with ``/v1``), model and key."""

    base_url: str
    model: str
    api_key: str | None = None
    timeout_seconds: float = 60.0


class Settings(Struct, frozen=True):
    """Hold everything that the service lets its operator choose."""

    endpoint: Endpoint | None = None
    """The language model to call; None means the built-in answerer."""
    generation_price: Price = Price(input=0.15, output=0.60)
    """``RAG_INPUT_PRICE`` and ``RAG_OUTPUT_PRICE``, USD per million tokens."""
    embedding_price: Price = Price(input=0.02)
    """``RAG_EMBEDDING_PRICE``, USD per million tokens."""
    max_passages: int = 6_000
    """``RAG_MAX_PASSAGES``: the most passages the corpus may have."""
    fault_header: bool = False
    """``RAG_FAULT_HEADER=1`` honours the request header ``X-Demo-Fault: llm``, which makes the model fail."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: a variable is not a number, or an endpoint lacks its model.
        """
        defaults = cls()
        generation = Price(
            _number(environment, "RAG_INPUT_PRICE", defaults.generation_price.input),
            _number(environment, "RAG_OUTPUT_PRICE", defaults.generation_price.output),
        )
        return cls(
            endpoint=_endpoint(environment),
            generation_price=generation,
            embedding_price=Price(_number(environment, "RAG_EMBEDDING_PRICE", defaults.embedding_price.input)),
            max_passages=int(_number(environment, "RAG_MAX_PASSAGES", defaults.max_passages)),
            fault_header=environment.get("RAG_FAULT_HEADER", "") == "1",
        )


def _endpoint(environment: Mapping[str, str]) -> Endpoint | None:
    own_url = environment.get("RAG_OPENAI_BASE_URL")
    base_url = own_url or environment.get("OPENAI_BASE_URL")
    model = environment.get("RAG_OPENAI_MODEL")
    if own_url and not model:
        message = f"RAG_OPENAI_BASE_URL = '{own_url}' needs a model: set RAG_OPENAI_MODEL too"
        raise SettingsError(message)
    if not (base_url and model):
        return None
    key = environment.get("RAG_OPENAI_API_KEY") or environment.get("OPENAI_API_KEY")
    return Endpoint(base_url.rstrip("/"), model, key)


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        message = f"{name} = '{text}': expected a number that is not negative"
        raise SettingsError(message)
    return value
