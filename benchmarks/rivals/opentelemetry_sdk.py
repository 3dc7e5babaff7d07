"""The OpenTelemetry SDK: a batch processor in front of an exporter that drops everything.

A span here has a name, ids and times. Arguments and results are not captured by anything in the SDK; :meth:`observed`
with ``capture`` adds them by hand, as two attributes of JSON text, which is the nearest to what tracecore records.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

__all__ = ["OpenTelemetry"]


class _NullExporter(SpanExporter):
    """Count what arrives and forget it."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


class OpenTelemetry:
    """Record with a provider of its own; the global one is left alone."""

    def __init__(self) -> None:
        self._exporter = _NullExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("benchmarks")

    def observed(self, function: Callable[..., Awaitable[Any]], names: Sequence[str] | None = None) -> Any:
        """Return the function with a span around each call, with arguments (by these names) and result if given."""
        start = self.tracer.start_as_current_span

        async def spanned(*args: Any) -> Any:
            with start("answer"):
                return await function(*args)

        async def captured(*args: Any) -> Any:
            with start("answer") as span:
                span.set_attribute("input", json.dumps(dict(zip(names or (), args, strict=True))))
                result = await function(*args)
                span.set_attribute("output", json.dumps(result))
                return result

        return captured if names else spanned

    def settle(self) -> int:
        """Export what waits and return how many spans were exported so far."""
        self._provider.force_flush()
        return self._exporter.spans

    def close(self) -> None:
        """End the processor's thread."""
        self._provider.shutdown()
