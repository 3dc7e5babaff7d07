"""What instrumentations by others send, convention by convention: real sets of attributes, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.otlp.otlp_requests import one, said
from tracecore.records import Generation

PARENT = {"parent_id": "00f067aa0ba902b7"}


def test_genai_with_messages_as_attributes() -> None:
    """OpenTelemetry's conventions since 1.37: messages are attributes, the system's instructions one of their own."""
    record = one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 400,
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.reasoning.output_tokens": 20,
            "gen_ai.conversation.id": "c-1",
            "gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]',
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
            "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"tool_call","id":"t1","name":"look",'
            '"arguments":{"q":"x"}}],"finish_reason":"tool_call"}]',
            "gen_ai.tool.definitions": '[{"type":"function","name":"look","description":"d","parameters":{}}]',
        },
        name="chat gpt-4o",
    )
    assert said(record) == {
        "name": "chat gpt-4o", **PARENT, "type": "generation",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
        ],
        "output": [
            {
                "role": "assistant", "finish_reason": "tool_call",
                "parts": [{"type": "tool_call", "id": "t1", "name": "look", "arguments": {"q": "x"}}],
            }
        ],
        "model": "gpt-4o-2024-08-06",
        "model_parameters": {"temperature": 0.2, "max_tokens": 400},
        "usage_details": {"input": 60, "output": 30, "input_cached_tokens": 40, "output_reasoning_tokens": 20},
        "provided_usage_details": {
            "input_tokens": 100, "output_tokens": 50, "cache_read.input_tokens": 40, "reasoning.output_tokens": 20,
        },
        "tool_definitions": [{"type": "function", "name": "look", "description": "d", "parameters": {}}],
        "tool_calls": [{"id": "t1", "name": "look", "type": "tool_call", "arguments": {"q": "x"}}],
        "tool_call_names": ["look"],
        "trace": {"session_id": "c-1"},
        "metadata": {
            "attributes": {
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.id": "chatcmpl-1", "gen_ai.response.finish_reasons": ["stop"],
            }
        },
    }  # fmt: skip


def test_genai_with_messages_as_events() -> None:
    """Before 1.37 each message was an event of the span, and the answer the event ``gen_ai.choice``."""
    record = one(
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
        events=[
            ("gen_ai.system.message", {"content": "Be brief."}),
            ("gen_ai.user.message", {"content": "Hi"}),
            ("note", {"k": 1}),
            ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content":"Hello"}'}),
        ],
    )
    found = said(record)
    assert found["input"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert found["output"] == {"index": 0, "finish_reason": "stop", "message": {"content": "Hello"}}
    (kept,) = found["metadata"]["events"]
    assert (kept["name"], kept["attributes"]) == ("note", {"k": 1})


def test_genai_with_one_event_that_has_all() -> None:
    """Since 1.38 messages may be in one event; attributes of the span come after it."""
    record = one(
        {"gen_ai.operation.name": "chat", "gen_ai.input.messages": "[]"},
        events=[
            (
                "gen_ai.client.inference.operation.details",
                {
                    "gen_ai.input.messages": '[{"role":"user","parts":[]}]',
                    "gen_ai.output.messages": '[{"role":"assistant","parts":[]}]',
                    "gen_ai.system_instructions": '"Be brief."',
                },
            )
        ],
    )
    found = said(record)
    assert found["input"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "parts": []}]
    assert found["output"] == [{"role": "assistant", "parts": []}]
    assert "events" not in found["metadata"]


def test_genai_contents_as_events() -> None:
    """The oldest form: the prompt and the completion as an attribute of an event each."""
    record = one(
        {"gen_ai.request.model": "m"},
        events=[
            ("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role":"user","content":"Hi"}]'}),
            ("gen_ai.content.completion", {"gen_ai.completion": "Hello"}),
        ],
    )
    assert (record.type, said(record)["input"]) == ("generation", [{"role": "user", "content": "Hi"}])
    assert said(record)["output"] == "Hello"


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ('[{"type":"text","content":"a"},{"type":"text","content":"b"}]', [{"role": "system", "content": "a\nb"}]),
        ('[{"parts":[{"type":"x"}]}]', [{"role": "system", "parts": [{"type": "x"}]}]),
        ('[{"role":"developer","parts":[]}]', [{"role": "developer", "parts": []}]),
        ('["a"]', [{"role": "system", "content": "a"}]),
        ('[{"type":"text","content":"a"},{"role":"system","parts":[{"content":"b"}]}]',
         [{"role": "system", "content": "a\nb"}]),
        ("not json", [{"role": "system", "content": "not json"}]),
        ("42", [{"role": "system", "content": "42"}]),
        ("[]", []), ("[1, null]", []), ("{}", []),
    ],
)  # fmt: skip
def test_instructions_come_before_the_messages(instructions: str, expected: list[Any]) -> None:
    """Parts are joined, complete messages are kept as they are, and what says nothing adds nothing."""
    user = {"role": "user", "content": "Hi"}
    found = said(one({"gen_ai.input.messages": json.dumps([user]), "gen_ai.system_instructions": instructions}))
    assert found["input"] == [*expected, user]
    assert "metadata" not in found


def test_instructions_are_not_said_twice() -> None:
    """Where there is a message of the system already, the messages are as they came."""
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    found = said(one({"gen_ai.input.messages": json.dumps(messages), "gen_ai.system_instructions": '"c"'}))
    assert found["input"] == messages
    assert said(one({"gen_ai.system_instructions": '"alone"'}))["input"] == '"alone"'


def test_openinference_openai() -> None:
    """OpenInference's instrumentation of OpenAI: values first, messages by flat names kept beside them."""
    record = one(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o-mini",
            "llm.provider": "openai",
            "llm.invocation_parameters": '{"temperature": 0.1}',
            "input.value": '{"messages": [{"role": "user", "content": "Hi"}]}',
            "input.mime_type": "application/json",
            "output.value": '{"choices": [{"message": {"role": "assistant", "content": "Hello"}}]}',
            "output.mime_type": "application/json",
            "llm.input_messages.0.message.role": "user",
            "llm.token_count.prompt": 12,
            "llm.token_count.completion": 8,
            "llm.token_count.total": 20,
            "llm.token_count.prompt_details.cache_read": 4,
            "llm.token_count.completion_details.reasoning": 3,
            "llm.cost.total": 0.001,
            "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "look"}}',
            "tag.tags": ["x"],
        },
        name="ChatCompletion", given={"scope": "openinference.instrumentation.openai", "version": "0.1"},
    )  # fmt: skip
    assert said(record) == {
        "name": "ChatCompletion", **PARENT, "type": "generation",
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "output": {"choices": [{"message": {"role": "assistant", "content": "Hello"}}]},
        "model": "gpt-4o-mini",
        "model_parameters": {"temperature": 0.1},
        "usage_details": {
            "input": 8, "output": 5, "total": 20, "input_cached_tokens": 4, "output_reasoning_tokens": 3,
        },
        "provided_usage_details": {
            "prompt": 12, "completion": 8, "total": 20, "prompt_details.cache_read": 4,
            "completion_details.reasoning": 3,
        },
        "total_cost": 0.001,
        "tool_definitions": [{"type": "function", "function": {"name": "look"}}],
        "trace": {"tags": ["x"]},
        "metadata": {
            "attributes": {
                "llm.provider": "openai", "input.mime_type": "application/json",
                "output.mime_type": "application/json", "llm.input_messages.0.message.role": "user",
            }
        },
    }  # fmt: skip


