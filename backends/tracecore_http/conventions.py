"""The names under which others know what we record: Langfuse's attributes, and OpenTelemetry's for generative AI.

A Langfuse or tracecore server understands everything from the first; the second are for everybody else.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tracecore.records import ObservationType

__all__ = ["GEN_AI_OPERATIONS", "GEN_AI_PARAMETERS", "LANGFUSE", "OTHERS", "Dialect"]


class Dialect(Struct, frozen=True):
    """Say how spans are named for somebody."""

    scope_name: str
    scope_version: str | None
    """None is the version of tracecore."""
    quotes_metadata: bool
    """Whether a text in metadata is JSON, too; otherwise it is sent as it is."""
    gen_ai: bool
    """Whether OpenTelemetry's conventions are followed besides."""


LANGFUSE: Final = Dialect("langfuse-sdk", "5.0.4", quotes_metadata=True, gen_ai=False)
"""Of the scope of its own SDK a Langfuse server reads metadata as JSON, and keeps no second copy of the attributes."""
OTHERS: Final = Dialect("tracecore", None, quotes_metadata=False, gen_ai=True)

GEN_AI_OPERATIONS: Final[dict[ObservationType, str]] = {
    "generation": "chat",
    "embedding": "embeddings",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieval",
}
"""``gen_ai.operation.name`` by type."""

GEN_AI_PARAMETERS: Final[dict[str, str]] = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
"""The attribute of each model parameter that has one; all are numbers. Of two for one attribute the last is said."""
