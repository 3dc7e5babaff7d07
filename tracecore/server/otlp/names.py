"""Names of attributes, by who defines them: copied, because names move between releases of the packages that list them.

A test compares them with ``opentelemetry-semantic-conventions`` and ``openinference-semantic-conventions``. A name
that ends with ``.*`` stands for all that begin with it, and one that begins with ``@`` for events of the span.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "EventNames", "GenAI", "Genkit", "Langfuse", "LiveKit", "Logfire", "MlFlow", "OpenInference", "OpenTelemetry",
    "Own", "PydanticAI", "Traceloop", "Vercel", "Vertex",
]  # fmt: skip


class Langfuse:
    """Langfuse's own: what its SDKs write, and older names that its server still reads."""

    TYPE: Final = "langfuse.observation.type"
    INPUT: Final = "langfuse.observation.input"
    OUTPUT: Final = "langfuse.observation.output"
    METADATA: Final = "langfuse.observation.metadata"
    LEVEL: Final = "langfuse.observation.level"
    STATUS_MESSAGE: Final = "langfuse.observation.status_message"
    COMPLETION_START: Final = "langfuse.observation.completion_start_time"
    MODEL: Final = "langfuse.observation.model.name"
    MODEL_PARAMETERS: Final = "langfuse.observation.model.parameters"
    USAGE: Final = "langfuse.observation.usage_details"
    COST: Final = "langfuse.observation.cost_details"
    PROMPT_NAME: Final = "langfuse.observation.prompt.name"
    PROMPT_VERSION: Final = "langfuse.observation.prompt.version"
    TRACE_NAME: Final = "langfuse.trace.name"
    TRACE_TAGS: Final = "langfuse.trace.tags"
    TRACE_METADATA: Final = "langfuse.trace.metadata"
    TRACE_PUBLIC: Final = "langfuse.trace.public"
    TRACE_INPUT: Final = "langfuse.trace.input"
    TRACE_OUTPUT: Final = "langfuse.trace.output"
    ENVIRONMENT: Final = "langfuse.environment"
    RELEASE: Final = "langfuse.release"
    VERSION: Final = "langfuse.version"
    IS_APP_ROOT: Final = "langfuse.internal.is_app_root"
    AS_ROOT: Final = "langfuse.internal.as_root"
    EXPERIMENT: Final = "langfuse.experiment"
    OLD_USER: Final = "langfuse.user.id"
    OLD_SESSION: Final = "langfuse.session.id"
    OLD_TAGS: Final = "langfuse.tags"
    OLD_METADATA: Final = "langfuse.metadata"
    OLD_PUBLIC: Final = "langfuse.public"
    OLD_PROMPT_NAME: Final = "langfuse.prompt.name"
    OLD_PROMPT_VERSION: Final = "langfuse.prompt.version"


class GenAI:
    """OpenTelemetry's conventions for generative AI (1.37 and newer), and names of older versions."""

    OPERATION: Final = "gen_ai.operation.name"
    REQUEST_MODEL: Final = "gen_ai.request.model"
    RESPONSE_MODEL: Final = "gen_ai.response.model"
    REQUEST: Final = "gen_ai.request"
    USAGE: Final = "gen_ai.usage"
    COST: Final = "gen_ai.usage.cost"
    INPUT_MESSAGES: Final = "gen_ai.input.messages"
    OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
    SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
    CONVERSATION: Final = "gen_ai.conversation.id"
    TOOL_NAME: Final = "gen_ai.tool.name"
    TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
    TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
    TOOL_RESULT: Final = "gen_ai.tool.call.result"
    TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
    PROMPT: Final = "gen_ai.prompt"
    COMPLETION: Final = "gen_ai.completion"


class OpenInference:
    """OpenInference: Arize Phoenix and the instrumentations of that family."""

    KIND: Final = "openinference.span.kind"
    INPUT: Final = "input.value"
    OUTPUT: Final = "output.value"
    MODEL: Final = "llm.model_name"
    EMBEDDING_MODEL: Final = "embedding.model_name"
    PARAMETERS: Final = "llm.invocation_parameters"
    INPUT_MESSAGES: Final = "llm.input_messages"
    OUTPUT_MESSAGES: Final = "llm.output_messages"
    TOKENS: Final = "llm.token_count"
    COST: Final = "llm.cost.total"
    TOOLS: Final = "llm.tools"
    TAGS: Final = "tag.tags"


class OpenTelemetry:
    """OpenTelemetry's general conventions."""

    USER: Final = "user.id"
    SESSION: Final = "session.id"
    ENVIRONMENT: Final = "deployment.environment.name"
    OLD_ENVIRONMENT: Final = "deployment.environment"
    SERVICE_NAME: Final = "service.name"
    SERVICE_VERSION: Final = "service.version"
    SERVICE_INSTANCE: Final = "service.instance.id"
    SDK_NAME: Final = "telemetry.sdk.name"
    SDK_LANGUAGE: Final = "telemetry.sdk.language"
    SDK_VERSION: Final = "telemetry.sdk.version"
    EXCEPTION_TYPE: Final = "exception.type"
    EXCEPTION_MESSAGE: Final = "exception.message"
    EXCEPTION_STACK: Final = "exception.stacktrace"
    ERROR_TYPE: Final = "error.type"