def test_openinference_messages_by_flat_names() -> None:
    """Where there are no values, the flat names of messages are put together; calls in them are found."""
    name = "llm.output_messages.0.message.tool_calls.0.tool_call"
    record = one({
        "openinference.span.kind": "LLM",
        "llm.input_messages.1.message.content": "Hi",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.0.message.role": "system",
        "llm.output_messages.0.message.role": "assistant",
        f"{name}.id": "t1",
        f"{name}.function.name": "look",
        f"{name}.function.arguments": '{"q": 1}',
    })  # fmt: skip
    found = said(record)
    assert found["input"] == [
        {"message": {"role": "system"}}, {"message": {"content": "Hi", "role": "user"}},
    ]  # fmt: skip
    assert found["tool_calls"] == [{"id": "t1", "name": "look", "arguments": '{"q": 1}'}]
    assert found["tool_call_names"] == ["look"]
    assert "metadata" not in found


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("CHAIN", "chain"), ("RETRIEVER", "retriever"), ("EMBEDDING", "embedding"), ("AGENT", "agent"),
        ("TOOL", "tool"), ("GUARDRAIL", "guardrail"), ("EVALUATOR", "evaluator"), ("llm", "generation"),
        ("RERANKER", "span"), (7, "span"),
    ],
)  # fmt: skip
def test_openinference_kinds(kind: Any, expected: str) -> None:
    """Each kind is a type; one that is not is kept."""
    record = one({"openinference.span.kind": kind})
    assert record.type == expected
    assert ("metadata" in said(record)) is (expected == "span")


