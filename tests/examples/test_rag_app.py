"""The service over HTTP, and the trace that each request leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, MutableMapping, Sequence
from typing import Any

import httpx2
import msgspec
import pytest

from examples.rag_service.app import create_app
from examples.rag_service.llm import ModelFailed, ModelOutput
from examples.rag_service.openai_model import OpenAIModel
from examples.rag_service.prompting import Message
from examples.rag_service.service import RagService
from examples.rag_service.settings import Endpoint, Settings
from tests.examples.rag_bench import HEADERS, open_bench
from tests.examples.rag_corpus import PASSAGES
from tracecore.records import Generation

STEPS = ["POST /ask", "embed", "retrieve", "build-prompt", "generate"]


class BreakingModel:
    """Say two words and fail."""

    name = "breaking"

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {}

    async def stream(self, messages: Sequence[Message]) -> AsyncGenerator[ModelOutput, None]:
        """Break off after two pieces."""
        yield "It"
        yield " is"
        raise ModelFailed(f"the line went dead after {len(messages)} messages")


def _events(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    return [json.loads(event.partition("\ndata: ")[2]) for event in response.text.split("\n\n") if event]


def _decoded(payload: msgspec.Raw) -> Any:
    return msgspec.json.decode(payload)


async def test_an_answer_names_its_sources_usage_cost_and_trace() -> None:
    """The answer quotes the best passage; usage and cost are what its two model calls used."""
    async with open_bench() as bench:
        response = await bench.ask(question="What is the middle value of data?", top_k=2)
        assert response.status_code == 200
        answer = response.json()
        assert answer["answer"].startswith("Return the median, the middle value of numeric data. [1]")
        assert answer["sources"][0]["name"] == "stats.median(data)"
        assert len(answer["sources"]) <= 2
        assert answer["trace_id"] == response.headers["X-Trace-Id"]
        calls = [one for one in await bench.tree(response) if isinstance(one, Generation)]
        assert answer["usage"]["input"] == (calls[1].usage_details or {})["input"]
        assert answer["cost_usd"] == pytest.approx(sum(call.total_cost or 0 for call in calls))
        assert answer["cost_usd"] > 0


async def test_each_step_is_an_observation_below_the_request() -> None:
    """One root with five steps, each of its type, all with who asked and from where."""
    async with open_bench() as bench:
        response = await bench.ask(question="When does a wait give up?", source="tasks")
        root, *steps = tree = await bench.tree(response)
        assert [one.name for one in tree] == STEPS
        assert [one.type for one in steps] == ["embedding", "retriever", "chain", "generation"]
        assert {one.parent_id for one in steps} == {root.span_id}
        assert {(one.trace.user_id, one.trace.session_id, one.trace.name) for one in tree} == {
            ("user-1", "session-1", "ask"),
        }
        assert root.trace.tags == ("rag", "ios")
        assert _decoded(root.trace.metadata) == {"platform": "ios", "app_version": "5.2.1"}
        assert _decoded(root.input)["question"] == "When does a wait give up?"
        assert _decoded(root.output) == response.json()["answer"]


async def test_the_generation_records_prompt_model_usage_and_first_token() -> None:
    """What a generation must say: messages, answer, model, parameters, prompt version, tokens, cost, first token."""
    async with open_bench() as bench:
        response = await bench.ask(question="Which files match a pattern?")
        call = (await bench.tree(response))[-1]
        assert isinstance(call, Generation)
        assert [message["role"] for message in _decoded(call.input)] == ["system", "user"]
        assert _decoded(call.output) == response.json()["answer"]
        assert (call.prompt_name, call.prompt_version) == ("rag-answer", 2)
        assert call.model == "extractive-mmr-1"
        assert set(call.usage_details or {}) == {"input", "output"}
        assert call.total_cost == pytest.approx(sum((call.cost_details or {}).values()))
        assert call.completion_start_ns is not None
        assert call.start_ns <= call.completion_start_ns <= (call.end_ns or 0)


async def test_a_streamed_answer_is_the_same_answer() -> None:
    """Sources come first, then one event per token, then usage and cost; the trace is as complete as any."""
    async with open_bench() as bench:
        whole = (await bench.ask(question="What protects a task?")).json()
        response = await bench.ask(question="What protects a task?", stream=True)
        first, *deltas, last = _events(response)
        assert first["sources"] == whole["sources"]
        assert "".join(delta["text"] for delta in deltas) == whole["answer"]
        assert len(deltas) == last["usage"]["output"]
        assert (last["usage"], last["cost_usd"]) == (whole["usage"], whole["cost_usd"])
        tree = await bench.tree(response)
        assert [one.name for one in tree] == STEPS
        assert tree[0].end_ns is not None
        assert tree[0].end_ns >= (tree[-1].end_ns or 0)
        assert _decoded(tree[0].output) == whole["answer"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"question": "  "}, "the question is empty"),
        ({"question": "Why?", "source": "nowhere"}, "there is no source 'nowhere'; GET /sources lists the 4 there are"),
        ({"question": "Why?", "top_k": 0}, "the body is not a question: Expected `int` >= 1 - at `$.top_k`"),
        ({"question": "Why?", "colour": 1}, "unknown field `colour`"),
        ({}, "missing required field `question`"),
        ({"question": "x" * 2_001}, "length <= 2000"),
    ],
)
async def test_a_wrong_request_gets_400_and_one_sentence(body: dict[str, object], sentence: str) -> None:
    """The sentence says what was expected; the trace holds the same sentence as a warning, and no step was taken."""
    async with open_bench() as bench:
        response = await bench.ask(None, **body)
        assert response.status_code == 400
        assert sentence in response.json()["error"]
        (root,) = await bench.tree(response)
        assert (root.level, root.status_message) == ("WARNING", response.json()["error"])
        assert root.status == "ok"


@pytest.mark.parametrize(("content", "status"), [(b"\xff{", 400), (b"", 400), (b" " * 70_000, 413)])
async def test_a_body_that_is_no_json_or_too_long_is_refused(content: bytes, status: int) -> None:
    """Nothing that a client sends becomes a server error."""
    async with open_bench() as bench:
        response = await bench.client.post("/ask", content=content, headers=HEADERS)
        assert response.status_code == status
        assert "\n" not in response.json()["error"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_fails_is_a_502_and_an_error_in_the_trace(stream: bool) -> None:  # noqa: FBT001 - a parameter
    """The generation carries the exception, the request the level and the sentence; the steps before it are whole."""
    async with open_bench() as bench:
        response = await bench.ask({"X-Demo-Fault": "llm"}, question="Will it fail?", stream=stream)
        assert response.status_code == 502
        assert "told to fail" in response.json()["error"]
        tree = await bench.tree(response)
        assert [one.name for one in tree] == STEPS
        assert [one.status for one in tree] == ["ok", "ok", "ok", "ok", "error"]
        assert tree[-1].error is not None
        assert tree[-1].error.type.endswith("ModelFailed")
        assert (tree[0].level, tree[0].status_message) == ("ERROR", response.json()["error"])


async def test_the_fault_header_is_ignored_unless_allowed() -> None:
    """In an ordinary deployment nobody outside can make the model fail."""
    async with open_bench() as bench:
        app = create_app(RagService(PASSAGES, Settings()))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service.test") as client:
            response = await client.post("/ask", json={"question": "Median?"}, headers={"X-Demo-Fault": "llm"})
        assert response.status_code == 200
        assert await bench.tree(response)


async def test_a_model_that_breaks_off_ends_the_stream_with_its_reason() -> None:
    """What had been said is in the client's hands and in the trace; the last event says why there is no more."""
    async with open_bench(BreakingModel()) as bench:
        response = await bench.ask(question="What is a median?", stream=True)
        assert response.status_code == 200
        *_, first, second, last = _events(response)
        assert (first["text"], second["text"]) == ("It", " is")
        assert last == {"type": "failed", "error": "the line went dead after 2 messages"}
        tree = await bench.tree(response)
        assert tree[0].level == "ERROR"
        assert (tree[-1].status, _decoded(tree[-1].output)) == ("error", "It is")


