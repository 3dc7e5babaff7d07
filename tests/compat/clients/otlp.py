"""The OpenTelemetry SDK exports over OTLP/HTTP: both encodings, both paths, compressed or not, keys in its settings."""

from __future__ import annotations

import base64
import os
from typing import Any

from opentelemetry.exporter.otlp.common.http import Compression as JsonCompression
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter as JsonExporter
from opentelemetry.exporter.otlp.proto.http import Compression as ProtobufCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ProtobufExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from telling import case, tell

URL = os.environ["LANGFUSE_BASE_URL"]
KEYS = base64.b64encode(f"{os.environ['LANGFUSE_PUBLIC_KEY']}:{os.environ['LANGFUSE_SECRET_KEY']}".encode()).decode()
PATHS = {"langfuse": "/api/public/otel/v1/traces", "plain": "/v1/traces"}
EXPORTERS = {"protobuf": ProtobufExporter, "json": JsonExporter}
COMPRESSIONS = {"protobuf": ProtobufCompression, "json": JsonCompression}


class Watched(SpanExporter):
    """Remember what an exporter said of what it sent."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter
        self.results: list[str] = []

    def export(self, spans: Any) -> SpanExportResult:
        """Send spans."""
        result = self.exporter.export(spans)
        self.results.append(result.name)
        return result

    def shutdown(self) -> None:
        """Close what sends."""
        self.exporter.shutdown()


def traced(exporter: SpanExporter, name: str) -> dict[str, Any]:
    """Send one trace of two spans through an exporter."""
    watched = Watched(exporter)
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": "shop", "service.version": "3.1", "deployment.environment.name": "qa"}
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(watched))
    tracer = provider.get_tracer("my.library", "1.2.3")
    link = Link(SpanContext(1, 2, is_remote=True), {"why": "before"})
    attributes = {"http.route": "/世", "big": 2**62}
    with tracer.start_as_current_span(name, kind=SpanKind.SERVER, attributes=attributes) as root:
        root.add_event("seen", {"n": 1})
        with tracer.start_as_current_span("child", links=[link]) as child:
            child.record_exception(ValueError("no such 世"))
            child.set_status(Status(StatusCode.ERROR, "broken"))
    provider.shutdown()
    context = root.get_span_context()
    return {
        "trace_id": f"{context.trace_id:032x}", "root": f"{context.span_id:016x}",
        "child": f"{child.get_span_context().span_id:016x}", "results": watched.results,
    }  # fmt: skip


@case
def combinations() -> Any:
    """Send by every encoding to every path, compressed in every way."""
    headers = {"Authorization": f"Basic {KEYS}"}
    return {
        f"{encoding} {path} {compression.value}": traced(
            make(endpoint=URL + PATHS[path], headers=headers, compression=compression),
            f"{encoding} {path} {compression.value}",
        )
        for encoding, make in EXPORTERS.items()
        for path in PATHS
        for compression in COMPRESSIONS[encoding]
    }


@case
def by_environment() -> Any:
    """Take everything from the environment, as a program that cannot be changed does."""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"{URL}/api/public/otel"
    os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = f"Authorization=Basic%20{KEYS}"
    told = {name: traced(make(), f"{name} by environment") for name, make in EXPORTERS.items()}
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = URL
    return told | {"plain path": traced(ProtobufExporter(), "plain path by environment")}


@case
def wrong_key() -> Any:
    """Send with keys that are none: the exporter is told so, and gives up."""
    headers = {"Authorization": "Basic " + base64.b64encode(b"pk-lf-compat:wrong").decode()}
    return {
        name: traced(make(endpoint=URL + PATHS["plain"], headers=headers), "refused")["results"]
        for name, make in EXPORTERS.items()
    }


if __name__ == "__main__":
    tell()