def test_openinference_langchain() -> None:
    """A chain of LangChain: input, output and session."""
    record = one({
        "openinference.span.kind": "CHAIN", "input.value": "What?", "output.value": '{"answer": "That."}',
        "session.id": "s", "user.id": "u", "metadata": '{"thread": 1}',
    })  # fmt: skip
    assert said(record) == {
        "name": "work", **PARENT, "type": "chain", "input": "What?", "output": {"answer": "That."},
        "trace": {"session_id": "s", "user_id": "u"}, "metadata": {"attributes": {"metadata": '{"thread": 1}'}},
    }  # fmt: skip


def test_traceloop() -> None:
    """OpenLLMetry: messages by flat names, the total beside them."""
    record = one(
        {
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.request.max_tokens": 100,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Hi",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Hello",
            "gen_ai.completion.0.finish_reason": "stop",
            "gen_ai.usage.prompt_tokens": 9,
            "gen_ai.usage.completion_tokens": 3,
            "llm.usage.total_tokens": 12,
            "traceloop.association.properties.user": "u",
        },
        name="openai.chat", given={"scope": "opentelemetry.instrumentation.openai.v1"},
    )  # fmt: skip
    found = said(record)
    assert found["type"] == "generation"
    assert found["input"] == [{"role": "user", "content": "Hi"}]
    assert found["output"] == [{"role": "assistant", "content": "Hello", "finish_reason": "stop"}]
    assert found["usage_details"] == {"input": 9, "output": 3}
    assert found["metadata"]["attributes"] == {
        "llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o",
        "llm.usage.total_tokens": 12, "traceloop.association.properties.user": "u",
    }  # fmt: skip
    entity = one(
        {"traceloop.span.kind": "workflow", "traceloop.entity.input": '{"a": 1}', "traceloop.entity.output": "x"}
    )
    assert (said(entity)["input"], said(entity)["output"], entity.type) == ({"a": 1}, "x", "span")


def test_vercel_ai_sdk() -> None:
    """A model call: text and calls make one message, usage has parts, the first chunk a time."""
    record = one(
        {
            "operation.name": "ai.streamText.doStream my-function",
            "ai.operationId": "ai.streamText.doStream",
            "ai.telemetry.functionId": "my-function",
            "ai.telemetry.metadata.userId": "u",
            "ai.telemetry.metadata.sessionId": "s",
            "ai.telemetry.metadata.tags": ["a"],
            "ai.telemetry.metadata.team": "b",
            "ai.model.id": "claude-opus",
            "ai.model.provider": "anthropic",
            "ai.settings.maxRetries": 2,
            "ai.prompt.messages": '[{"role":"user","content":"Hi"}]',
            "ai.prompt.tools": ['{"type":"function","name":"look"}'],
            "ai.response.text": "Let me look.",
            "ai.response.toolCalls": '[{"type":"tool-call","toolCallId":"t1","toolName":"look","input":{"q":1}}]',
            "ai.response.msToFirstChunk": 12.5,
            "ai.response.providerMetadata": json.dumps({
                "anthropic": {
                    "usage": {
                        "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10,
                        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
                    }
                }
            }),
            "gen_ai.request.model": "claude-opus",
            "gen_ai.request.max_tokens": 100,
            "gen_ai.usage.input_tokens": 60,
            "gen_ai.usage.output_tokens": 7,
            "ai.usage.totalTokens": 67,
        },
        name="ai.streamText.doStream", given={"scope": "ai"},
    )  # fmt: skip
    found = said(record)
    assert found["name"] == "my-function:ai.streamText.doStream"
    assert found["metadata"]["otel"] == {"name": "ai.streamText.doStream"}
    assert (found["type"], found["model"]) == ("generation", "claude-opus")
    assert found["output"] == {
        "role": "assistant", "content": "Let me look.",
        "tool_calls": [{"type": "tool-call", "toolCallId": "t1", "toolName": "look", "input": {"q": 1}}],
    }  # fmt: skip
    assert found["tool_calls"] == [{"id": "t1", "name": "look", "type": "tool-call", "arguments": {"q": 1}}]
    assert found["tool_definitions"] == [{"type": "function", "name": "look"}]
    assert found["usage_details"] == {
        "input": 10, "output": 7, "total": 67, "input_cached_tokens": 40, "input_cache_creation": 0,
        "input_cache_creation_5m": 4, "input_cache_creation_1h": 6,
    }  # fmt: skip
    assert found["completion_start_ns"] == record.start_ns + 12_500_000
    assert found["trace"] == {"user_id": "u", "session_id": "s", "tags": ["a"]}
    assert found["metadata"]["team"] == "b"
    assert found["model_parameters"] == {"maxRetries": 2, "max_tokens": 100}