async def test_the_trace_of_the_caller_is_continued() -> None:
    """The ids of ``traceparent`` become trace and parent of the request's span."""
    async with open_bench() as bench:
        trace_id, parent_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        response = await bench.ask({"traceparent": f"00-{trace_id}-{parent_id}-01"}, question="What is a median?")
        assert response.headers["X-Trace-Id"] == trace_id
        root = (await bench.tree(response))[0]
        assert (root.trace_id, root.parent_id, root.app_root) == (trace_id, parent_id, True)


async def test_an_answer_that_cannot_be_good_is_marked() -> None:
    """A question that is far from every passage leaves a warning on the retrieval."""
    async with open_bench() as bench:
        retrieval = (await bench.tree(await bench.ask(question="Zebras?")))[2]
        assert (retrieval.level, retrieval.status_message) == ("WARNING", "weak match: the best cosine is 0.00")


async def test_what_can_be_searched_is_listed() -> None:
    """Sources come with their number of passages; health says what is served; neither leaves a trace."""
    async with open_bench() as bench:
        listed = (await bench.client.get("/sources")).json()["sources"]
        assert [(one["name"], one["passages"]) for one in listed] == [
            ("files", 2),
            ("stats", 1),
            ("tables", 1),
            ("tasks", 2),
        ]
        response = await bench.client.get("/health")
        assert response.json()["passages"] == len(PASSAGES)
        assert "X-Trace-Id" not in response.headers


