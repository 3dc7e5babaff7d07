"""The OpenTelemetry SDK: a batch processor in front of an exporter that drops everything.

What a span of it holds in these benchmarks, and what it does not:

* Bare (:meth:`OpenTelemetry.observed` without names): name, ids, parent, start and end. The SDK looks at no argument
  and at no result.
* Captured by hand (with names): in addition two attributes, ``input`` and ``output``, each the text that
  ``json.dumps`` makes. That is the nearest to what tracecore records, and still less: it bounds neither size nor depth
  nor time, an object that is not JSON raises into the program, nothing is masked, and there is no user, session, usage
  or cost.

In neither case is anything stored or sent: the exporter counts spans and forgets them. The processor's own thread takes
batches beside the caller, as in a program; its CPU is not in the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

__all__ = ["OpenTelemetry"]


class _NullExporter(SpanExporter):
    """Count what arrives and forget it; count those that hold both payloads."""

    def __init__(self) -> None:
        self.spans = 0
        self.captured = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        self.captured += sum(1 for span in spans if span.attributes and {"input", "output"} <= span.attributes.keys())
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

    def settle(self) -> tuple[int, int]:
        """Export what waits; return how many spans were exported so far, and how many of them with both attributes."""
        self._provider.force_flush()
        return self._exporter.spans, self._exporter.captured

    def close(self) -> None:
        """End the processor's thread."""
        self._provider.shutdown()