@pytest.mark.parametrize(
    ("attributes", "kind", "output"),
    [
        ({"ai.operationId": "ai.toolCall", "ai.toolCall.name": "look", "ai.toolCall.args": "{}",
          "ai.toolCall.result": '"x"'}, "tool", '"x"'),
        ({"ai.operationId": "ai.generateObject.doGenerate", "ai.response.object": '{"a":1}'}, "generation", {"a": 1}),
        ({"ai.operationId": "ai.embed.doEmbed", "ai.model.id": "e"}, "embedding", None),
        ({"ai.operationId": "ai.generateText", "ai.model.id": "m", "ai.response.text": "t"}, "span", "t"),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.response.toolCalls": "[]"}, "generation", []),
    ],
)  # fmt: skip
def test_operations_of_the_vercel_ai_sdk(attributes: dict[str, Any], kind: str, output: Any) -> None:
    """The operation says the type; the call around a model call is a span, or it would be counted twice."""
    record = one(attributes, given={"scope": "ai"})
    assert (record.type, said(record).get("output")) == (kind, output)


def test_pydantic_ai() -> None:
    """A run of an agent: messages and result; its usage repeats that of its model calls, and is none of its own."""
    record = one(
        {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support", "model_name": "gpt-4o",
            "logfire.msg": "support run", "pydantic_ai.all_messages": '[{"role":"user","parts":[]}]',
            "final_result": "done", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.details.reasoning_tokens": 0,
            "gen_ai.system_instructions": '[{"type":"text","content":"Be kind."}]',
        },
        name="agent run", given={"scope": "pydantic-ai"},
    )  # fmt: skip
    assert said(record) == {
        "name": "support run", **PARENT, "type": "agent",
        "input": [{"role": "system", "content": "Be kind."}, {"role": "user", "parts": []}], "output": "done",
        "metadata": {
            "attributes": {
                "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support", "model_name": "gpt-4o",
                "gen_ai.usage.input_tokens": 5, "gen_ai.usage.details.reasoning_tokens": 0,
            },
            "otel": {"name": "agent run"},
        },
    }  # fmt: skip
    tool = one({
        "gen_ai.tool.name": "look", "gen_ai.tool.call.id": "t1", "tool_arguments": '{"q":1}', "tool_response": "x",
    }, name="running tool")  # fmt: skip
    assert (tool.type, tool.name, said(tool)["input"], said(tool)["output"]) == ("tool", "look", {"q": 1}, "x")
    call = one({
        "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.details.cache_read_input_tokens": 60, "gen_ai.usage.details.cache_write_tokens": 30,
        "gen_ai.usage.details.input_tokens": 10,
        "model_request_parameters": '{"function_tools": [{"name": "look"}], "output_mode": "text"}',
    })  # fmt: skip
    assert isinstance(call, Generation)
    assert call.usage_details == {"input": 10, "output": 9, "input_cached_tokens": 60, "input_cache_creation": 30}
    assert said(call)["tool_definitions"] == [{"name": "look"}]
    assert "model_request_parameters" in said(call)["metadata"]["attributes"]