async def test_a_client_that_hangs_up_cancels_the_generation() -> None:
    """The answer is not computed for nobody: the span ends as cancelled, with the words that had been said."""
    async with open_bench() as bench:
        body = json.dumps({"question": "What is the middle value?", "stream": True}).encode()
        received = [{"type": "http.request", "body": body}]
        sent: list[MutableMapping[str, Any]] = []
        hung_up = asyncio.Event()

        async def receive() -> MutableMapping[str, Any]:
            if received:
                return received.pop()
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)
            if len(sent) == 6:
                hung_up.set()

        scope = {"type": "http", "asgi": {"version": "3.0"}, "method": "POST", "path": "/ask", "headers": []}
        await bench.app({**scope, "query_string": b""}, receive, send)
        response = httpx2.Response(200, headers=[(name, value) for name, value in sent[0]["headers"]])
        tree = await bench.tree(response)
        assert [one.name for one in tree] == STEPS
        assert tree[-1].status == "cancelled"
        assert _decoded(tree[-1].output).startswith("Return the")
        assert "numeric data" not in _decoded(tree[-1].output)


@pytest.mark.parametrize("usage", [{"prompt_tokens": 90, "completion_tokens": 3}, None])
async def test_an_endpoint_answers_in_place_of_the_built_in_model(usage: dict[str, int] | None) -> None:
    """Text and usage are the endpoint's; usage that it does not report makes the cost unknown, not zero."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        assert "middle value" in request.content.decode()
        chunks = [{"choices": [{"delta": {"content": "It is the median."}}]}, {"choices": [], "usage": usage}]
        return httpx2.Response(200, text="".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks))

    endpoint = Endpoint("http://model.test/v1", "small")
    assert RagService(PASSAGES, Settings(endpoint=endpoint)).pipeline.model.name == "small"
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(respond)) as client,
        open_bench(OpenAIModel(endpoint, client)) as bench,
    ):
        response = await bench.ask(question="What is the middle value?")
        assert response.json()["answer"] == "It is the median."
        call = (await bench.tree(response))[-1]
        assert isinstance(call, Generation)
        assert call.model == "small"
        assert call.usage_details == ({"input": 90, "output": 3} if usage else None)
        assert (response.json()["cost_usd"] is None) == (call.total_cost is None) == (usage is None)
