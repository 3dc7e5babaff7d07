"""What the service asks of a language model, whichever it is, and how one fails.

A model streams its answer as pieces of text and then, if it knows, says what it used. There is one way to call it:
whoever wants the whole answer joins the pieces.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, TypeAlias

from examples.rag_service.prompting import Message

__all__ = ["ChatModel", "FaultyModel", "ModelFailed", "ModelOutput", "Usage", "text_of"]

Usage: TypeAlias = dict[str, int]
"""Tokens per bucket; buckets do not contain each other."""

ModelOutput: TypeAlias = str | Usage
"""A piece of text, or at the end the usage."""


class ModelFailed(Exception):
    """Report that the language model did not answer, and why."""


class ChatModel(Protocol):
    """Answer chat messages."""

    name: str
    parameters: dict[str, object]
    """What is sent with each call, recorded with each generation."""

    def stream(self, messages: Sequence[Message]) -> AsyncGenerator[ModelOutput, None]:
        """Yield pieces of text, then the usage if it is known.

        Raises:
            ModelFailed: there is no answer, or no more of it.
        """
        ...


class FaultyModel:
    """Fail on every call: what a request with ``X-Demo-Fault: llm`` gets where that header is allowed."""

    name = "faulty"

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {}

    async def stream(self, messages: Sequence[Message]) -> AsyncGenerator[ModelOutput, None]:
        """Raise ModelFailed before the first piece."""
        raise ModelFailed(f"the model was told to fail by X-Demo-Fault, after reading {len(messages)} messages")
        yield ""  # makes this a generator


def text_of(pieces: Sequence[ModelOutput]) -> str:
    """Join the text of what a model has yielded so far."""
    return "".join(piece for piece in pieces if isinstance(piece, str))
