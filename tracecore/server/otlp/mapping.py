"""The table: which attributes become which field of ours, first match wins; and the lookup made of it.

It is the table of Langfuse's server (4.16), so that what is sent there can be sent here: its own names first, then
OpenTelemetry's and those of frameworks. What it does not name, and what loses against another name, is kept as it came
in, under ``attributes`` in the metadata.

Every attribute of a span is looked up once (:data:`KNOWN`, :func:`group_of`); no field walks through its names.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

from tracecore.records import Level, ObservationType
from tracecore.server.otlp.names import (
    GenAI,
    Genkit,
    Langfuse,
    LiveKit,
    Logfire,
    MlFlow,
    OpenInference,
    OpenTelemetry,
    Own,
    PydanticAI,
    Traceloop,
    Vercel,
    Vertex,
)

__all__ = [
    "DEBUG_NAMES", "EVENT_FIELDS", "EXPERIMENT", "FIELDS", "GROUP_FIELDS", "KNOWN", "LEVELS", "LONGEST_KEY",
    "MODEL_NAMES", "OPERATIONS", "SPAN_NAMES", "TYPES", "VERCEL_OPERATIONS", "Place", "group_of",
]  # fmt: skip

LONGEST_KEY: Final = 512
"""Characters of a key that may be one of ours."""

Place: TypeAlias = tuple[str, int, str]
"""Where an attribute belongs: a field, the rank of its name and the name; or a group, -1, and the rest of the name."""

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "type": (Langfuse.TYPE, OpenInference.KIND),
    "name": (GenAI.TOOL_NAME, Genkit.NAME, Logfire.MESSAGE, Vercel.TOOL_NAME, Vercel.OPERATION),
    "level": (Langfuse.LEVEL,),
    "status": (Own.STATUS,),
    "status_message": (Langfuse.STATUS_MESSAGE,),
    "logged": (Logfire.EVENTS,),
    "input": (
        Langfuse.INPUT,
        Genkit.INPUT, Vercel.MESSAGES, Vercel.PROMPT, Vercel.TOOL_ARGUMENTS,
        "@details.input", "@messages", "@prompt", Vertex.REQUEST, Vertex.TOOL_ARGUMENTS, Logfire.PROMPT,
        LiveKit.TTS_TEXT, LiveKit.TRANSCRIPT, LiveKit.CHAT, LiveKit.USER_INPUT, LiveKit.TOOL_ARGUMENTS,
        "@logged.input", MlFlow.INPUTS, Traceloop.INPUT, OpenInference.INPUT, "input", PydanticAI.ALL_MESSAGES,
        PydanticAI.TOOL_ARGUMENTS, f"{GenAI.PROMPT}.*", f"{OpenInference.INPUT_MESSAGES}.*", GenAI.INPUT_MESSAGES,
        GenAI.SYSTEM_INSTRUCTIONS, GenAI.TOOL_ARGUMENTS,
    ),
    "output": (
        Langfuse.OUTPUT,
        Genkit.OUTPUT, Vercel.TEXT, Vercel.OLD_TEXT, Vercel.TOOL_RESULT,
        Vercel.OBJECT, Vercel.OLD_OBJECT, Vercel.TOOL_CALLS, Vercel.OLD_TOOL_CALLS,
        "@details.output", "@choices", "@completion", Vertex.RESPONSE, Vertex.TOOL_RESPONSE, Logfire.ALL_EVENTS,
        LiveKit.TOOL_OUTPUT, LiveKit.TEXT,
        "@logged.output", MlFlow.OUTPUTS, Traceloop.OUTPUT, OpenInference.OUTPUT, "output",
        PydanticAI.FINAL_RESULT, PydanticAI.TOOL_RESPONSE, f"{GenAI.COMPLETION}.*",
        f"{OpenInference.OUTPUT_MESSAGES}.*", GenAI.OUTPUT_MESSAGES, GenAI.TOOL_RESULT,
    ),
    "metadata": (Langfuse.METADATA, Langfuse.OLD_METADATA),
    "trace_metadata": (Langfuse.TRACE_METADATA,),
    "completion_start": (Langfuse.COMPLETION_START,),
    "first_chunk_ms": (Vercel.FIRST_CHUNK, Vercel.OLD_FIRST_CHUNK),
    "version": (Langfuse.VERSION,),
    "app_root": (Langfuse.IS_APP_ROOT,),
    "as_root": (Langfuse.AS_ROOT,),
    # what is said of the trace
    "trace_name": (Langfuse.TRACE_NAME,),
    "user": (
        Langfuse.OLD_USER, OpenTelemetry.USER, f"{Langfuse.METADATA}.langfuse_user_id",
        f"{Langfuse.TRACE_METADATA}.langfuse_user_id", Vercel.USER,
    ),
    "session": (
        Langfuse.OLD_SESSION, OpenTelemetry.SESSION, GenAI.CONVERSATION, f"{Langfuse.METADATA}.langfuse_session_id",
        f"{Langfuse.TRACE_METADATA}.langfuse_session_id", Vercel.SESSION,
    ),
    "tags": (
        Langfuse.TRACE_TAGS, Langfuse.OLD_TAGS, f"{Langfuse.METADATA}.langfuse_tags",
        f"{Langfuse.TRACE_METADATA}.langfuse_tags", Vercel.TAGS, OpenInference.TAGS,
    ),
    "public": (Langfuse.TRACE_PUBLIC, Langfuse.OLD_PUBLIC),
    "environment": (Langfuse.ENVIRONMENT, OpenTelemetry.ENVIRONMENT, OpenTelemetry.OLD_ENVIRONMENT),
    "release": (Langfuse.RELEASE,),
    # what is said of a model call
    "model": (
        Langfuse.MODEL, GenAI.RESPONSE_MODEL, Vercel.MODEL, GenAI.REQUEST_MODEL, "llm.response.model",
        OpenInference.MODEL, OpenInference.EMBEDDING_MODEL, "model",
    ),
    "parameters": (
        Langfuse.MODEL_PARAMETERS, OpenInference.PARAMETERS, PydanticAI.MODEL_CONFIG, f"{GenAI.REQUEST}.*",
        f"{OpenInference.PARAMETERS}.*",
    ),
    "usage": (Langfuse.USAGE,),
    "cost": (Langfuse.COST, GenAI.COST, OpenInference.COST),
    "prompt_name": (Langfuse.PROMPT_NAME, Langfuse.OLD_PROMPT_NAME),
    "prompt_version": (Langfuse.PROMPT_VERSION, Langfuse.OLD_PROMPT_VERSION),
    "prompt_link": (Vercel.PROMPT_LINK,),
    # tools
    "tool_definitions": (
        GenAI.TOOL_DEFINITIONS, Vercel.TOOLS, PydanticAI.REQUEST_PARAMETERS, f"{OpenInference.TOOLS}.*",
    ),
    "tool_calls": (Own.TOOL_CALLS,),
    "tool_call_names": (Own.TOOL_CALL_NAMES,),
}  # fmt: skip
"""The names of each field, in order."""

_GROUPS: Final[dict[str, str]] = {
    f"{Langfuse.METADATA}.": "metadata.*",
    f"{Langfuse.OLD_METADATA}.": "metadata.*",
    f"{Vercel.METADATA}.": "metadata.*",
    f"{Langfuse.TRACE_METADATA}.": "trace_metadata.*",
    f"{Langfuse.EXPERIMENT}.": "experiment.*",
    f"{GenAI.USAGE}.": "usage.*",
    f"{OpenInference.TOKENS}.": "usage.*",
    f"{Vercel.USAGE}.": "usage.*",
    f"{Vercel.SETTINGS}.": f"{GenAI.REQUEST}.*",
    f"{GenAI.REQUEST}.": f"{GenAI.REQUEST}.*",
    f"{OpenInference.PARAMETERS}.": f"{OpenInference.PARAMETERS}.*",
    GenAI.PROMPT: f"{GenAI.PROMPT}.*",
    f"{GenAI.PROMPT}.": f"{GenAI.PROMPT}.*",
    GenAI.COMPLETION: f"{GenAI.COMPLETION}.*",
    f"{GenAI.COMPLETION}.": f"{GenAI.COMPLETION}.*",
    OpenInference.INPUT_MESSAGES: f"{OpenInference.INPUT_MESSAGES}.*",
    f"{OpenInference.INPUT_MESSAGES}.": f"{OpenInference.INPUT_MESSAGES}.*",
    OpenInference.OUTPUT_MESSAGES: f"{OpenInference.OUTPUT_MESSAGES}.*",
    f"{OpenInference.OUTPUT_MESSAGES}.": f"{OpenInference.OUTPUT_MESSAGES}.*",
    f"{OpenInference.TOOLS}.": f"{OpenInference.TOOLS}.*",
}
"""What the names of a group begin with; one that has no dot at its end is a name by itself."""

GROUP_FIELDS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    group: tuple((field, names.index(group)) for field, names in FIELDS.items() if group in names)
    for group in _GROUPS.values()
}
"""The fields that a group can fill, and its rank there."""

EXPERIMENT: Final = frozenset({
    "id", "name", "description", "metadata", "dataset.id", "item.id", "item.version", "item.expected_output",
    "item.metadata", "item.root_observation_id",
})  # fmt: skip
"""What is behind ``langfuse.experiment.``."""

TYPES: Final[dict[str, ObservationType]] = {
    "span": "span", "generation": "generation", "event": "event", "agent": "agent", "tool": "tool", "chain": "chain",
    "retriever": "retriever", "evaluator": "evaluator", "embedding": "embedding", "guardrail": "guardrail",
    "llm": "generation",
}  # fmt: skip
"""Types by their names in lower case, Langfuse's and OpenInference's kinds."""

OPERATIONS: Final[dict[str, ObservationType]] = {
    "chat": "generation", "completion": "generation", "text_completion": "generation",
    "generate_content": "generation", "generate": "generation", "embeddings": "embedding", "invoke_agent": "agent",
    "create_agent": "agent", "execute_tool": "tool", "retrieval": "retriever",
    # Genkit
    "model": "generation", "embedder": "embedding", "tool": "tool", "tool.v2": "tool", "retriever": "retriever",
    "evaluator": "evaluator", "flow": "chain", "agent": "agent",
}  # fmt: skip
"""Types by ``gen_ai.operation.name``, and by Genkit's subtype."""

