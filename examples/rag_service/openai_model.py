"""Any OpenAI-compatible endpoint as the language model: one streaming POST to ``/chat/completions``.

Usage is what the endpoint reports, never an estimate: an endpoint that reports none leaves it unknown. Every failure
becomes :class:`~examples.rag_service.llm.ModelFailed` with a sentence that never contains the key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import httpx2
import msgspec
from msgspec import Struct

from examples.rag_service.llm import ModelFailed, ModelOutput, Usage
from examples.rag_service.prompting import Message
from examples.rag_service.settings import Endpoint

__all__ = ["OpenAIModel"]

MAX_ERROR_CHARACTERS: Final = 300


class OpenAIModel:
    """Call one endpoint through one connection pool; the client is the caller's to close."""

    def __init__(self, endpoint: Endpoint, client: httpx2.AsyncClient) -> None:
        self.name = endpoint.model
        self.parameters: dict[str, object] = {"temperature": 0, "max_tokens": 300}
        self._url = f"{endpoint.base_url}/chat/completions"
        self._headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._client = client

    async def stream(self, messages: Sequence[Message]) -> AsyncGenerator[ModelOutput, None]:
        """Yield pieces of text as they arrive, then the usage if the endpoint reports it.

        Raises:
            ModelFailed: the endpoint cannot be reached, refuses, or breaks off.
        """
        body = {
            "model": self.name,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.parameters,
        }
        try:
            async with self._client.stream("POST", self._url, json=body, headers=self._headers) as response:
                if not response.is_success:
                    await response.aread()
                    raise ModelFailed(f"the endpoint answered {response.status_code}: {_excerpt(response.text)}")
                async for line in response.aiter_lines():
                    for piece in _pieces(line):
                        yield piece
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ModelFailed(f"the endpoint failed: {type(error).__name__}: {_excerpt(str(error))}") from error


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None


class _Details(Struct):
    cached_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None

    def buckets(self) -> Usage:
        """Return buckets that do not contain each other."""
        cached = self.prompt_tokens_details.cached_tokens or 0 if self.prompt_tokens_details else 0
        usage = {"input": self.prompt_tokens - cached, "output": self.completion_tokens}
        return {**usage, "input_cached_tokens": cached} if cached else usage


class _Chunk(Struct):
    """What is read of one event of the stream; everything else in it is ignored."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


def _pieces(line: str) -> list[ModelOutput]:
    """Read one line of the event stream: text, usage, both or neither."""
    if not line.startswith("data:"):
        return []
    data = line.removeprefix("data:").strip()
    if data == "[DONE]":
        return []
    try:
        chunk = msgspec.json.decode(data, type=_Chunk)
    except msgspec.DecodeError as error:
        raise ModelFailed(f"the endpoint sent what is not a chat completion: {_excerpt(data)}") from error
    if chunk.error is not None:
        raise ModelFailed(f"the endpoint broke off: {_excerpt(str(chunk.error))}")
    text = "".join(choice.delta.content or "" for choice in chunk.choices if choice.delta)
    return [*([text] if text else []), *([chunk.usage.buckets()] if chunk.usage else [])]


def _excerpt(text: str) -> str:
    return " ".join(text.split())[:MAX_ERROR_CHARACTERS]
