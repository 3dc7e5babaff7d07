"""The OpenAI client instrumented by OpenInference and by OpenTelemetry's own package, sent over OTLP/HTTP."""

from __future__ import annotations

import base64
import contextlib
import os
from typing import Any

# Without these OpenTelemetry's instrumentation puts messages into log records, and none into spans.
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"

from openai import NotFoundError, OpenAI
from openai_stub import serve
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor as GenAI
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from telling import case, tell

URL = os.environ["LANGFUSE_BASE_URL"]
KEYS = base64.b64encode(f"{os.environ['LANGFUSE_PUBLIC_KEY']}:{os.environ['LANGFUSE_SECRET_KEY']}".encode()).decode()
STUB = serve()
QUESTION = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Grüß die 世界"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def provider() -> TracerProvider:
    """Return a provider that sends each span as it ends."""
    made = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{URL}/v1/traces", headers={"Authorization": f"Basic {KEYS}"})
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


def calls(tracing: TracerProvider) -> dict[str, str]:
    """Make one call of each kind, each in a trace of its own; return the ids of the traces."""
    tracer = tracing.get_tracer("program")
    openai = OpenAI(base_url=STUB, api_key="none", max_retries=0)

    def chat() -> None:
        openai.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, temperature=0.3, max_tokens=50)

    def streamed() -> None:
        list(openai.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        ))  # fmt: skip

    def tools() -> None:
        openai.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, tools=[TOOL])

    def embedded() -> None:
        openai.embeddings.create(model="text-embedding-3-small", input="Grüße")

    def failed() -> None:
        with contextlib.suppress(NotFoundError):
            openai.chat.completions.create(model="no-such-model", messages=QUESTION)

    told = {}
    for call in (chat, streamed, tools, embedded, failed):
        with tracer.start_as_current_span("program") as root:
            call()
        told[call.__name__] = f"{root.get_span_context().trace_id:032x}"
    return told


@case
def openinference() -> Any:
    """Call with the instrumentation of OpenInference."""
    tracing = provider()
    instrumentor = OpenInference()
    instrumentor.instrument(tracer_provider=tracing)
    try:
        return calls(tracing)
    finally:
        instrumentor.uninstrument()
        tracing.shutdown()


@case
def genai() -> Any:
    """Call with the instrumentation that follows OpenTelemetry's conventions for generative AI."""
    tracing = provider()
    instrumentor = GenAI()
    instrumentor.instrument(tracer_provider=tracing, logger_provider=LoggerProvider())
    try:
        return calls(tracing)
    finally:
        instrumentor.uninstrument()
        tracing.shutdown()


if __name__ == "__main__":
    tell()