VERCEL_OPERATIONS: Final[tuple[tuple[str, ObservationType], ...]] = (
    ("ai.generateText.doGenerate", "generation"), ("ai.streamText.doStream", "generation"),
    ("ai.generateObject.doGenerate", "generation"), ("ai.streamObject.doStream", "generation"),
    ("ai.embedMany.doEmbed", "embedding"), ("ai.embed.doEmbed", "embedding"), ("ai.toolCall", "tool"),
)  # fmt: skip
"""What the operation of a span of the Vercel AI SDK begins with; the name of a function may follow."""

SPAN_NAMES: Final[dict[str, ObservationType]] = {
    "agent_turn": "agent", "start_agent_activity": "agent", "function_tool": "tool",
}  # fmt: skip
"""Types by name of the span, of LiveKit."""

DEBUG_NAMES: Final = frozenset({
    "user_speaking", "eou_detection", "llm_request_run", "tts_node", "tts_request", "tts_request_run",
    "tts_stream_adapter", "agent_speaking", "drain_agent_activity", "on_exit", "on_enter", "llm_fallback_adapter",
    "tts_fallback_adapter", "start_agent_activity",
})  # fmt: skip
"""Names of LiveKit's spans that are details."""

MODEL_NAMES: Final = frozenset({
    Langfuse.MODEL, GenAI.REQUEST_MODEL, GenAI.RESPONSE_MODEL, OpenInference.MODEL, "model",
})  # fmt: skip
"""Names of which one makes a span a generation, where nothing else says what it is."""