class Vercel:
    """The Vercel AI SDK, versions 3 to 7."""

    OPERATION: Final = "ai.operationId"
    OPERATION_NAME: Final = "operation.name"
    FUNCTION: Final = "ai.telemetry.functionId"
    METADATA: Final = "ai.telemetry.metadata"
    USER: Final = "ai.telemetry.metadata.userId"
    SESSION: Final = "ai.telemetry.metadata.sessionId"
    TAGS: Final = "ai.telemetry.metadata.tags"
    PROMPT_LINK: Final = "ai.telemetry.metadata.langfusePrompt"
    MODEL: Final = "ai.model.id"
    SETTINGS: Final = "ai.settings"
    USAGE: Final = "ai.usage"
    PROVIDER_METADATA: Final = "ai.response.providerMetadata"
    MESSAGES: Final = "ai.prompt.messages"
    PROMPT: Final = "ai.prompt"
    TOOLS: Final = "ai.prompt.tools"
    TOOL_NAME: Final = "ai.toolCall.name"
    TOOL_ARGUMENTS: Final = "ai.toolCall.args"
    TOOL_RESULT: Final = "ai.toolCall.result"
    TEXT: Final = "ai.response.text"
    OBJECT: Final = "ai.response.object"
    TOOL_CALLS: Final = "ai.response.toolCalls"
    OLD_TEXT: Final = "ai.result.text"
    OLD_OBJECT: Final = "ai.result.object"
    OLD_TOOL_CALLS: Final = "ai.result.toolCalls"
    FIRST_CHUNK: Final = "ai.response.msToFirstChunk"
    OLD_FIRST_CHUNK: Final = "ai.stream.msToFirstChunk"


class Genkit:
    """Firebase Genkit."""

    NAME: Final = "genkit:name"
    SUBTYPE: Final = "genkit:metadata:subtype"
    INPUT: Final = "genkit:input"
    OUTPUT: Final = "genkit:output"


class Vertex:
    """Google's Agent Development Kit."""

    REQUEST: Final = "gcp.vertex.agent.llm_request"
    RESPONSE: Final = "gcp.vertex.agent.llm_response"
    TOOL_ARGUMENTS: Final = "gcp.vertex.agent.tool_call_args"
    TOOL_RESPONSE: Final = "gcp.vertex.agent.tool_response"


class Logfire:
    """Pydantic Logfire."""

    MESSAGE: Final = "logfire.msg"
    PROMPT: Final = "prompt"
    ALL_EVENTS: Final = "all_messages_events"
    EVENTS: Final = "events"


class PydanticAI:
    """Pydantic AI."""

    ALL_MESSAGES: Final = "pydantic_ai.all_messages"
    FINAL_RESULT: Final = "final_result"
    TOOL_ARGUMENTS: Final = "tool_arguments"
    TOOL_RESPONSE: Final = "tool_response"
    MODEL_CONFIG: Final = "model_config"
    REQUEST_PARAMETERS: Final = "model_request_parameters"


class LiveKit:
    """LiveKit Agents."""

    SCOPE: Final = "livekit-agents"
    TTS_TEXT: Final = "lk.input_text"
    TRANSCRIPT: Final = "lk.user_transcript"
    CHAT: Final = "lk.chat_ctx"
    USER_INPUT: Final = "lk.user_input"
    TOOL_ARGUMENTS: Final = "lk.function_tool.arguments"
    TOOL_OUTPUT: Final = "lk.function_tool.output"
    TEXT: Final = "lk.response.text"


class MlFlow:
    """MLflow tracing."""

    INPUTS: Final = "mlflow.spanInputs"
    OUTPUTS: Final = "mlflow.spanOutputs"


class Traceloop:
    """Traceloop's OpenLLMetry."""

    INPUT: Final = "traceloop.entity.input"
    OUTPUT: Final = "traceloop.entity.output"


class Own:
    """What tracecore's own exporter says besides, because nobody else has a name for it."""

    STATUS: Final = "tracecore.status"
    TOOL_CALLS: Final = "tracecore.tool_calls"
    TOOL_CALL_NAMES: Final = "tracecore.tool_call_names"


class EventNames:
    """Events of a span that hold messages, by the version of the conventions."""

    DETAILS: Final = "gen_ai.client.inference.operation.details"
    SYSTEM: Final = "gen_ai.system.message"
    USER: Final = "gen_ai.user.message"
    ASSISTANT: Final = "gen_ai.assistant.message"
    TOOL: Final = "gen_ai.tool.message"
    CHOICE: Final = "gen_ai.choice"
    PROMPT: Final = "gen_ai.content.prompt"
    COMPLETION: Final = "gen_ai.content.completion"
    EXCEPTION: Final = "exception"
