"""Calling an OpenAI-compatible endpoint: what is sent, what is read, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing

import httpx2
import pytest

from examples.rag_service.llm import ModelFailed, ModelOutput
from examples.rag_service.openai_model import OpenAIModel
from examples.rag_service.prompting import Message
from examples.rag_service.settings import Endpoint, Price, Settings, SettingsError

KEY = "sk-canary"
MESSAGES: list[Message] = [{"role": "user", "content": "What?"}]


async def _answer(respond: Callable[[httpx2.Request], httpx2.Response]) -> list[ModelOutput]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(respond)) as client:
        model = OpenAIModel(Endpoint("http://model.test/v1", "small", KEY), client)
        async with aclosing(model.stream(MESSAGES)) as stream:
            return [piece async for piece in stream]


def _events(*chunks: object) -> httpx2.Response:
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return httpx2.Response(200, text=f": a comment\n\n{lines}data: [DONE]\n\n")


def _text(content: str) -> dict[str, object]:
    return {"choices": [{"delta": {"content": content}}]}


async def test_text_and_usage_are_read_from_the_stream() -> None:
    """Pieces arrive as they were sent; cached input is counted in its own bucket."""
    asked: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        usage = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
        return _events({"choices": [{"delta": {"role": "assistant"}}]}, _text("It "), _text("is."), {"usage": usage})

    assert await _answer(respond) == ["It ", "is.", {"input": 6, "output": 3, "input_cached_tokens": 4}]
    assert str(asked[0].url) == "http://model.test/v1/chat/completions"
    assert asked[0].headers["Authorization"] == f"Bearer {KEY}"
    body = json.loads(asked[0].content)
    assert (body["model"], body["messages"], body["stream"]) == ("small", MESSAGES, True)


async def test_usage_that_is_not_reported_is_unknown() -> None:
    """Nothing is made up for an endpoint that does not say what it used."""
    assert await _answer(lambda _: _events(_text("Yes."), {"choices": [], "usage": None})) == ["Yes."]


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (lambda _: httpx2.Response(429, text="slow\n down"), "answered 429: slow down"),
        (lambda _: _events(_text("a"), {"error": {"message": "overloaded"}}), "broke off: .*overloaded"),
        (lambda _: httpx2.Response(200, text="data: {not json"), "not a chat completion: {not json"),
        (lambda _: _events({"choices": [{"delta": 3}]}), "not a chat completion"),
        (lambda _: _events({"choices": [], "usage": {"prompt_tokens": "many"}}), "not a chat completion"),
        (lambda _: _events([1]), "not a chat completion"),
    ],
)
async def test_every_failure_is_one_sentence(respond: Callable[[httpx2.Request], httpx2.Response], said: str) -> None:
    """A refusal, a broken stream and nonsense become ModelFailed, which says what came and never the key."""
    with pytest.raises(ModelFailed, match=said) as failure:
        await _answer(respond)
    assert KEY not in str(failure.value)
    assert "\n" not in str(failure.value)


async def test_an_endpoint_that_cannot_be_reached_fails_in_the_same_way() -> None:
    """The transport's error is named."""

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody listens", request=request)

    with pytest.raises(ModelFailed, match="ConnectError: nobody listens"):
        await _answer(refuse)


def test_an_endpoint_needs_a_base_url_and_a_model() -> None:
    """A base URL that other programs use does not switch the endpoint on; the service's own one demands a model."""
    assert Settings.from_environment({}).endpoint is None
    assert Settings.from_environment({"OPENAI_BASE_URL": "http://x/v1", "OPENAI_API_KEY": KEY}).endpoint is None
    settings = Settings.from_environment(
        {"OPENAI_BASE_URL": "http://x/v1/", "OPENAI_API_KEY": KEY, "RAG_OPENAI_MODEL": "m"},
    )
    assert settings.endpoint == Endpoint("http://x/v1", "m", KEY)
    with pytest.raises(SettingsError, match="RAG_OPENAI_MODEL"):
        Settings.from_environment({"RAG_OPENAI_BASE_URL": "http://x/v1"})


@pytest.mark.parametrize("text", ["free", "-1", "nan", "inf"])
def test_a_price_must_be_a_number(text: str) -> None:
    """The sentence names the variable and what it was set to."""
    with pytest.raises(SettingsError, match=f"RAG_INPUT_PRICE = '{text}': expected a number"):
        Settings.from_environment({"RAG_INPUT_PRICE": text})


def test_cost_is_tokens_times_price() -> None:
    """USD per million tokens, bucket by bucket; cached input is charged as input."""
    price = Price(input=2.0, output=8.0)
    assert price.cost({"input": 500_000, "input_cached_tokens": 250_000, "output": 1_000}) == {
        "input": 1.0,
        "input_cached_tokens": 0.5,
        "output": 0.008,
    }