LEVELS: Final[dict[str, Level]] = {
    "DEBUG": "DEBUG", "TRACE": "DEBUG", "VERBOSE": "DEBUG",
    "DEFAULT": "DEFAULT", "INFO": "DEFAULT", "LOG": "DEFAULT", "NOTICE": "DEFAULT", "OK": "DEFAULT",
    "SUCCESS": "DEFAULT",
    "WARNING": "WARNING", "WARN": "WARNING",
    "ERROR": "ERROR", "FATAL": "ERROR", "CRITICAL": "ERROR",
}  # fmt: skip
"""Levels by name, and others' names for them."""

EVENT_FIELDS: Final[dict[str, tuple[str, int]]] = {
    name: (field, rank) for field, names in FIELDS.items() for rank, name in enumerate(names) if name.startswith("@")
}
"""The field that events of a span fill, and their rank there."""

KNOWN: Final[dict[str, Place]] = {
    name: (field, rank, name)
    for field, names in FIELDS.items()
    for rank, name in enumerate(names)
    if not name.endswith(".*") and not name.startswith("@")
} | {name: (group, -1, "") for name, group in _GROUPS.items() if not name.endswith(".")}
"""Where the names of the table belong; of the names of groups only :func:`group_of` knows."""


@lru_cache(4096)
def group_of(key: str) -> Place | None:
    """Return the group that a name belongs to, or None; names come again and again, so that most are remembered."""
    at = key.find(".")
    while at >= 0:
        group = _GROUPS.get(key[: at + 1])
        if group is not None:
            return group, -1, key[at + 1 :]
        at = key.find(".", at + 1)
    return None