def test_logfire_events_in_one_attribute() -> None:
    """Logfire writes all messages into ``events``: the choice is the output, all others the input."""
    record = one({
        "gen_ai.request.model": "m",
        "events": '[{"event.name":"gen_ai.user.message","content":"Hi"},'
        '{"event.name":"gen_ai.choice","message":{"content":"Hello"}}]',
    })  # fmt: skip
    found = said(record)
    assert found["input"] == [{"event.name": "gen_ai.user.message", "content": "Hi"}]
    assert found["output"] == {"event.name": "gen_ai.choice", "message": {"content": "Hello"}}
    assert "metadata" not in found


def test_google_agent_development_kit() -> None:
    """What a tool was asked counts where the kit writes an empty request; usage is in the response."""
    call = one({
        "gen_ai.operation.name": "generate_content",
        "gcp.vertex.agent.llm_request": '{"contents": []}',
        "gcp.vertex.agent.llm_response": '{"usage_metadata": {"prompt_token_count": 10, "candidates_token_count": 3,'
        ' "thoughts_token_count": 4, "cached_content_token_count": 6, "total_token_count": 17}}',
    })  # fmt: skip
    assert isinstance(call, Generation)
    assert call.usage_details == {
        "input": 4, "output": 3, "total": 17, "input_cached_tokens": 6, "output_reasoning_tokens": 4,
    }  # fmt: skip
    tool = one({
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look", "gcp.vertex.agent.llm_request": "{}",
        "gcp.vertex.agent.llm_response": "{}", "gcp.vertex.agent.tool_call_args": '{"q": 1}',
        "gcp.vertex.agent.tool_response": '{"r": 2}',
    })  # fmt: skip
    assert (said(tool)["input"], said(tool)["output"]) == ({"q": 1}, {"r": 2})


def test_genkit() -> None:
    """The subtype says what it is; a model's output holds its usage."""
    record = one({
        "genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini",
        "genkit:input": '{"messages": [], "config": {"temperature": 0.5}}',
        "genkit:output": '{"usage": {"inputTokens": 4, "outputTokens": 2}}',
    })  # fmt: skip
    assert isinstance(record, Generation)
    assert (record.name, record.usage_details) == ("googleai/gemini", {"input": 4, "output": 2})
    assert said(record)["model_parameters"] == {"temperature": 0.5}
    assert one({"genkit:metadata:subtype": "flow"}).type == "chain"


def test_livekit() -> None:
    """Names say what a span is, and which of them are details."""
    scope = {"scope": "livekit-agents"}
    assert one({"lk.user_input": "Hi", "lk.response.text": "Hello"}, name="agent_turn", given=scope).type == "agent"
    assert one({}, name="tts_node", given=scope).level == "DEBUG"
    assert one({}, name="tts_node").level == "DEFAULT"
    tool = one({"lk.function_tool.arguments": "{}", "lk.function_tool.output": "x"}, name="function_tool", given=scope)
    assert (tool.type, said(tool)["input"], said(tool)["output"]) == ("tool", {}, "x")


def test_mlflow_and_plain_names() -> None:
    """MLflow's names, and ``input`` and ``output`` as many write them."""
    assert said(one({"mlflow.spanInputs": '{"a": 1}', "mlflow.spanOutputs": "[2]"}))["input"] == {"a": 1}
    record = one({"input": "in", "output": {"k": [1, 2.5, None]}, "model": "m"})
    assert (said(record)["input"], said(record)["output"], record.type) == ("in", {"k": [1, 2.5, None]}, "generation")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("chat", "generation"), ("text_completion", "generation"), ("generate_content", "generation"),
        ("embeddings", "embedding"), ("invoke_agent", "agent"), ("create_agent", "agent"), ("execute_tool", "tool"),
        ("something", "span"),
    ],
)  # fmt: skip
def test_operations_of_genai(operation: str, expected: str) -> None:
    """Each operation is a type."""
    assert one({"gen_ai.operation.name": operation}).type == expected


def test_langfuse_s_own_names_come_first() -> None:
    """What others call the same stays among the attributes."""
    record = one({
        "gen_ai.request.model": "other", "langfuse.observation.model.name": "own", "llm.model_name": "third",
        "input.value": "other", "langfuse.observation.input": "own", "langfuse.observation.type": "generation",
    })  # fmt: skip
    found = said(record)
    assert (found["model"], found["input"]) == ("own", "own")
    assert found["metadata"]["attributes"] == {
        "gen_ai.request.model": "other", "llm.model_name": "third", "input.value": "other",
    }  # fmt: skip
    assert "model_parameters" not in found
